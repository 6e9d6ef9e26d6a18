//! Where REST is ahead of the protos: takes the fields that only REST has out of a request's JSON, and puts them back into
//! the JSON of answers. Which fields these are stands in `proto/rest_only.txt`.

use std::sync::LazyLock;

use prost_reflect::{Kind, MessageDescriptor};
use serde_json::{Map, Value, json};
use tonic::Status;

use super::json::{field, invalid};
use crate::emulator::{rest_only::RestOnly, state::DELAYED_EXECUTION_EXCEEDING_DURATION_LIMIT};

const LIST: &str = include_str!("../../../proto/rest_only.txt");

/// The elements of the list: a kind, where it is, and its type or name.
static ELEMENTS: LazyLock<Vec<[&str; 3]>> = LazyLock::new(|| {
    let lines = LIST.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(' ').collect::<Vec<_>>().try_into().ok()).collect()
});

/// Takes out of the JSON of a message what only REST has.
pub(super) fn take(message: &MessageDescriptor, fields: &mut Map<String, Value>) -> Result<RestOnly, Status> {
    take_fields(message, "", fields).map(RestOnly::from)
}

fn take_fields(
    message: &MessageDescriptor,
    path: &str,
    fields: &mut Map<String, Value>,
) -> Result<Map<String, Value>, Status> {
    let mut taken = Map::new();
    let keys: Vec<_> = fields.keys().cloned().collect();
    for key in keys {
        let place = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let at = format!("{}.{key}", message.name());
        if let Some(kind) = listed("field", &at) {
            let value = fields.remove(&key).unwrap_or_default();
            check(&place, kind, &value)?;
            taken.insert(key, value);
            continue;
        }
        let Some(field) = field(message, &key) else { continue };
        let is_ahead = |value: &Value| {
            value.as_str().is_some_and(|name| {
                ELEMENTS.contains(&["value", &format!("{}.{}", message.name(), field.json_name()), name])
            })
        };
        match (field.kind(), fields.get_mut(&key)) {
            (Kind::Enum(_), Some(value)) if is_ahead(value) => {
                _ = taken.insert(key.clone(), fields.remove(&key).unwrap_or_default())
            }
            (Kind::Message(inner), Some(Value::Object(object))) if !field.is_map() => {
                let inner = take_fields(&inner, &place, object)?;
                if !inner.is_empty() {
                    taken.insert(key, Value::Object(inner));
                }
            }
            (Kind::Message(inner), Some(Value::Array(elements))) => {
                if let Some(kept) = take_elements(&inner, &place, elements)? {
                    taken.insert(key, kept);
                }
            }
            _ => {}
        }
    }
    Ok(taken)
}

/// Of a list, with the name of each element that has one, because it may be elsewhere later.
fn take_elements(message: &MessageDescriptor, path: &str, elements: &mut [Value]) -> Result<Option<Value>, Status> {
    let mut any = false;
    let mut kept = Vec::new();
    for (index, element) in elements.iter_mut().enumerate() {
        let mut taken = match element.as_object_mut() {
            Some(fields) => take_fields(message, &format!("{path}[{index}]"), fields)?,
            None => Map::new(),
        };
        any |= !taken.is_empty();
        if let Some(name) = element.get("name").filter(|_| !taken.is_empty()) {
            taken.insert("name".to_owned(), name.clone());
        }
        kept.push(Value::Object(taken));
    }
    Ok(any.then_some(Value::Array(kept)))
}

fn listed(kind: &str, at: &str) -> Option<&'static str> {
    ELEMENTS.iter().find(|[of, place, _]| *of == kind && *place == at).map(|[_, _, value]| *value)
}

fn check(place: &str, kind: &str, value: &Value) -> Result<(), Status> {
    let (fits, name) = match kind {
        "boolean" => (value.is_boolean(), "TYPE_BOOL"),
        "string" => (value.is_string(), "TYPE_STRING"),
        _ => (value.is_object(), "TYPE_MESSAGE"),
    };
    if fits { Ok(()) } else { Err(invalid(place, format!("Invalid value at '{place}' ({name}), {value}"))) }
}

/// Puts back what is known of every resource in an answer, and names the values that the protos have no name for.
pub(super) fn restore(answer: &mut Value, known: &impl Fn(&str) -> Option<RestOnly>) {
    match answer {
        Value::Array(elements) => elements.iter_mut().for_each(|element| restore(element, known)),
        Value::Object(fields) => {
            fields.values_mut().for_each(|value| restore(value, known));
            if fields.get("executionReason") == Some(&json!(DELAYED_EXECUTION_EXCEEDING_DURATION_LIMIT)) {
                fields.insert("executionReason".to_owned(), json!("DELAYED_EXECUTION_EXCEEDING_DURATION_LIMIT"));
            }
            if let Some(known) = fields.get("name").and_then(Value::as_str).and_then(known) {
                known.restore(fields);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;
    use crate::proto::DESCRIPTORS;

    fn taken(mut job: Value) -> (Result<RestOnly, Status>, Value) {
        let pool = DescriptorPool::decode(DESCRIPTORS).expect("valid");
        let message = pool.get_message_by_name("google.cloud.run.v2.Job").expect("it is there");
        (take(&message, job.as_object_mut().expect("an object")), job)
    }

    #[test]
    fn what_only_rest_has_is_taken_out_of_its_places() {
        let (taken, left) = taken(json!({
            "functionalType": "FUNCTIONAL_TYPE_AGENT",
            "template": {"delayExecution": true, "taskCount": 2, "template": {"volumes": [
                {"name": "a", "emptyDir": {"medium": "MEMORY"}}, {"name": "b", "emptyDir": {"medium": "DISK", "sizeLimit": "1Gi"}},
            ]}},
        }));
        let expected = json!({
            "functionalType": "FUNCTIONAL_TYPE_AGENT",
            "template": {"delayExecution": true, "template": {"volumes": [
                {}, {"name": "b", "emptyDir": {"medium": "DISK"}},
            ]}},
        });
        assert_eq!(serde_json::to_value(taken.expect("valid")).expect("plain"), expected);
        let volumes =
            json!([{"name": "a", "emptyDir": {"medium": "MEMORY"}}, {"name": "b", "emptyDir": {"sizeLimit": "1Gi"}}]);
        assert_eq!(left, json!({"template": {"taskCount": 2, "template": {"volumes": volumes}}}));
    }

    #[test]
    fn a_value_of_another_type_is_refused_with_its_place() {
        let (taken, _) = taken(json!({"template": {"delayExecution": "yes"}}));
        let status = taken.expect_err("it is text");
        assert!(status.message().contains("template.delayExecution"), "{status}");
    }
}
