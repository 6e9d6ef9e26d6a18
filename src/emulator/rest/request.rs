//! The message that a request stands for: its body, its query and the fields in its path as one JSON object.

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};
use tonic::Status;

use super::{
    ahead,
    json::{field, malformed, read},
    query::Query,
    route::Binding,
    template::PathFields,
};
use crate::emulator::rest_only::RestOnly;

/// The request of the RPC, and what of it only REST has.
pub(super) fn message(
    binding: &Binding,
    variables: &PathFields,
    query: Query,
    body: &[u8],
) -> Result<(DynamicMessage, RestOnly), Status> {
    let mut root = body_of(binding, body)?;
    for (key, value) in query.fields {
        // What the path or the body holds, the query cannot hold as well.
        let in_body = binding.body == "*" || key.split('.').next() == Some(&binding.body);
        let taken = in_body || variables.iter().any(|(name, _)| *name == key);
        if taken || bind(&mut root, &binding.request, &key, value).is_none() {
            let reason = format!("Cannot bind query parameter. Field '{key}' could not be found in request message.");
            return Err(malformed("", &format!("Unknown name \"{key}\": {reason}")));
        }
    }
    for (field, value) in variables {
        // The path wins over a body that says otherwise.
        let container = field.rsplit_once('.').map_or("", |(container, _)| container);
        if bind(&mut root, &binding.request, field, value.clone()).is_none() {
            return Err(malformed(container, &format!("Invalid value at '{container}': it must be an object.")));
        }
    }
    let rest_only = ahead::take(&binding.request, &mut root)?;
    Ok((read(&binding.request, &Value::Object(root))?, rest_only))
}

/// The fields that the body holds.
fn body_of(binding: &Binding, body: &[u8]) -> Result<Map<String, Value>, Status> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    let body = serde_json::from_slice(body).map_err(|error| malformed("", &format!("It is not JSON: {error}.")))?;
    match (binding.body.as_str(), body) {
        ("*", Value::Object(fields)) => Ok(fields),
        ("*", _) => Err(malformed("", "Root element must be a message.")),
        ("", _) => Err(malformed("", "A request of this method has no body.")),
        (field, body) => Ok(Map::from_iter([(field.to_owned(), body)])),
    }
}

/// Sets a field that is named by its path, such as `job.name`; nothing when there is no such field.
fn bind(fields: &mut Map<String, Value>, message: &MessageDescriptor, path: &str, text: String) -> Option<()> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = field(message, name)?;
    if field.is_map() || (field.is_list() && rest.is_some()) {
        return None;
    }
    let kind = field.kind();
    // A body may spell it either way.
    let key = if fields.contains_key(field.name()) { field.name() } else { field.json_name() };
    let entry = fields.entry(key);
    match rest {
        Some(rest) => bind(entry.or_insert_with(|| json!({})).as_object_mut()?, kind.as_message()?, rest, text)?,
        None if field.is_list() => entry.or_insert_with(|| json!([])).as_array_mut()?.push(scalar(&kind, text)),
        None => *entry.or_insert(Value::Null) = scalar(&kind, text),
    }
    Some(())
}

/// A text as JSON has it; only the JSON of booleans and enum numbers is not a string, too.
fn scalar(kind: &Kind, text: String) -> Value {
    match kind {
        Kind::Bool => text.parse().map_or(Value::String(text), Value::Bool),
        Kind::Enum(_) => text.parse::<i32>().map_or(Value::String(text), Value::from),
        _ => Value::String(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::DESCRIPTORS;
    use prost_reflect::DescriptorPool;

    /// The fields of a message with what `bound` sets; nothing for what is no field.
    fn bind_all(message: &str, bound: &[(&str, &str)]) -> Option<Value> {
        let pool = DescriptorPool::decode(DESCRIPTORS).expect("valid");
        let message = pool.get_message_by_name(message).expect("it is there");
        let mut fields = Map::new();
        for (path, text) in bound {
            bind(&mut fields, &message, path, (*text).to_owned())?;
        }
        Some(Value::Object(fields))
    }

    #[test]
    fn fields_are_named_by_their_paths_in_either_spelling() {
        let run = "google.cloud.run.v2.RunJobRequest";
        let bound = [("overrides.taskCount", "2"), ("overrides.timeout", "300s"), ("validate_only", "true")];
        let expected = json!({"overrides": {"taskCount": "2", "timeout": "300s"}, "validateOnly": true});
        assert_eq!(bind_all(run, &bound), Some(expected));
        for path in ["override", "overrides.none", "etag.x", "overrides.containerOverrides.name", ""] {
            assert_eq!(bind_all(run, &[(path, "x")]), None, "{path}");
        }
    }

    #[test]
    fn a_repeated_field_is_set_once_for_each_value() {
        let bound = [("permissions", "a"), ("permissions", "b")];
        let expected = json!({"permissions": ["a", "b"]});
        assert_eq!(bind_all("google.iam.v1.TestIamPermissionsRequest", &bound), Some(expected));
    }

    #[test]
    fn an_enum_is_a_name_or_a_number() {
        for (text, expected) in [("BETA", json!("BETA")), ("3", json!(3))] {
            let bound = bind_all("google.cloud.run.v2.Job", &[("launchStage", text)]);
            assert_eq!(bound, Some(json!({"launchStage": expected})));
        }
    }

    #[test]
    fn a_map_has_no_fields() {
        assert_eq!(bind_all("google.cloud.run.v2.Job", &[("labels", "x")]), None);
        assert_eq!(bind_all("google.cloud.run.v2.Job", &[("labels.key", "x")]), None);
    }
}
