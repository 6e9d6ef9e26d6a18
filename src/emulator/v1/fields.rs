//! What both directions of the translation need: names and values of single fields.

use serde_json::{Map, Value, json};

/// Labels and annotations with these prefixes belong to the system, and have fields in v2.
const SYSTEM: [&str; 5] = [
    "run.googleapis.com/",
    "cloud.googleapis.com/",
    "serving.knative.dev/",
    "client.knative.dev/",
    "autoscaling.knative.dev/",
];

/// Labels or annotations without those of the system.
pub(super) fn own(map: &Value) -> Value {
    let all = map.as_object().into_iter().flatten();
    let own = all.filter(|(key, _)| !SYSTEM.iter().any(|prefix| key.starts_with(prefix)));
    own.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>().into()
}

/// The value of an annotation of the system, or null.
pub(super) fn annotation(metadata: &Value, key: &str) -> Value {
    metadata["annotations"][format!("run.googleapis.com/{key}")].clone()
}

/// Removes what is null, and then what has become empty.
pub(super) fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            fields.retain(|_, value| !is_empty(value));
        }
        Value::Array(elements) => elements.iter_mut().for_each(prune),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    }
}

/// The fields, with other names for some of them.
pub(super) fn rename(fields: &Map<String, Value>, names: &[(&str, &str)]) -> Map<String, Value> {
    let renamed = |key: &str| names.iter().find(|(from, _)| *from == key).map_or(key, |(_, to)| to).to_owned();
    fields.iter().map(|(key, value)| (renamed(key), value.clone())).collect()
}

/// A number of seconds, as a number or as text, as the duration that v2 writes.
pub(super) fn seconds(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::String(text) => json!(format!("{text}s")),
        number => json!(format!("{number}s")),
    }
}

/// `CONTAINER_MISSING` as v1 spells it: `ContainerMissing`.
pub(super) fn camel(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{first}{}", rest.to_lowercase())
    });
    words.collect()
}

pub(super) fn unprefixed<'a>(text: &'a str, prefix: &str) -> &'a str {
    text.strip_prefix(prefix).unwrap_or(text)
}

/// The last segment of a resource name.
pub(super) fn id(name: &Value) -> &str {
    name.as_str().and_then(|name| name.rsplit('/').next()).unwrap_or_default()
}
