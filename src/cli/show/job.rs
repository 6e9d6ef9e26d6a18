//! A job for people: in a list, and in full.

use serde_json::Value;

use super::{changes, json, mend, view};
use crate::{
    JobName,
    cli::{
        failure::Failure,
        flags::{global::Format, listing::Known},
        listing::{Key, Listed},
        printer::Printer,
    },
    proto::run::v2::{Job, condition::State},
};

/// Shows a job in full.
pub(in crate::cli) fn show(printer: &Printer, job: &Job) -> Result<(), Failure> {
    match printer.format() {
        Format::Json => printer.json(&json::resource(job)?),
        Format::Text => printer.pairs([rows(job), rest(job)?].concat()),
    }
}

fn rows(job: &Job) -> Vec<[String; 2]> {
    let row = |name: &str, value: String| [name.to_owned(), value];
    let mut rows = vec![
        row("job", job.name.clone()),
        row("state", state(job)),
        row("executions", job.execution_count.to_string()),
        row("latest", latest(job)),
        row("created", view::time(job.create_time.as_ref())),
        row("updated", view::time(job.update_time.as_ref())),
    ];
    let reason = job.terminal_condition.iter().map(|condition| &condition.message).find(|message| !message.is_empty());
    rows.extend(reason.map(|message| row("reason", message.clone())));
    let name = job.name.parse::<JobName>().ok();
    let mends = mend::reason(job).zip(name).and_then(|(condition, name)| mend::command(&name, condition));
    rows.extend(mends.map(|command| row("mended by", command)));
    if let Some(template) = &job.template {
        rows.push(row("tasks", template.task_count.to_string()));
        if template.parallelism != 0 {
            rows.push(row("parallelism", template.parallelism.to_string()));
        }
        rows.extend(template.template.iter().flat_map(view::template));
    }
    rows
}

/// Fields that have rows elsewhere in the description, and those that only the service sets.
const TOLD: [&str; 14] = [
    "name",
    "uid",
    "generation",
    "observedGeneration",
    "etag",
    "reconciling",
    "createTime",
    "updateTime",
    "terminalCondition",
    "conditions",
    "executionCount",
    "latestCreatedExecution",
    "template.taskCount",
    "template.parallelism",
];
const TOLD_OF_TASKS: [&str; 2] = ["timeout", "maxRetries"];
const TOLD_OF_CONTAINERS: [&str; 5] = ["name", "image", "command", "args", "env"];

/// Everything else that is set, by its field in JSON.
fn rest(job: &Job) -> Result<Vec<[String; 2]>, Failure> {
    let set = changes::between(&Value::Null, &json::resource(job)?).into_iter().filter(|set| !is_told(&set.path));
    let text = |value: Value| value.as_str().map(str::to_owned).unwrap_or_else(|| value.to_string());
    Ok(set.map(|set| [set.path, text(set.after)]).collect())
}

fn is_told(path: &str) -> bool {
    let is_in = |fields: &[&str], path: &str| {
        let rest = fields.iter().filter_map(|field| path.strip_prefix(field));
        rest.into_iter().any(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let Some(of_tasks) = path.strip_prefix("template.template.") else { return is_in(&TOLD, path) };
    match of_tasks.strip_prefix("containers[").and_then(|rest| rest.split_once("].")) {
        Some((_, of_container)) => is_in(&TOLD_OF_CONTAINERS, of_container),
        None => is_in(&TOLD_OF_TASKS, of_tasks),
    }
}

impl Listed for Job {
    type Resource = Self;

    const KNOWN: Known = Known {
        columns: &["JOB", "STATE", "EXECUTIONS", "LATEST", "CREATED"],
        states: &["ready", "failed", "pending"],
        fields: &["name", "state", "executions", "created", "updated"],
        has_labels: true,
    };

    fn resource(&self) -> &Self {
        self
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> String {
        state(self)
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }

    fn key(&self, field: &str) -> Key {
        match field {
            "name" => Key::text(&view::id(&self.name)),
            "state" => Key::text(&state(self)),
            "executions" => Key::number(self.execution_count),
            "updated" => Key::time(self.update_time.as_ref()),
            _ => Key::time(self.create_time.as_ref()),
        }
    }

    fn row(&self) -> Vec<String> {
        vec![
            view::id(&self.name),
            state(self),
            self.execution_count.to_string(),
            latest(self),
            view::time(self.create_time.as_ref()),
        ]
    }
}

fn state(job: &Job) -> String {
    match job.terminal_condition.as_ref().map(|condition| condition.state()) {
        Some(State::ConditionSucceeded) => "ready",
        Some(State::ConditionFailed) => "failed",
        _ => "pending",
    }
    .to_owned()
}

fn latest(job: &Job) -> String {
    let latest = job.latest_created_execution.as_ref().map(|latest| view::id(&latest.name));
    latest.filter(|id| !id.is_empty()).unwrap_or_else(|| view::NOTHING.to_owned())
}
