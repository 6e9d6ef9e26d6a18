//! The query parameter `fields`: which parts of an answer are wanted. Knows JSON, and no message.

use std::collections::BTreeMap;

use serde_json::Value;

/// The wanted fields of an object, each with what is wanted of it; everything where there are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields(BTreeMap<String, Fields>);

impl Fields {
    /// Reads `name,metadata(name,etag),response/name`; a dot does as well as a slash. Nothing if it is malformed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let fields = Self::list(&mut rest)?;
        rest.is_empty().then_some(fields)
    }

    fn list(rest: &mut &str) -> Option<Self> {
        let mut fields = Self::default();
        loop {
            let end = rest.find([',', '(', ')']).unwrap_or(rest.len());
            let (path, after) = rest.split_at(end);
            *rest = after;
            let mut inner = &mut fields;
            for name in path.trim().split(['/', '.']) {
                let fits = !name.is_empty() && name.chars().all(|it| it.is_ascii_alphanumeric() || "_*@".contains(it));
                inner = fits.then(|| inner.0.entry(camel(name)).or_default())?;
            }
            if let Some(after) = rest.strip_prefix('(') {
                *rest = after;
                inner.0.extend(Self::list(rest)?.0);
                *rest = rest.strip_prefix(')')?;
            }
            match rest.strip_prefix(',') {
                Some(after) => *rest = after,
                None => return Some(fields),
            }
        }
    }

    /// Leaves only what is wanted.
    pub(super) fn select(&self, value: &mut Value) {
        if self.0.is_empty() {
            return;
        }
        match value {
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.select(element)),
            Value::Object(fields) => {
                fields.retain(|key, _| self.wanted(key).is_some());
                for (key, value) in fields.iter_mut() {
                    self.wanted(key).unwrap_or(self).select(value);
                }
            }
            _ => {}
        }
    }

    fn wanted(&self, key: &str) -> Option<&Self> {
        self.0.get(key).or_else(|| self.0.get("*"))
    }
}

/// A field's name in JSON, whichever way it is spelled.
fn camel(name: &str) -> String {
    let mut upper = false;
    let letters = name.chars().filter_map(|letter| {
        let this = if upper { letter.to_ascii_uppercase() } else { letter };
        upper = letter == '_';
        (letter != '_').then_some(this)
    });
    letters.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_has_only_what_is_wanted() {
        let answer =
            json!({"jobs": [{"name": "a", "uid": "1", "template": {"taskCount": 1, "labels": {}}}], "next": "t"});
        for (fields, expected) in [
            ("jobs", json!({"jobs": answer["jobs"]})),
            ("*", answer.clone()),
            ("jobs/name,next", json!({"jobs": [{"name": "a"}], "next": "t"})),
            ("jobs(name,template/task_count)", json!({"jobs": [{"name": "a", "template": {"taskCount": 1}}]})),
            ("jobs.template.taskCount", json!({"jobs": [{"template": {"taskCount": 1}}]})),
            ("nothing", json!({})),
        ] {
            let mut answer = answer.clone();
            Fields::parse(fields).expect(fields).select(&mut answer);
            assert_eq!(answer, expected, "{fields}");
        }
    }

    #[test]
    fn what_is_no_list_of_fields_is_refused() {
        for text in ["", "a,", "a(", "a(b", "a)", "a b", "a//b"] {
            assert_eq!(Fields::parse(text), None, "{text}");
        }
    }
}
