//! Label selectors, as gcloud writes them: `run.googleapis.com/job = J, run.googleapis.com/runningState in (Failed)`.

use serde_json::Value;

/// Labels, and the values that each may have.
#[derive(Debug, Default)]
pub(super) struct Selector(Vec<(String, Vec<String>)>);

impl Selector {
    pub(super) fn parse(text: &str) -> Self {
        let mut terms = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let end = rest.find([',', '(']).unwrap_or(rest.len());
            let end = if rest[end..].starts_with('(') { rest.find(')').map_or(rest.len(), |end| end + 1) } else { end };
            let (term, after) = rest.split_at(end);
            terms.extend(Self::term(term));
            rest = after.trim_start_matches(',').trim();
        }
        Self(terms)
    }

    fn term(term: &str) -> Option<(String, Vec<String>)> {
        if let Some((key, values)) = term.split_once(" in ") {
            let values = values.trim().trim_matches(['(', ')']).split(',');
            return Some((key.trim().to_owned(), values.map(|value| value.trim().to_owned()).collect()));
        }
        let (key, value) = term.split_once('=')?;
        Some((key.trim().to_owned(), vec![value.trim_start_matches('=').trim().to_owned()]))
    }

    /// The value of a label that can have one only.
    pub(super) fn value(&self, label: &str) -> Option<&str> {
        let (_, values) = self.0.iter().find(|(key, _)| key == label)?;
        values.first().filter(|_| values.len() == 1).map(String::as_str)
    }

    /// Whether a v1 resource has such labels.
    pub(super) fn takes(&self, resource: &Value) -> bool {
        let labels = &resource["metadata"]["labels"];
        self.0.iter().all(|(key, values)| labels[key].as_str().is_some_and(|has| values.iter().any(|it| it == has)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_takes_resources_with_one_of_the_values_for_each_label() {
        let resource = |job: &str, state: &str| json!({"metadata": {"labels": {"x/job": job, "x/state": state}}});
        for text in ["x/job = a,x/state in (Failed, Running)", "x/state in (Failed,Running), x/job=a"] {
            let selector = Selector::parse(text);
            assert_eq!((selector.value("x/job"), selector.value("x/state")), (Some("a"), None));
            assert!(selector.takes(&resource("a", "Running")) && !selector.takes(&resource("a", "Pending")));
            assert!(!selector.takes(&resource("b", "Failed")));
        }
        assert!(Selector::parse("").takes(&json!({})));
    }
}
