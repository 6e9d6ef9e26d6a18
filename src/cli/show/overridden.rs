//! What the overrides of a start changed: an execution beside the job that it was started from.
//!
//! The service keeps no overrides, so they are found by comparing, and only where the job is still what it was then.

use std::time::Duration;

use prost_types::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::view;
use crate::{
    Error, ErrorKind,
    proto::run::v2::{Container, Execution, Job, TaskTemplate},
};

/// The service's task timeout where a job has none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// What overrides changed, or why that is not known.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Comparison {
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_because: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Vec<OverriddenValue>>,
}

/// One value that is another one than the job's.
#[derive(Debug, Serialize)]
struct OverriddenValue {
    /// The container, where the value is one of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
    field: String,
    /// The job's own; nothing where the job has none.
    job: Option<Value>,
    execution: Option<Value>,
}

impl Comparison {
    /// What differs between the execution and its job, as far as reading the job shows that. Both have their values
    /// as they are; `show` is how a value of a variable is shown.
    pub(in crate::cli) fn of(execution: &Execution, job: &Result<Job, Error>, show: impl Fn(&str) -> String) -> Self {
        let job = match job {
            Ok(job) => job,
            Err(error) if error.kind() == ErrorKind::NotFound => return Self::unknown("the job is gone".to_owned()),
            Err(error) => return Self::unknown(format!("the job could not be read: {error}")),
        };
        match doubt(execution, job) {
            Some(doubt) => Self::unknown(doubt),
            None => Self { unknown_because: None, changed: Some(differences(execution, job, show)) },
        }
    }

    fn unknown(why: String) -> Self {
        Self { unknown_because: Some(why), changed: None }
    }

    /// One row per change; a single row when nothing was changed, or when that is unknown.
    pub(in crate::cli) fn rows(&self) -> Vec<[String; 2]> {
        let row = |text: String| ["overridden".to_owned(), text];
        match (&self.changed, &self.unknown_because) {
            (Some(changed), _) if changed.is_empty() => vec![row("nothing".to_owned())],
            (Some(changed), _) => changed.iter().map(|difference| row(difference.text())).collect(),
            (None, why) => vec![row(format!("unknown: {}", why.as_deref().unwrap_or_default()))],
        }
    }
}

/// Why the job may not be what it was when the execution began.
fn doubt(execution: &Execution, job: &Job) -> Option<String> {
    let is_later = |time: &Option<Timestamp>| match (time, &execution.create_time) {
        (Some(time), Some(start)) => (time.seconds, time.nanos) > (start.seconds, start.nanos),
        _ => false,
    };
    let at = |time: &Option<Timestamp>| view::time(time.as_ref());
    if is_later(&job.create_time) {
        return Some(format!("the job is another one by now, created {}", at(&job.create_time)));
    }
    // A job of the first generation was never changed, whatever its time says.
    (job.generation > 1 && is_later(&job.update_time))
        .then(|| format!("the job was updated after this start, {}", at(&job.update_time)))
}

fn differences(execution: &Execution, job: &Job, show: impl Fn(&str) -> String) -> Vec<OverriddenValue> {
    let (ours, theirs) = (execution.template.as_ref(), job.template.as_ref());
    let (none, empty) = (TaskTemplate::default(), Vec::new());
    let their_template = theirs.and_then(|theirs| theirs.template.as_ref());
    let mut found = Vec::new();
    let mut compare = |field: &str, job: Value, execution: Value| {
        if job != execution {
            found.push(OverriddenValue {
                container: None,
                field: field.to_owned(),
                job: Some(job),
                execution: Some(execution),
            });
        }
    };
    let count = theirs.map_or(1, |theirs| theirs.task_count.max(1));
    compare("tasks", count.into(), execution.task_count.into());
    compare("taskTimeout", timeout(their_template).into(), timeout(ours).into());
    let containers = &ours.unwrap_or(&none).containers;
    let several = containers.len() > 1;
    let pairs = containers.iter().zip(their_template.map_or(&empty, |template| &template.containers));
    found.extend(pairs.flat_map(|(container, own)| {
        let name = several.then(|| container.name.clone());
        of_container(container, own, &show).into_iter().map(move |it| OverriddenValue { container: name.clone(), ..it })
    }));
    found
}

fn timeout(template: Option<&TaskTemplate>) -> String {
    let timeout = template.and_then(|template| template.timeout);
    view::length(timeout.and_then(|timeout| Duration::try_from(timeout).ok()).unwrap_or(DEFAULT_TIMEOUT))
}

