//! Cloud Logging's `entries:list`, as far as `gcloud run jobs logs read` asks it: the output of tasks.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use prost_types::Timestamp;
use serde_json::{Value, json};

use crate::emulator::{
    logs::{Entry, Logs},
    runtime::output::Stream,
};

const DEFAULT_SIZE: usize = 1000;
const EXECUTION_LABEL: &str = "run.googleapis.com/execution_name";

/// The entries of one project; a filter is read for equalities of labels and for times, and the rest of it is ignored.
pub(super) fn list(logs: &Logs, project: &str, request: &Value) -> Value {
    let filter = request["filter"].as_str().unwrap_or_default();
    let time = |entry: &Entry| Timestamp::from(entry.time).to_string();
    let is = |key: &str, value: &str| compared(filter, key, "=").is_none_or(|wanted| wanted == value);
    let mut found = logs.list(|entry| {
        let execution = &entry.line.attempt.execution;
        let (job, location) = (execution.job(), execution.job().location());
        location.project() == project
            && is("resource.type", "cloud_run_job")
            && is("resource.labels.job_name", job.id())
            && is("resource.labels.location", location.region())
            && is(EXECUTION_LABEL, execution.id())
            && compared(filter, "timestamp", ">=").is_none_or(|from| time(entry).as_str() >= from)
            && compared(filter, "timestamp", "<=").is_none_or(|until| time(entry).as_str() <= until)
    });
    if request["orderBy"].as_str().is_some_and(|order| order.ends_with("desc")) {
        found.reverse();
    }
    let size = request["pageSize"].as_u64().and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0);
    found.truncate(size.unwrap_or(DEFAULT_SIZE));
    json!({"entries": found.iter().map(show).collect::<Vec<_>>()})
}

fn show(entry: &Entry) -> Value {
    let attempt = &entry.line.attempt;
    let (execution, job) = (&attempt.execution, attempt.execution.job());
    let project = job.location().project();
    let output = if entry.line.stream == Stream::Stdout { "stdout" } else { "stderr" };
    let labels = json!({
        EXECUTION_LABEL: execution.id(),
        "run.googleapis.com/task_index": attempt.task_index.to_string(),
        "run.googleapis.com/task_attempt": attempt.attempt.to_string(),
    });
    let resource = json!({"project_id": project, "job_name": job.id(), "location": job.location().region()});
    json!({
        "logName": format!("projects/{project}/logs/run.googleapis.com%2F{output}"),
        "insertId": BASE64_URL_SAFE_NO_PAD.encode(entry.number.to_be_bytes()),
        "timestamp": Timestamp::from(entry.time).to_string(),
        "receiveTimestamp": Timestamp::from(entry.time).to_string(),
        "severity": "DEFAULT",
        "labels": labels,
        "resource": {"type": "cloud_run_job", "labels": resource},
        "textPayload": entry.line.line,
    })
}

/// What a key is compared with in a filter: `key="value"`, with or without quotes and spaces.
fn compared<'a>(filter: &'a str, key: &str, operator: &str) -> Option<&'a str> {
    filter.match_indices(key).find_map(|(start, _)| {
        let rest = filter[start + key.len()..].trim_start_matches(['"', '\'']).trim_start();
        let value = rest.strip_prefix(operator)?.trim_start();
        let quoted = value.strip_prefix('"').and_then(|value| value.split('"').next());
        quoted.or_else(|| value.split([' ', '\n', ')']).next()).filter(|value| !value.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_compares_keys_with_values_in_either_spelling() {
        let filter = "resource.type = cloud_run_job \n AND resource.labels.job_name=\"j\" AND \
                      labels.\"run.googleapis.com/execution_name\"=\"e\" AND timestamp>=\"2026-01-01T00:00:00Z\"";
        for (key, operator, value) in [
            ("resource.type", "=", Some("cloud_run_job")),
            ("resource.labels.job_name", "=", Some("j")),
            (EXECUTION_LABEL, "=", Some("e")),
            ("timestamp", ">=", Some("2026-01-01T00:00:00Z")),
            ("timestamp", "<=", None),
            ("resource.labels.location", "=", None),
        ] {
            assert_eq!(compared(filter, key, operator), value, "{key}");
        }
    }
}
