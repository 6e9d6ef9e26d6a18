//! Resources for people: the pieces that tables and descriptions share.

use prost_types::{Duration, Timestamp};
use tonic::Code;

use crate::proto::run::v2::{
    Container, EnvVar, Task, TaskTemplate, env_var, run_job_request::overrides::ContainerOverride, task_template,
};

/// What stands where there is nothing.
pub(in crate::cli) const NOTHING: &str = "-";

/// The last part of a resource name. Names in some fields are short already.
pub(in crate::cli) fn id(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_owned()
}

/// A time in RFC 3339, to the second.
pub(in crate::cli) fn time(time: Option<&Timestamp>) -> String {
    time.map_or_else(|| NOTHING.to_owned(), |time| Timestamp { nanos: 0, ..*time }.to_string())
}

/// A duration as the API writes it, e.g. `600s`.
pub(in crate::cli) fn duration(duration: Option<&Duration>) -> String {
    duration.map_or_else(|| NOTHING.to_owned(), ToString::to_string)
}

/// Rows that say what each task runs.
pub(in crate::cli) fn template(template: &TaskTemplate) -> Vec<[String; 2]> {
    let mut rows = vec![["task timeout".to_owned(), duration(template.timeout.as_ref())]];
    if let Some(task_template::Retries::MaxRetries(retries)) = template.retries {
        rows.push(["max retries".to_owned(), retries.to_string()]);
    }
    rows.extend(template.containers.iter().flat_map(container));
    rows
}

/// Rows that say what one start changes about a container.
pub(in crate::cli) fn container_override(changed: &ContainerOverride) -> Vec<[String; 2]> {
    let mut rows = Vec::new();
    if !changed.name.is_empty() {
        rows.push(["container".to_owned(), changed.name.clone()]);
    }
    if changed.clear_args || !changed.args.is_empty() {
        rows.push(["args".to_owned(), list(&changed.args)]);
    }
    rows.extend(changed.env.iter().map(|variable| ["env".to_owned(), env(variable)]));
    rows
}

/// Rows with the memory, processors and other amounts that each container is given.
pub(in crate::cli) fn limits(template: &TaskTemplate) -> Vec<[String; 2]> {
    let mut rows = Vec::new();
    for container in &template.containers {
        let whose = if template.containers.len() > 1 { format!(" for {}", container.name) } else { String::new() };
        let mut limits: Vec<_> = container.resources.iter().flat_map(|resources| &resources.limits).collect();
        limits.sort_unstable();
        rows.extend(limits.into_iter().map(|(what, limit)| [what.clone(), format!("{limit}{whose}")]));
    }
    rows
}

/// Rows that say what a container runs. Lists are in JSON, so that elements are distinguishable.
pub(in crate::cli) fn container(container: &Container) -> Vec<[String; 2]> {
    let mut rows = Vec::new();
    if !container.name.is_empty() {
        rows.push(["container".to_owned(), container.name.clone()]);
    }
    rows.push(["image".to_owned(), container.image.clone()]);
    if !container.command.is_empty() {
        rows.push(["command".to_owned(), list(&container.command)]);
    }
    if !container.args.is_empty() {
        rows.push(["args".to_owned(), list(&container.args)]);
    }
    rows.extend(container.env.iter().map(|variable| ["env".to_owned(), env(variable)]));
    rows
}

fn list(elements: &[String]) -> String {
    serde_json::Value::from(elements).to_string()
}

fn env(variable: &EnvVar) -> String {
    format!("{}={}", variable.name, value(variable, str::to_owned))
}

/// A variable's value as `show` shows it, or where it comes from.
pub(in crate::cli) fn value(variable: &EnvVar, show: impl Fn(&str) -> String) -> String {
    match &variable.values {
        Some(env_var::Values::Value(value)) => show(value),
        Some(env_var::Values::ValueSource(source)) => match &source.secret_key_ref {
            Some(secret) => format!("(secret {}, version {})", secret.secret, secret.version),
            None => String::new(),
        },
        None => String::new(),
    }
}

/// A length of time with at most two decimals: `0.08s`, `1m30.64s`, `2h0m5s`.
pub(in crate::cli) fn length(length: std::time::Duration) -> String {
    let (minutes, hundredths) = (length.as_secs() / 60, length.subsec_millis() / 10);
    let seconds = match (length.as_secs() % 60, hundredths) {
        (seconds, 0) => format!("{seconds}s"),
        (seconds, part) => format!("{seconds}.{}s", format!("{part:02}").trim_end_matches('0')),
    };
    match (minutes / 60, minutes % 60) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

/// How a task's last attempt ended, when one has: the exit code, the signal, or what the service says.
pub(in crate::cli) fn last_attempt(task: &Task) -> String {
    let Some(result) = &task.last_attempt_result else { return NOTHING.to_owned() };
    match &result.status {
        Some(status) if status.code == Code::DeadlineExceeded as i32 => "timed out".to_owned(),
        _ if result.term_signal != 0 => format!("signal {}", result.term_signal),
        _ if result.exit_code != 0 => format!("exit code {}", result.exit_code),
        Some(status) if status.code != 0 => status.message.clone(),
        _ => "exit code 0".to_owned(),
    }
}
