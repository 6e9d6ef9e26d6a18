//! Whether JSON is what a published JSON schema describes, as far as our schemas go.

use serde_json::Value;

/// Each key is described, each required one is there, each type is one of those named, and so is each word.
#[track_caller]
pub(crate) fn assert_described(value: &Value, schema: &str) {
    let schema: Value = serde_json::from_str(schema).expect("a schema");
    check(value, &schema, &schema, "report");
}

#[track_caller]
fn check(value: &Value, schema: &Value, root: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        return check(value, &root["$defs"][name], root, at);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let other = choices.iter().find(|choice| choice["type"] != "null").expect("another choice");
        if !value.is_null() {
            check(value, other, root, at);
        }
        return;
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at} is {value}, the schema says {}", schema["enum"]);
    }
    if let Some(word) = schema.get("const") {
        assert_eq!(value, word, "{at}");
    }
    let allowed = match &schema["type"] {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(|kind| is_of(value, kind)),
        kind => is_of(value, kind),
    };
    assert!(allowed, "{at} is {value}, the schema says {}", schema["type"]);
    for item in value.as_array().into_iter().flatten() {
        check(item, &schema["items"], root, at);
    }
    let Some(fields) = value.as_object() else { return };
    for required in schema["required"].as_array().into_iter().flatten() {
        assert!(fields.contains_key(required.as_str().unwrap_or_default()), "{at} lacks {required}");
    }
    for (name, field) in fields {
        let described = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
        assert!(described.is_object(), "{at}.{name} is not described");
        check(field, described, root, &format!("{at}.{name}"));
    }
}

fn is_of(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap_or_default() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}
