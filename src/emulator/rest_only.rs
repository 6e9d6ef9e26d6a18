//! Values of fields that the REST interface has and the published protos do not: a sparse copy of the JSON of a resource,
//! which holds these values alone, each in its place. Knows no message, and not which fields these are.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The REST-only part of one resource, as it was sent.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct RestOnly(Map<String, Value>);

impl From<Map<String, Value>> for RestOnly {
    fn from(fields: Map<String, Value>) -> Self {
        Self(fields)
    }
}

impl RestOnly {
    /// The part of a field that is a message itself.
    pub(crate) fn part(&self, field: &str) -> Option<Self> {
        self.0.get(field).and_then(Value::as_object).map(|fields| Self(fields.clone()))
    }

    /// All but one field.
    pub(crate) fn without(mut self, field: &str) -> Self {
        self.0.remove(field);
        self
    }

    /// The part as a resource keeps it: nothing at all in almost every case.
    pub(crate) fn boxed(self) -> Option<Box<Self>> {
        (!self.0.is_empty()).then(|| Box::new(self))
    }

    /// A boolean, by the path to it.
    pub(crate) fn flag(&self, path: &[&str]) -> Option<bool> {
        self.value(path)?.as_bool()
    }

    /// What is there of the elements of a list, by the path to it.
    pub(crate) fn elements(&self, path: &[&str]) -> &[Value] {
        self.value(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn value(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.0.get(*first)?, |value, key| value.get(*key))
    }

    /// Puts the values back in their places in the JSON of the resource, as far as these places are still there.
    pub(crate) fn restore(&self, resource: &mut Map<String, Value>) {
        restore_fields(&self.0, resource);
    }
}

fn restore_fields(kept: &Map<String, Value>, into: &mut Map<String, Value>) {
    for (key, value) in kept {
        match (value, into.get_mut(key)) {
            (Value::Object(kept), Some(Value::Object(into))) => restore_fields(kept, into),
            (Value::Array(kept), Some(Value::Array(into))) => restore_elements(kept, into),
            _ => _ = into.insert(key.clone(), value.clone()),
        }
    }
}

/// Elements with a name are found by it, all others by their index. One that is gone takes its values with it.
fn restore_elements(kept: &[Value], into: &mut [Value]) {
    for (index, element) in kept.iter().enumerate() {
        let Value::Object(fields) = element else { continue };
        let found = match fields.get("name") {
            Some(name) => into.iter_mut().find(|other| other.get("name") == Some(name)),
            None => into.get_mut(index),
        };
        if let Some(Value::Object(into)) = found {
            restore_fields(fields, into);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn restored(kept: Value, into: Value) -> Value {
        let (Value::Object(kept), Value::Object(mut into)) = (kept, into) else { panic!("objects") };
        RestOnly(kept).restore(&mut into);
        Value::Object(into)
    }

    #[test]
    fn values_return_to_their_places() {
        let kept = json!({"a": {"x": true}, "list": [{}, {"y": {"z": [1]}}]});
        let into = json!({"a": {"b": 1}, "list": [{"c": 1}, {"c": 2}]});
        let expected = json!({"a": {"b": 1, "x": true}, "list": [{"c": 1}, {"c": 2, "y": {"z": [1]}}]});
        assert_eq!(restored(kept, into), expected);
    }

    #[test]
    fn a_named_element_is_found_wherever_it_is_now_and_one_that_is_gone_stays_gone() {
        let kept = json!({"volumes": [{"name": "a", "x": 1}, {"name": "b", "x": 2}]});
        let into = json!({"volumes": [{"name": "c"}, {"name": "b"}]});
        assert_eq!(restored(kept, into), json!({"volumes": [{"name": "c"}, {"name": "b", "x": 2}]}));
    }
}
