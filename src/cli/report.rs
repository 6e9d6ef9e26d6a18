//! What `execute` and `wait` print about an execution: one stable object, as JSON or as lines.
//!
//! The object's shape is a contract with scripts. Knows no command and no stream.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::{ExecutionName, Finished, OperationName, Outcome, TaskEnd, TaskFailure, proto::run::v2::Execution};

/// What is known of an execution when a command ends.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    execution: String,
    /// The operation that started it, unless the execution was found by its own name.
    operation: Option<String>,
    outcome: Word,
    tasks: Counts,
    failures: Vec<FailedTask>,
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

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FailedTask {
    /// The task's index, from 0.
    task: i32,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    message: String,
    #[serde(skip)]
    end: TaskEnd,
}

impl Report {
    /// An execution that was started and has not been seen to end.
    pub(super) fn started(
        execution: &ExecutionName,
        operation: Option<&OperationName>,
        latest: Option<&Execution>,
    ) -> Self {
        Self {
            execution: execution.to_string(),
            operation: operation.map(ToString::to_string),
            outcome: Word::Started,
            tasks: latest.map(Counts::of).unwrap_or_default(),
            failures: Vec::new(),
        }
    }

    /// An execution that has ended.
    pub(super) fn finished(operation: Option<&OperationName>, finished: &Finished) -> Self {
        let outcome = match finished.outcome() {
            Outcome::Succeeded => Word::Succeeded,
            Outcome::Failed(_) => Word::Failed,
            Outcome::Cancelled => Word::Cancelled,
            Outcome::TimedOut(_) => Word::TimedOut,
            Outcome::Deleted => Word::Deleted,
            Outcome::Unknown => Word::Unknown,
        };
        Self {
            execution: finished.name().to_string(),
            operation: operation.map(ToString::to_string),
            outcome,
            tasks: Counts::of(finished.execution()),
            failures: finished.outcome().failures().iter().map(FailedTask::of).collect(),
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

impl FailedTask {
    fn of(failure: &TaskFailure) -> Self {
        let (exit_code, signal) = match failure.end {
            TaskEnd::ExitCode(code) => (Some(code), None),
            TaskEnd::Signal(signal) => (None, Some(signal)),
            _ => (None, None),
        };
        Self {
            task: failure.index,
            attempts: failure.attempts,
            exit_code,
            signal,
            message: failure.message.clone(),
            end: failure.end,
        }
    }
}

/// The lines for people. Of a start it is the name alone, for use in another command.
impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.outcome == Word::Started {
            return f.write_str(&self.execution);
        }
        writeln!(f, "{} {}", self.outcome, self.execution)?;
        write!(f, "tasks: {}", self.tasks)?;
        for failure in &self.failures {
            write!(f, "\n{failure}")?;
        }
        Ok(())
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
        write!(f, "{} total", self.total)?;
        let parts = [
            (self.succeeded, "succeeded"),
            (self.failed, "failed"),
            (self.cancelled, "cancelled"),
            (self.retried, "retried"),
        ];
        parts.iter().filter(|(count, _)| *count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}

impl Display for FailedTask {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let plural = if self.attempts == 1 { "" } else { "s" };
        write!(f, "task {}: {} after {} attempt{plural}", self.task, self.end, self.attempts)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failed() -> Report {
        let failure = |index, end, message: &str| {
            let task = format!("projects/p/locations/r/jobs/j/executions/j-a/tasks/j-a-task{index}");
            let (task, message) = (task.parse().expect("a name"), message.to_owned());
            FailedTask::of(&TaskFailure { task, index, attempts: 4, end, message })
        };
        Report {
            execution: "projects/p/locations/r/jobs/j/executions/j-a".into(),
            operation: None,
            outcome: Word::Failed,
            tasks: Counts { total: 3, succeeded: 1, failed: 2, cancelled: 0, retried: 2 },
            failures: vec![
                failure(0, TaskEnd::ExitCode(3), "The container exited with an error."),
                failure(2, TaskEnd::Signal(9), ""),
            ],
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
    fn the_lines_name_each_failed_task_and_how_it_ended() {
        let expected = "FAILED projects/p/locations/r/jobs/j/executions/j-a\n\
            tasks: 3 total, 1 succeeded, 2 failed, 2 retried\n\
            task 0: exit code 3 after 4 attempts: The container exited with an error.\n\
            task 2: signal 9 after 4 attempts";
        assert_eq!(failed().to_string(), expected);
    }

    #[test]
    fn of_a_start_the_line_is_the_name_alone() {
        let execution: ExecutionName = "projects/p/locations/r/jobs/j/executions/j-a".parse().expect("a name");
        assert_eq!(Report::started(&execution, None, None).to_string(), execution.to_string());
    }
}
