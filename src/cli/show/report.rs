//! What `execute` and `wait` print about an execution: one stable object, as JSON or as lines.
//!
//! The object's shape is a contract with scripts. Knows no command and no stream.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::safe;
use crate::{Finished, Outcome, Run, TaskEnd, TaskFailure, proto::run::v2::Execution};

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
    pub(in crate::cli) fn started(run: &Run) -> Self {
        Self {
            execution: run.execution().to_string(),
            operation: run.operation().map(ToString::to_string),
            outcome: Word::Started,
            adopted: run.was_adopted(),
            tasks: run.latest().map(Counts::of).unwrap_or_default(),
            failures: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(in crate::cli) fn for_tests(execution: &str) -> Self {
        Self {
            execution: execution.to_owned(),
            operation: None,
            outcome: Word::Started,
            adopted: false,
            tasks: Counts::default(),
            failures: Vec::new(),
        }
    }

    /// Whether it tells how the execution ended.
    pub(in crate::cli) fn is_finished(&self) -> bool {
        self.outcome != Word::Started
    }

    /// An execution that has ended.
    pub(in crate::cli) fn finished(run: &Run, finished: &Finished) -> Self {
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
            operation: run.operation().map(ToString::to_string),
            outcome,
            adopted: run.was_adopted(),
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
    fn is_like(&self, other: &Self) -> bool {
        (self.end, self.attempts, &self.message) == (other.end, other.attempts, &other.message)
    }

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

/// The lines for people. Of a start it is the name alone, for use in another command. The verdict comes last, where it is
/// still to be seen when much stands before it.
impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.is_finished() {
            return f.write_str(&self.execution);
        }
        for alike in groups(&self.failures) {
            writeln!(f, "{alike}")?;
        }
        writeln!(f, "{} {}", self.outcome, self.execution)?;
        write!(f, "tasks: {}", self.tasks)
    }
}

/// Tasks that failed in the same way, in the order of the first of each.
struct Alike<'a> {
    first: &'a FailedTask,
    tasks: Vec<i32>,
}

/// As many ranges of tasks as a line has room for.
const MOST_RANGES: usize = 8;

fn groups(failures: &[FailedTask]) -> Vec<Alike<'_>> {
    let mut groups: Vec<Alike<'_>> = Vec::new();
    for failure in failures {
        match groups.iter_mut().find(|alike| alike.first.is_like(failure)) {
            Some(alike) => alike.tasks.push(failure.task),
            None => groups.push(Alike { first: failure, tasks: vec![failure.task] }),
        }
    }
    groups
}

/// The tasks, then what they have in common.
impl Display for Alike<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.tasks.as_slice() {
            [task] => write!(f, "task {task}: ")?,
            tasks => write!(f, "{} tasks ({}): ", tasks.len(), ranges(tasks))?,
        }
        self.first.fmt(f)
    }
}

/// Indices in order as ranges, `0-3, 7`, of which the first few.
fn ranges(indices: &[i32]) -> String {
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    for &index in indices {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => ranges.push((index, index)),
        }
    }
    let shown = ranges.iter().take(MOST_RANGES);
    let shown = shown.map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    let more = if ranges.len() > MOST_RANGES { ", ..." } else { "" };
    shown.collect::<Vec<_>>().join(", ") + more
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
        write!(f, "{} after {} attempt{plural}", self.end, self.attempts)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", safe::line(&self.message)) }
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
            adopted: false,
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
        let expected = "task 0: exit code 3 after 4 attempts: The container exited with an error.\n\
            task 2: signal 9 after 4 attempts\n\
            FAILED projects/p/locations/r/jobs/j/executions/j-a\n\
            tasks: 3 total, 1 succeeded, 2 failed, 2 retried";
        assert_eq!(failed().to_string(), expected);
    }

    #[test]
    fn tasks_that_failed_alike_are_one_line() {
        let failures = [0, 1, 2, 5, 6, 9].map(|index| {
            let task = format!("projects/p/locations/r/jobs/j/executions/j-a/tasks/j-a-task{index}");
            let end = if index == 9 { TaskEnd::Signal(9) } else { TaskEnd::ExitCode(3) };
            let task = task.parse().expect("a name");
            FailedTask::of(&TaskFailure { task, index, attempts: 1, end, message: String::new() })
        });
        let report = Report { failures: failures.into(), ..failed() };
        let lines: Vec<_> = report.to_string().lines().take(2).map(str::to_owned).collect();
        assert_eq!(lines, ["5 tasks (0-2, 5-6): exit code 3 after 1 attempt", "task 9: signal 9 after 1 attempt"]);
        let odd: Vec<_> = (0..100).filter(|index| index % 2 == 1).collect();
        assert_eq!(ranges(&odd), "1, 3, 5, 7, 9, 11, 13, 15, ...");
    }

    #[test]
    fn of_a_start_the_line_is_the_name_alone() {
        let started = Report { outcome: Word::Started, ..failed() };
        assert_eq!(started.to_string(), "projects/p/locations/r/jobs/j/executions/j-a");
    }
}
