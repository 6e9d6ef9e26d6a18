//! What `execute` and `wait` print about an execution: one stable object, as JSON or as lines.
//!
//! The object's shape is a contract with scripts. Knows no command and no stream.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::{
    failures::{self, FailedTask},
    hints::{self, Retried},
    logs::LogLinks,
    phases::{Span, phases},
};
use crate::{ExecutionName, Finished, Outcome, Run, TaskFailure, outcome::is_finished, proto::run::v2::Execution};

/// What is known of an execution when a command ends.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Report {
    execution: String,
    /// The operation that started it, unless the execution was found by its own name.
    operation: Option<String>,
    outcome: Word,
    /// There when it was found by its start key or token, and not started by this command.
    #[serde(skip_serializing_if = "is_false")]
    adopted: bool,
    tasks: Counts,
    failures: Vec<FailedTask>,
    /// The tasks that are known to have been tried more than once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    retried: Vec<Retried>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    phases: Vec<Span>,
    /// What to do about it, in sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hints: Vec<String>,
    #[serde(flatten)]
    logs: Option<LogLinks>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Word {
    Started,
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
    Deleted,
    /// Ended, without proof of success.
    Unknown,
}

#[derive(Debug, Default, Serialize)]
struct Counts {
    total: i32,
    succeeded: i32,
    failed: i32,
    cancelled: i32,
    /// Tasks that were retried at least once.
    retried: i32,
}

impl Report {
    /// An execution that was started and has not been seen to end.
    pub(in crate::cli) fn started(run: &Run) -> Self {
        let report = match run.latest() {
            Some(execution) => Self::of(run.execution(), execution, &[], Vec::new()),
            None => Self::unseen(run.execution().to_string()),
        };
        Self { hints: Vec::new(), ..report.of_run(run) }
    }

    #[cfg(test)]
    pub(in crate::cli) fn for_tests(execution: &str) -> Self {
        Self::unseen(execution.to_owned())
    }

    /// Whether it tells how the execution ended.
    pub(in crate::cli) fn is_finished(&self) -> bool {
        self.outcome != Word::Started
    }

    /// An execution that has ended.
    pub(in crate::cli) fn finished(run: &Run, finished: &Finished) -> Self {
        let failures = finished.outcome().failures().iter().map(FailedTask::of);
        let retried = failures.filter_map(|failure| Retried::of_failure(&failure)).collect();
        let report = Self::of(finished.name(), finished.execution(), finished.outcome().failures(), retried);
        Self { outcome: Word::of(finished.outcome()), ..report.of_run(run) }
    }

    /// An execution that was looked at, with what its tasks tell of it.
    pub(in crate::cli) fn seen(
        name: &ExecutionName,
        execution: &Execution,
        failures: Vec<TaskFailure>,
        retried: Vec<Retried>,
    ) -> Self {
        let report = Self::of(name, execution, &failures, retried);
        if !is_finished(execution) {
            return report;
        }
        Self { outcome: Word::of(&Outcome::of(execution, failures)), ..report }
    }

    fn of(name: &ExecutionName, execution: &Execution, failures: &[TaskFailure], retried: Vec<Retried>) -> Self {
        let failures: Vec<_> = failures.iter().map(FailedTask::of).collect();
        Self {
            tasks: Counts::of(execution),
            hints: hints::hints(name.job(), execution, &failures, &retried),
            logs: Some(LogLinks::of(name, execution)),
            phases: phases(execution),
            failures,
            retried,
            ..Self::unseen(name.to_string())
        }
    }

    fn unseen(execution: String) -> Self {
        Self {
            execution,
            operation: None,
            outcome: Word::Started,
            adopted: false,
            tasks: Counts::default(),
            failures: Vec::new(),
            retried: Vec::new(),
            phases: Vec::new(),
            hints: Vec::new(),
            logs: None,
        }
    }

    fn of_run(self, run: &Run) -> Self {
        Self { operation: run.operation().map(ToString::to_string), adopted: run.was_adopted(), ..self }
    }

    /// Rows about a seen execution: the phases, the failures, what to do, and where the logs are.
    pub(in crate::cli) fn rows(&self) -> Vec<[String; 2]> {
        let row = |name: &str, value: String| [name.to_owned(), value];
        let failures = failures::lines(&self.failures).into_iter().map(|line| row("failed", line));
        let hints = self.hints.iter().map(|hint| row("hint", hint.clone()));
        let logs = self.logs.iter().flat_map(LogLinks::pairs).map(|(name, value)| row(name, value));
        self.phases.iter().map(Span::row).chain(failures).chain(hints).chain(logs).collect()
    }

