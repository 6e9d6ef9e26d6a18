//! Tasks that failed: each one for JSON, and grouped by the reason for people.
//!
//! Knows how a task can end, and nothing of executions.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use super::safe;
use crate::{TaskEnd, TaskFailure};

/// As many ranges of tasks as a line has room for.
const MOST_RANGES: usize = 8;

/// As many reasons as are worth a line each.
const MOST_REASONS: usize = 8;

/// A task that did not succeed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct FailedTask {
    /// The task's index, from 0.
    task: i32,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    /// There when its last attempt ran into the task timeout.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    timed_out: bool,
    message: String,
    #[serde(skip)]
    end: TaskEnd,
}

impl FailedTask {
    pub(super) fn of(failure: &TaskFailure) -> Self {
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
            timed_out: failure.end == TaskEnd::TimedOut,
            message: failure.message.clone(),
            end: failure.end,
        }
    }

    pub(super) fn task(&self) -> i32 {
        self.task
    }

    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether it was ended as the kernel ends what runs out of memory.
    pub(super) fn was_killed(&self) -> bool {
        self.signal == Some(9)
    }
}

/// A line for each reason, in the order of the first task of each, and one for the reasons that there is no room for.
pub(super) fn lines(failures: &[FailedTask]) -> Vec<String> {
    let groups = groups(failures);
    let mut lines: Vec<_> = groups.iter().take(MOST_REASONS).map(ToString::to_string).collect();
    let left: usize = groups.iter().skip(MOST_REASONS).map(|alike| alike.tasks.len()).sum();
    if left > 0 {
        lines.push(format!("{left} more in {} other ways: --format=json has them", groups.len() - MOST_REASONS));
    }
    lines
}

/// Tasks that failed for the same reason.
struct Alike<'a> {
    first: &'a FailedTask,
    tasks: Vec<i32>,
    fewest_attempts: u32,
    most_attempts: u32,
    /// Whether the service says the same about each.
    is_one_message: bool,
}

fn groups(failures: &[FailedTask]) -> Vec<Alike<'_>> {
    let mut groups: Vec<Alike<'_>> = Vec::new();
    for failure in failures {
        match groups.iter_mut().find(|alike| alike.first.end == failure.end) {
            Some(alike) => alike.add(failure),
            None => groups.push(Alike {
                first: failure,
                tasks: vec![failure.task],
                fewest_attempts: failure.attempts,
                most_attempts: failure.attempts,
                is_one_message: true,
            }),
        }
    }
    groups
}

impl Alike<'_> {
    fn add(&mut self, failure: &FailedTask) {
        self.tasks.push(failure.task);
        self.fewest_attempts = self.fewest_attempts.min(failure.attempts);
        self.most_attempts = self.most_attempts.max(failure.attempts);
        self.is_one_message &= self.first.message == failure.message;
    }
}

/// The tasks, then what they have in common.
impl Display for Alike<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.tasks.as_slice() {
            [task] => write!(f, "task {task}")?,
            tasks => write!(f, "{} tasks ({})", tasks.len(), ranges(tasks))?,
        }
        write!(f, ": {} after ", self.first.end)?;
        match (self.fewest_attempts, self.most_attempts) {
            (1, 1) => f.write_str("1 attempt")?,
            (few, most) if few == most => write!(f, "{most} attempts")?,
            (few, most) => write!(f, "{few} to {most} attempts")?,
        }
        match safe::line(&self.first.message) {
            message if message.is_empty() => Ok(()),
            message if self.is_one_message => write!(f, ": {message}"),
            message => write!(f, ": {message} (of the first)"),
        }
    }
}

/// Indices in order as ranges, `0-3, 7`, of which the first few.
pub(super) fn ranges(indices: &[i32]) -> String {
    let mut ranges: Vec<(i32, i32)> = Vec::new();
    for &index in indices {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(index) => *last = index,
            _ => ranges.push((index, index)),
        }
    }
    let shown = ranges.iter().take(MOST_RANGES);
    let shown = shown.map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    let more = if ranges.len() > MOST_RANGES { ", ..." } else { "" };
    shown.collect::<Vec<_>>().join(", ") + more
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli::show) fn failure(index: i32, attempts: u32, end: TaskEnd, message: &str) -> FailedTask {
        let task = format!("projects/p/locations/r/jobs/j/executions/j-a/tasks/j-a-task{index}");
        let (task, message) = (task.parse().expect("a name"), message.to_owned());
        FailedTask::of(&TaskFailure { task, index, attempts, end, message })
    }

    #[test]
    fn tasks_that_failed_for_one_reason_are_one_line() {
        let failures: Vec<_> = [0, 1, 2, 5, 6, 9]
            .map(|index| {
                let end = if index == 9 { TaskEnd::Signal(9) } else { TaskEnd::ExitCode(3) };
                failure(index, 1 + u32::from(index == 5), end, if index == 6 { "b" } else { "a" })
            })
            .into();
        let expected = [
            "5 tasks (0-2, 5-6): exit code 3 after 1 to 2 attempts: a (of the first)",
            "task 9: signal 9 after 1 attempt: a",
        ];
        assert_eq!(lines(&failures), expected);
        let odd: Vec<_> = (0..100).filter(|index| index % 2 == 1).collect();
        assert_eq!(ranges(&odd), "1, 3, 5, 7, 9, 11, 13, 15, ...");
    }

    #[test]
    fn many_reasons_are_a_few_lines() {
        let failures: Vec<_> = (1..=200).map(|index| failure(index, 2, TaskEnd::ExitCode(index), "")).collect();
        let lines = lines(&failures);
        assert_eq!((lines.len(), lines[0].as_str()), (9, "task 1: exit code 1 after 2 attempts"));
        assert_eq!(lines[8], "192 more in 192 other ways: --format=json has them");
    }

    #[test]
    fn a_time_limit_is_called_timed_out() {
        let failures = [failure(0, 1, TaskEnd::TimedOut, "The configured timeout was reached.")];
        assert_eq!(lines(&failures), ["task 0: timed out after 1 attempt: The configured timeout was reached."]);
        assert_eq!(serde_json::to_value(&failures[0]).expect("serializes")["timedOut"], true);
    }

    #[test]
    fn what_the_service_says_stays_one_line_that_a_terminal_does_not_obey() {
        let failures = [failure(0, 1, TaskEnd::ExitCode(1), "a\nSUCCEEDED\u{1b}[2J\u{202e}")];
        assert_eq!(lines(&failures), ["task 0: exit code 1 after 1 attempt: a SUCCEEDED\u{fffd}[2J\u{fffd}"]);
    }
}
