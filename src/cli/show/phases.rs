//! How long an execution queued, started and ran, by its own times and conditions.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use serde::Serialize;

use super::view;
use crate::proto::run::v2::{Execution, condition::State};

/// A phase that has begun, or a step within one.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Span {
    phase: &'static str,
    from: String,
    /// There once it is over, as is its length.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<Self>,
}

/// The phases so far. It queues until its image and its resources are there, starts until its first task runs, and runs
/// until it ends; where the service does not tell the first from the second, both are the start.
pub(in crate::cli) fn phases(execution: &Execution) -> Vec<Span> {
    let Some(created) = execution.create_time else { return Vec::new() };
    let image = reached(execution, "ContainerReady");
    let resources = reached(execution, "ResourcesAvailable");
    let ready = resources.or(image);
    let started = execution.start_time.or_else(|| reached(execution, "Started"));
    let ended = execution.completion_time;

    let mut spans = Vec::new();
    if ready.is_some() || started.is_none() {
        let image_step = image.map(|image| Span::new("image", created, Some(image)));
        let resources_step = image.zip(resources).map(|(image, there)| Span::new("resources", image, Some(there)));
        let queued = Span::new("queued", created, ready.or(ended));
        spans.push(Span { steps: image_step.into_iter().chain(resources_step).collect(), ..queued });
    }
    if ready.is_some() || started.is_some() {
        spans.push(Span::new("starting", ready.unwrap_or(created), started.or(ended)));
    }
    spans.extend(started.map(|started| Span::new("running", started, ended)));
    spans
}

/// When this condition came true.
fn reached(execution: &Execution, kind: &str) -> Option<Timestamp> {
    let mut conditions = execution.conditions.iter().filter(|condition| condition.r#type == kind);
    conditions.find(|condition| condition.state() == State::ConditionSucceeded)?.last_transition_time
}

impl Span {
    fn new(phase: &'static str, from: Timestamp, to: Option<Timestamp>) -> Self {
        let length = to.map(|to| between(from, to));
        Self {
            phase,
            from: from.to_string(),
            to: to.map(|to| to.to_string()),
            seconds: length.map(|length| length.as_secs_f64()),
            steps: Vec::new(),
        }
    }

    /// Its name and its length, as a row for people.
    pub(in crate::cli) fn row(&self) -> [String; 2] {
        let steps: Vec<_> = self.steps.iter().map(|step| format!("{} {}", step.phase, step.length())).collect();
        let steps = if steps.is_empty() { String::new() } else { format!(" ({})", steps.join(", ")) };
        [self.phase.to_owned(), self.length() + &steps]
    }

    fn length(&self) -> String {
        match self.seconds {
            Some(seconds) => view::length(Duration::try_from_secs_f64(seconds).unwrap_or_default()),
            None => format!("since {}", self.from),
        }
    }
}

/// Nothing where the clocks that were read disagree.
fn between(from: Timestamp, to: Timestamp) -> Duration {
    let time = |at: Timestamp| SystemTime::try_from(at).ok();
    let length = time(from).zip(time(to)).and_then(|(from, to)| to.duration_since(from).ok());
    length.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::run::v2::Condition;

    fn at(millis: i64) -> Option<Timestamp> {
        Some(Timestamp { seconds: millis / 1000, nanos: (millis % 1000) as i32 * 1_000_000 })
    }

    fn condition(kind: &str, millis: i64) -> Condition {
        Condition {
            r#type: kind.into(),
            state: State::ConditionSucceeded.into(),
            last_transition_time: at(millis),
            ..Condition::default()
        }
    }

    fn rows(execution: &Execution) -> Vec<String> {
        phases(execution).iter().map(|span| span.row().join(" ")).collect()
    }

    #[test]
    fn a_finished_execution_queued_started_and_ran() {
        let execution = Execution {
            create_time: at(53_230),
            conditions: vec![condition("ContainerReady", 54_950), condition("ResourcesAvailable", 55_030)],
            start_time: at(56_300),
            completion_time: at(146_940),
            ..Execution::default()
        };
        let expected = ["queued 1.8s (image 1.72s, resources 0.08s)", "starting 1.27s", "running 1m30.64s"];
        assert_eq!(rows(&execution), expected);
        let json = serde_json::to_value(phases(&execution)).expect("serializes");
        assert_eq!((&json[0]["steps"][1]["seconds"], &json[2]["phase"]), (&0.08.into(), &"running".into()), "{json}");
    }

    #[test]
    fn a_phase_that_lasts_has_a_beginning_only() {
        let mut execution = Execution { create_time: at(0), ..Execution::default() };
        assert_eq!(rows(&execution), ["queued since 1970-01-01T00:00:00Z"]);
        execution.conditions = vec![condition("ContainerReady", 1500)];
        assert_eq!(rows(&execution), ["queued 1.5s (image 1.5s)", "starting since 1970-01-01T00:00:01.500Z"]);
        execution.start_time = at(2000);
        assert_eq!(rows(&execution)[2], "running since 1970-01-01T00:00:02Z");
    }

    #[test]
    fn what_was_never_reached_is_no_phase() {
        let cancelled = Execution { create_time: at(0), completion_time: at(4000), ..Execution::default() };
        assert_eq!(rows(&cancelled), ["queued 4s"]);
        let bare = Execution { start_time: at(1000), ..cancelled };
        assert_eq!(rows(&bare), ["starting 1s", "running 3s"]);
        let backwards = Execution { start_time: at(5000), ..bare };
        assert_eq!(rows(&backwards), ["starting 5s", "running 0s"]);
        assert!(rows(&Execution::default()).is_empty());
    }
}