    /// Whether it says that the execution ran into its time limit.
    pub(in crate::cli) fn is_timed_out(&self) -> bool {
        self.outcome == Word::TimedOut
    }
}

impl Word {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Failed(_) => Self::Failed,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::TimedOut(_) => Self::TimedOut,
            Outcome::Deleted => Self::Deleted,
            Outcome::Unknown => Self::Unknown,
        }
    }
}

impl Counts {
    fn of(execution: &Execution) -> Self {
        Self {
            total: execution.task_count,
            succeeded: execution.succeeded_count,
            failed: execution.failed_count,
            cancelled: execution.cancelled_count,
            retried: execution.retried_count,
        }
    }
}

/// The lines for people. Of a start it is the name alone, for use in another command. The verdict is the last line, where
/// it is still to be seen when much stands before it.
impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.is_finished() {
            return f.write_str(&self.execution);
        }
        failures::lines(&self.failures).iter().try_for_each(|line| writeln!(f, "{line}"))?;
        self.hints.iter().try_for_each(|hint| writeln!(f, "hint: {hint}"))?;
        if let (Word::Failed | Word::TimedOut | Word::Unknown, Some(logs)) = (self.outcome, &self.logs) {
            logs.pairs().try_for_each(|(name, value)| writeln!(f, "{name}: {value}"))?;
        }
        write!(f, "{} {} ({})", self.outcome, self.execution, self.tasks)
    }
}

impl Display for Word {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Started => "STARTED",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::TimedOut => "TIMED_OUT",
            Self::Deleted => "DELETED",
            Self::Unknown => "UNKNOWN",
        })
    }
}

/// The total, and of the rest what there is.
impl Display for Counts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.total, if self.total == 1 { "task" } else { "tasks" })?;
        let parts = [
            (self.succeeded, "succeeded"),
            (self.failed, "failed"),
            (self.cancelled, "cancelled"),
            (self.retried, "retried"),
        ];
        parts.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{TaskEnd, cli::show::failures::tests::failure};

    fn failed() -> Report {
        Report {
            outcome: Word::Failed,
            tasks: Counts { total: 3, succeeded: 1, failed: 2, cancelled: 0, retried: 2 },
            failures: vec![
                failure(0, 4, TaskEnd::ExitCode(3), "The container exited with an error."),
                failure(2, 4, TaskEnd::Signal(9), ""),
            ],
            hints: vec!["do this".into()],
            ..Report::for_tests("projects/p/locations/r/jobs/j/executions/j-a")
        }
    }

    #[test]
    fn the_object_has_the_promised_shape() {
        let expected = json!({
            "execution": "projects/p/locations/r/jobs/j/executions/j-a",
            "operation": null,
            "outcome": "FAILED",
            "tasks": {"total": 3, "succeeded": 1, "failed": 2, "cancelled": 0, "retried": 2},
            "failures": [
                {"task": 0, "attempts": 4, "exitCode": 3, "message": "The container exited with an error."},
                {"task": 2, "attempts": 4, "signal": 9, "message": ""},
            ],
            "hints": ["do this"],
        });
        assert_eq!(serde_json::to_value(failed()).expect("serializes"), expected);
    }

    #[test]
    fn the_words_are_the_same_in_both_formats() {
        for word in [
            Word::Started,
            Word::Succeeded,
            Word::Failed,
            Word::Cancelled,
            Word::TimedOut,
            Word::Deleted,
            Word::Unknown,
        ] {
            assert_eq!(serde_json::to_value(word).expect("serializes"), json!(word.to_string()));
        }
    }

    #[test]
    fn the_verdict_is_the_last_line() {
        let expected = "task 0: exit code 3 after 4 attempts: The container exited with an error.\n\
            task 2: signal 9 after 4 attempts\n\
            hint: do this\n\
            FAILED projects/p/locations/r/jobs/j/executions/j-a (3 tasks, 1 succeeded, 2 failed, 2 retried)";
        assert_eq!(failed().to_string(), expected);
    }

    #[test]
    fn of_a_start_the_line_is_the_name_alone() {
        let started = Report { outcome: Word::Started, ..failed() };
        assert_eq!(started.to_string(), "projects/p/locations/r/jobs/j/executions/j-a");
    }
}
