//! What differs between two resources: paths into their JSON, with what stands there before and after.
//!
//! Elements of a list go by their names where all of them have one, else by their place. Knows JSON, and no resource.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

/// A part that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::cli) struct Difference {
    /// As in `template.template.containers[0].env[KEY].value`.
    pub(in crate::cli) path: String,
    /// Null where there is nothing.
    pub(in crate::cli) before: Value,
    pub(in crate::cli) after: Value,
}

/// The parts that differ, as small as they have names.
pub(in crate::cli) fn between(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), before, after, &mut found);
    found
}

fn compare(path: String, before: &Value, after: &Value, found: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    if let (Some(one), Some(other)) = (members(before), members(after)) {
        let names: BTreeSet<_> = one.keys().chain(other.keys()).collect();
        // Nothing and an object without members differ in no member.
        if !names.is_empty() {
            for name in names {
                let part = |object: &Map<String, Value>| object.get(name).cloned().unwrap_or_default();
                compare(member(&path, name), &part(&one), &part(&other), found);
            }
            return;
        }
    }
    if let (Some(one), Some(other)) = (elements(before), elements(after)) {
        let names = [&one, &other].map(|elements| names(elements)).into_iter().collect::<Option<Vec<_>>>();
        let keyed = |elements: Vec<Value>, names: Option<&Vec<String>>| -> Vec<(String, Value)> {
            let places = (0..elements.len()).map(|index| index.to_string());
            names.cloned().unwrap_or_else(|| places.collect()).into_iter().zip(elements).collect()
        };
        let by_name = |index: usize| names.as_ref().and_then(|names| names.get(index));
        let (one, other) = (keyed(one, by_name(0)), keyed(other, by_name(1)));
        if elementwise(&path, &one, &other, found) {
            return;
        }
    }
    found.push(Difference { path, before: before.clone(), after: after.clone() });
}

/// Compares elements of the same key. Whether that has found a difference: equal elements in another order have none.
fn elementwise(path: &str, one: &[(String, Value)], other: &[(String, Value)], found: &mut Vec<Difference>) -> bool {
    let count = found.len();
    let in_other = |key: &String| other.iter().find(|(known, _)| known == key).map(|(_, value)| value);
    for (key, value) in one {
        compare(format!("{path}[{key}]"), value, in_other(key).unwrap_or(&Value::Null), found);
    }
    for (key, value) in other.iter().filter(|(key, _)| !one.iter().any(|(known, _)| known == key)) {
        compare(format!("{path}[{key}]"), &Value::Null, value, found);
    }
    found.len() > count
}

fn member(path: &str, name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let name = if is_plain { name.to_owned() } else { Value::from(name).to_string() };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// The members of an object; nothing has none.
fn members(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Null => Some(Map::new()),
        Value::Object(members) => Some(members.clone()),
        _ => None,
    }
}

/// The elements of a list of objects; nothing has none.
fn elements(value: &Value) -> Option<Vec<Value>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::Array(elements) if elements.iter().all(Value::is_object) => Some(elements.clone()),
        _ => None,
    }
}

/// The name of each element, where all have one of their own.
fn names(elements: &[Value]) -> Option<Vec<String>> {
    let names = elements.iter().map(|element| element.get("name")?.as_str().map(str::to_owned));
    let names = names.collect::<Option<Vec<_>>>()?;
    (names.iter().collect::<BTreeSet<_>>().len() == names.len()).then_some(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_smallest_parts_that_differ_are_named() {
        let before = json!({
            "labels": {"team": "red", "old": "1"},
            "containers": [{"image": "a", "args": ["x"], "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}],
            "limits": {"nvidia.com/gpu": "1"},
            "count": 1,
        });
        let after = json!({
            "labels": {"team": "blue"},
            "containers": [{"image": "a", "args": ["x", "y"], "env": [{"name": "B", "value": "3"}]}],
            "limits": {},
            "count": 1,
        });
        let paths: Vec<_> = between(&before, &after).into_iter().map(|found| found.path).collect();
        assert_eq!(
            paths,
            [
                "containers[0].args",
                "containers[0].env[A].name",
                "containers[0].env[A].value",
                "containers[0].env[B].value",
                "labels.old",
                "labels.team",
                "limits.\"nvidia.com/gpu\"",
            ]
        );
        assert_eq!(between(&before, &before), []);
    }

    #[test]
    fn another_order_and_an_empty_object_are_differences_too() {
        let (one, other) = (json!([{"name": "a"}, {"name": "b"}]), json!([{"name": "b"}, {"name": "a"}]));
        assert_eq!(between(&json!({"l": one}), &json!({"l": other}))[0].path, "l");
        assert_eq!(between(&json!({}), &json!({"vpc": {}}))[0].path, "vpc");
    }
}
