//! The tasks of an execution over time, drawn in characters: a line for each task, or for each range of many.
//!
//! The service keeps when a task started and ended and how often it was tried, and not when each attempt did: a bar is a
//! task's from its first attempt to its last, and the number of attempts stands beside it.

use std::time::{Duration, SystemTime};

use prost_types::Timestamp;
use serde::{Serialize, Serializer};

use super::view;
use crate::{
    Phase,
    proto::run::v2::{Execution, Task},
};

/// As many lines as a drawing has at most, without its scale.
const MOST_LINES: usize = 20;

/// The bars are no shorter than this, however narrow the terminal.
const SHORTEST_BAR: usize = 8;

/// What is drawn of a task.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct Row {
    task: i32,
    state: Phase,
    attempts: i32,
    #[serde(serialize_with = "time", skip_serializing_if = "Option::is_none")]
    started: Option<SystemTime>,
    #[serde(serialize_with = "time", skip_serializing_if = "Option::is_none")]
    ended: Option<SystemTime>,
    /// How its last attempt failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

fn time<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| Timestamp::from(time).to_string()).serialize(serializer)
}

impl Row {
    pub(in crate::cli) fn of(task: &Task) -> Self {
        let state = Phase::of_task(task);
        let at = |time: Option<Timestamp>| time.and_then(|time| SystemTime::try_from(time).ok());
        Self {
            task: task.index,
            state,
            attempts: task.retried.saturating_add(1),
            started: at(task.start_time),
            ended: at(task.completion_time),
            failure: failure(task).filter(|_| state == Phase::Failed),
        }
    }
}

/// In words of ours, whose width is known.
fn failure(task: &Task) -> Option<String> {
    match task.last_attempt_result.as_ref()? {
        result if result.term_signal != 0 => Some(format!("signal {}", result.term_signal)),
        result if result.exit_code != 0 => Some(format!("exit code {}", result.exit_code)),
        _ => None,
    }
}

/// The lines of the drawing, none wider than `width` unless that is less than it needs at least.
pub(in crate::cli) fn draw(execution: &Execution, rows: &[Row], width: usize) -> Vec<String> {
    let Some(scale) = Scale::of(execution, rows) else { return Vec::new() };
    let per_line = rows.len().div_ceil(MOST_LINES).max(1);
    let groups: Vec<_> = rows.chunks(per_line).collect();
    let labels: Vec<_> = groups.iter().map(|group| label(group)).collect();
    let notes: Vec<_> = groups.iter().map(|group| note(group)).collect();
    let widest = |texts: &[String]| texts.iter().map(String::len).max().unwrap_or(0);
    let (left, right) = (widest(&labels).max("task".len()), widest(&notes));
    let cells = width.saturating_sub(left + right + 4).max(SHORTEST_BAR);

    let length = view::length(scale.length());
    let mut lines = vec![format!("{:left$}  0s{length:>rest$}", "task", rest = cells.saturating_sub(2))];
    lines.extend(
        groups
            .iter()
            .zip(labels)
            .zip(notes)
            .map(|((group, label), note)| format!("{label:>left$}  {}  {note}", scale.bar(group, cells))),
    );
    for line in &mut lines {
        line.truncate(width.max(left + SHORTEST_BAR + 2));
        line.truncate(line.trim_end().len());
    }
    lines
}

fn label(group: &[Row]) -> String {
    match group {
        [one] => one.task.to_string(),
        [first, .., last] => format!("{}-{}", first.task, last.task),
        [] => String::new(),
    }
}

fn note(group: &[Row]) -> String {
    let states = [Phase::Pending, Phase::Running, Phase::Succeeded, Phase::Failed, Phase::TimedOut, Phase::Cancelled];
    let counted = |state: &Phase| group.iter().filter(|row| row.state == *state).count();
    let retried = group.iter().filter(|row| row.attempts > 1).count();
    let mut parts: Vec<_> = match group {
        [one] => vec![one.failure.clone().unwrap_or_else(|| one.state.to_string())],
        _ => states
            .iter()
            .map(|state| (counted(state), state))
            .filter(|(count, _)| *count > 0)
            .map(|(count, state)| format!("{count} {state}"))
            .collect(),
    };
    match group {
        [one] if one.attempts > 1 => parts.push(format!("{} attempts", one.attempts)),
        [_] => {}
        _ if retried > 0 => parts.push(format!("{retried} retried")),
        _ => {}
    }
    parts.join(", ")
}

/// The time that a drawing covers.
struct Scale {
    from: SystemTime,
    to: SystemTime,
}