/// What overrides can change of a container: its arguments and its variables.
fn of_container(container: &Container, own: &Container, show: impl Fn(&str) -> String) -> Vec<OverriddenValue> {
    let mut found = Vec::new();
    if container.args != own.args {
        let field = "args".to_owned();
        found.push(OverriddenValue {
            container: None,
            field,
            job: Some(json!(own.args)),
            execution: Some(json!(container.args)),
        });
    }
    let shown = |env: &crate::proto::run::v2::EnvVar| view::value(env, &show);
    for variable in &container.env {
        let before = own.env.iter().find(|before| before.name == variable.name);
        if before != Some(variable) {
            found.push(OverriddenValue {
                container: None,
                field: format!("env {}", variable.name),
                job: before.map(|before| shown(before).into()),
                execution: Some(shown(variable).into()),
            });
        }
    }
    found
}

impl OverriddenValue {
    fn text(&self) -> String {
        let container = self.container.as_ref().map(|name| format!("container {name}: ")).unwrap_or_default();
        let value = |value: &Option<Value>| match value {
            None => "not set".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let field = if self.field == "taskTimeout" { "task timeout" } else { &self.field };
        format!("{container}{field}: {} (job: {})", value(&self.execution), value(&self.job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::run::v2::{EnvVar, ExecutionTemplate, env_var::Values};

    fn at(seconds: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds, nanos: 0 })
    }

    fn container(name: &str, args: &[&str], env: &[(&str, &str)]) -> Container {
        let variable = |(name, value): &(&str, &str)| EnvVar {
            name: (*name).into(),
            values: Some(Values::Value((*value).into())),
        };
        Container {
            name: name.into(),
            args: args.iter().map(ToString::to_string).collect(),
            env: env.iter().map(variable).collect(),
            ..Container::default()
        }
    }

    fn job(containers: Vec<Container>) -> Job {
        let template = TaskTemplate { containers, ..TaskTemplate::default() };
        let template = ExecutionTemplate { template: Some(template), ..ExecutionTemplate::default() };
        Job { generation: 1, create_time: at(1), update_time: at(1), template: Some(template), ..Job::default() }
    }

    fn execution(containers: Vec<Container>) -> Execution {
        let timeout = Some(prost_types::Duration { seconds: 600, nanos: 0 });
        let template = Some(TaskTemplate { containers, timeout, ..TaskTemplate::default() });
        Execution { create_time: at(10), task_count: 1, template, ..Execution::default() }
    }

    fn rows(execution: &Execution, job: Result<Job, Error>) -> Vec<String> {
        let rows = Comparison::of(execution, &job, |_| "***".to_owned()).rows();
        rows.into_iter().map(|[_, text]| text).collect()
    }

    #[test]
    fn each_value_that_was_overridden_stands_beside_the_jobs() {
        let job = job(vec![container("", &["a"], &[("MODE", "fast"), ("SAME", "s")])]);
        let mut started = execution(vec![container("", &["b,c"], &[("MODE", "slow"), ("SAME", "s"), ("NEW", "n")])]);
        started.task_count = 3;
        started.template.as_mut().expect("it has one").timeout = Some(prost_types::Duration { seconds: 5, nanos: 0 });
        let expected = [
            "tasks: 3 (job: 1)",
            "task timeout: 5s (job: 10m0s)",
            "args: [\"b,c\"] (job: [\"a\"])",
            "env MODE: *** (job: ***)",
            "env NEW: *** (job: not set)",
        ];
        assert_eq!(rows(&started, Ok(job.clone())), expected);
        assert_eq!(
            rows(&execution(vec![container("", &["a"], &[("MODE", "fast"), ("SAME", "s")])]), Ok(job)),
            ["nothing"]
        );
    }

    #[test]
    fn of_several_containers_the_one_is_named() {
        let job = job(vec![container("a", &[], &[]), container("b", &["x"], &[])]);
        let started = execution(vec![container("a", &[], &[]), container("b", &[], &[])]);
        assert_eq!(rows(&started, Ok(job)), ["container b: args: [] (job: [\"x\"])"]);
    }

    #[test]
    fn nothing_is_guessed_when_the_job_is_not_what_it_was() {
        let started = execution(vec![container("", &["b"], &[])]);
        let same = job(vec![container("", &["a"], &[])]);
        let changed = Job { generation: 2, update_time: at(20), ..same.clone() };
        let expected = "unknown: the job was updated after this start, 1970-01-01T00:00:20Z";
        assert_eq!(rows(&started, Ok(changed)), [expected]);
        let another = Job { create_time: at(11), ..same.clone() };
        let expected = "unknown: the job is another one by now, created 1970-01-01T00:00:11Z";
        assert_eq!(rows(&started, Ok(another)), [expected]);
        assert_eq!(rows(&started, Err(Error::new(ErrorKind::NotFound, ""))), ["unknown: the job is gone"]);
        let before = Job { generation: 2, update_time: at(9), ..same };
        assert_eq!(rows(&started, Ok(before)), ["args: [\"b\"] (job: [\"a\"])"]);
    }
}
