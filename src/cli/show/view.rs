//! Resources for people: the pieces that tables and descriptions share.

use prost_types::{Duration, Timestamp};

use crate::proto::run::v2::{
    Container, EnvVar, TaskTemplate, env_var, run_job_request::overrides::ContainerOverride, task_template,
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
fn duration(duration: Option<&Duration>) -> String {
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

/// Rows that say what a container runs. Lists are in JSON, so that every element is told from the next.
fn container(container: &Container) -> Vec<[String; 2]> {
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
    let value = match &variable.values {
        Some(env_var::Values::Value(value)) => value.clone(),
        Some(env_var::Values::ValueSource(source)) => match &source.secret_key_ref {
            Some(secret) => format!("(secret {}, version {})", secret.secret, secret.version),
            None => String::new(),
        },
        None => String::new(),
    };
    format!("{}={value}", variable.name)
}