impl Scale {
    /// From the creation to the end, or to the last thing that is known.
    fn of(execution: &Execution, rows: &[Row]) -> Option<Self> {
        let at = |time: Option<Timestamp>| time.and_then(|time| SystemTime::try_from(time).ok());
        let from = at(execution.create_time)?;
        let of_tasks = rows.iter().flat_map(|row| [row.started, row.ended]).flatten();
        let known = of_tasks.chain(at(execution.completion_time)).chain(at(execution.update_time));
        Some(Self { from, to: known.max().map_or(from, |to| to.max(from)) })
    }

    fn length(&self) -> Duration {
        self.to.duration_since(self.from).unwrap_or_default()
    }

    /// The cell in which a time falls.
    fn cell(&self, time: SystemTime, cells: usize) -> usize {
        let share = match self.length().as_secs_f64() {
            0.0 => 0.0,
            length => time.duration_since(self.from).unwrap_or_default().as_secs_f64() / length,
        };
        // The share is within 0 and 1, so that this loses nothing that matters.
        ((share * cells as f64) as usize).min(cells.saturating_sub(1))
    }

    /// How many of these tasks ran in each cell: none yet `.`, a third `-`, two thirds `=`, all `#`, none any longer ` `.
    fn bar(&self, group: &[Row], cells: usize) -> String {
        let mut running = vec![0_usize; cells];
        let mut last = 0;
        for row in group {
            let Some(started) = row.started else {
                last = cells;
                continue;
            };
            let first = self.cell(started, cells);
            let until = row.ended.map_or(cells, |ended| self.cell(ended, cells) + 1).max(first + 1);
            running[first..until].iter_mut().for_each(|count| *count += 1);
            last = last.max(until);
        }
        let shade = |(cell, count): (usize, &usize)| match count * 3 {
            0 if cell < last => '.',
            0 => ' ',
            share if share <= group.len() => '-',
            share if share <= 2 * group.len() => '=',
            _ => '#',
        };
        running.iter().enumerate().map(shade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn row(task: i32, state: Phase, attempts: i32, started: Option<u64>, ended: Option<u64>) -> Row {
        let failure = (state == Phase::Failed).then(|| "exit code 3".to_owned());
        Row { task, state, attempts, started: started.map(at), ended: ended.map(at), failure }
    }

    fn execution(seconds: u64) -> Execution {
        let time = |seconds| Some(Timestamp::from(at(seconds)));
        Execution { create_time: time(0), completion_time: time(seconds), ..Execution::default() }
    }

    #[test]
    fn each_of_a_few_tasks_is_a_line() {
        let rows = [
            row(0, Phase::Failed, 4, Some(2), Some(10)),
            row(1, Phase::Succeeded, 1, Some(5), Some(7)),
            row(2, Phase::TimedOut, 1, Some(8), Some(10)),
            row(3, Phase::Cancelled, 1, None, None),
        ];
        let expected = [
            "task  0s     10s",
            "   0  ..########  exit code 3, 4 attempts",
            "   1  .....###    succeeded",
            "   2  ........##  timed out",
            "   3  ..........  cancelled",
        ];
        assert_eq!(draw(&execution(10), &rows, 4 + 2 + 10 + 2 + 23), expected);
    }

    #[test]
    fn nothing_is_wider_than_the_terminal() {
        let rows: Vec<_> = (0..20).map(|task| row(task, Phase::Failed, 2, Some(1), Some(9))).collect();
        for width in [20, 40, 80, 220] {
            let drawn = draw(&execution(10), &rows, width);
            assert_eq!(drawn.len(), 21);
            assert!(drawn.iter().all(|line| line.len() <= width), "{width}: {drawn:#?}");
        }
    }

    #[test]
    fn ten_thousand_tasks_are_twenty_lines() {
        let rows: Vec<_> = (0..10_000)
            .map(|task| {
                let state = if task % 100 == 0 { Phase::Failed } else { Phase::Succeeded };
                row(task, state, 1 + i32::from(task % 500 == 0), Some(task as u64 / 1000), Some(task as u64 / 1000 + 1))
            })
            .collect();
        let drawn = draw(&execution(11), &rows, 80);
        assert_eq!(drawn.len(), 21);
        assert!(
            drawn[1].starts_with("    0-499  ####") && drawn[1].ends_with("495 succeeded, 5 failed, 1 retried"),
            "{}",
            drawn[1]
        );
        assert!(drawn[20].starts_with("9500-9999  ...."), "{}", drawn[20]);
    }

    #[test]
    fn an_execution_without_length_or_tasks_is_drawn_too() {
        assert_eq!(draw(&execution(0), &[], 80).len(), 1);
        let drawn = draw(&execution(0), &[row(0, Phase::Running, 1, Some(0), None)], 40);
        assert!(drawn[1].ends_with("#  running"), "{drawn:#?}");
        assert!(draw(&Execution::default(), &[], 80).is_empty());
    }
}
