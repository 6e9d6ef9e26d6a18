//! Where an execution or a task stands before it is known how it ended. Read from conditions and counts.

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{CANCELLED, DEADLINE_EXCEEDED, attempt_code, completed, execution_reason};
use crate::{
    error::Error,
    proto::run::v2::{
        Condition, Execution, Task,
        condition::{ExecutionReason, State},
    },
};

/// Where something stands, in a word for a table or a progress line.
///
/// A phase is no verdict: an execution whose tasks timed out has merely failed here, because only its tasks show that. The
/// verdict, with the tasks, is [`Outcome`](crate::Outcome).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Phase {
    /// It waits to start.
    Pending,
    /// It has started.
    Running,
    /// It was asked to stop, and has not yet.
    Cancelling,
    /// Every task succeeded.
    Succeeded,
    /// It ended without success.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// Its last attempt ran into the task timeout.
    TimedOut,
    /// The service has not answered yet.
    #[serde(other)]
    Unknown,
}

/// How far an execution is, as of the last answer.
///
/// A count of tasks may lag behind the service's own by some seconds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// Where the execution stands.
    pub phase: Phase,
    /// How many tasks it has.
    pub tasks: u32,
    /// How many of them run now.
    pub running: u32,
    /// How many have succeeded.
    pub succeeded: u32,
    /// How many have used up their attempts.
    pub failed: u32,
    /// How many were cancelled.
    pub cancelled: u32,
    /// How many were tried more than once.
    pub retried: u32,
    /// Why the service does not answer, while that lasts. The wait goes on.
    pub trouble: Option<Trouble>,
}

/// Why there is no news of an execution at the moment. It says nothing about the execution.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trouble {
    /// How long it has lasted.
    pub lasting: Duration,
    /// The latest failure.
    pub error: Error,
}

impl Phase {
    /// Where an execution stands.
    pub fn of_execution(execution: &Execution) -> Self {
        let started = execution.start_time.is_some() || execution.running_count > 0;
        Self::of_conditions(&execution.conditions, started)
    }

    /// Where a task stands.
    pub fn of_task(task: &Task) -> Self {
        match Self::of_conditions(&task.conditions, task.start_time.is_some()) {
            // A task's condition has no reason for a cancel; its last attempt has google.rpc's CANCELLED.
            Self::Failed if attempt_code(task) == Some(CANCELLED) => Self::Cancelled,
            Self::Failed if attempt_code(task) == Some(DEADLINE_EXCEEDED) => Self::TimedOut,
            phase => phase,
        }
    }

    fn of_conditions(conditions: &[Condition], started: bool) -> Self {
        let completed = completed(conditions);
        let reason = completed.and_then(execution_reason);
        match completed.map(Condition::state) {
            Some(State::ConditionSucceeded) => Self::Succeeded,
            Some(State::ConditionFailed) if reason == Some(ExecutionReason::Cancelled) => Self::Cancelled,
            Some(State::ConditionFailed) => Self::Failed,
            _ if reason == Some(ExecutionReason::Cancelling) => Self::Cancelling,
            _ if started => Self::Running,
            _ => Self::Pending,
        }
    }
}

impl Progress {
    /// How far this execution is.
    pub fn of(execution: &Execution) -> Self {
        let count = |count: i32| u32::try_from(count).unwrap_or(0);
        Self {
            phase: Phase::of_execution(execution),
            tasks: count(execution.task_count),
            running: count(execution.running_count),
            succeeded: count(execution.succeeded_count),
            failed: count(execution.failed_count),
            cancelled: count(execution.cancelled_count),
            retried: count(execution.retried_count),
            trouble: None,
        }
    }

    /// For an execution about which the service has not answered yet.
    pub(crate) fn unknown() -> Self {
        Self { phase: Phase::Unknown, ..Self::of(&Execution::default()) }
    }

    /// What is compared to find out whether there is news.
    pub(crate) fn key(&self) -> (Phase, [u32; 6]) {
        (self.phase, [self.tasks, self.running, self.succeeded, self.failed, self.cancelled, self.retried])
    }
}

/// `running, 1 of 2 tasks done`; while there is trouble, `waiting; ` and its error.
impl Display for Progress {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.trouble {
            None => {
                let done = [self.succeeded, self.failed, self.cancelled].map(u64::from).iter().sum::<u64>();
                write!(f, "{}, {done} of {} tasks done", self.phase, self.tasks)
            }
            Some(trouble) => write!(f, "waiting; {}", trouble.error),
        }
    }
}

impl Display for Phase {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unknown => "unknown",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed out",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::run::v2::condition::Reasons;

    fn execution(state: State, reason: Option<ExecutionReason>, running: i32) -> Execution {
        let completed = Condition {
            r#type: "Completed".into(),
            state: state.into(),
            reasons: reason.map(|reason| Reasons::ExecutionReason(reason.into())),
            ..Condition::default()
        };
        Execution { conditions: vec![completed], running_count: running, ..Execution::default() }
    }

    #[test]
    fn the_completed_condition_tells_the_phase() {
        for (state, reason, running, expected) in [
            (State::ConditionPending, None, 0, Phase::Pending),
            (State::ConditionReconciling, None, 0, Phase::Pending),
            (State::ConditionReconciling, None, 2, Phase::Running),
            (State::ConditionReconciling, Some(ExecutionReason::Cancelling), 2, Phase::Cancelling),
            (State::ConditionFailed, Some(ExecutionReason::Cancelled), 0, Phase::Cancelled),
            (State::ConditionFailed, Some(ExecutionReason::NonZeroExitCode), 0, Phase::Failed),
            (State::ConditionFailed, None, 0, Phase::Failed),
            (State::ConditionSucceeded, None, 0, Phase::Succeeded),
        ] {
            assert_eq!(Phase::of_execution(&execution(state, reason, running)), expected);
        }
    }

    #[test]
    fn counts_that_cannot_be_are_none() {
        let progress = Progress::of(&Execution { task_count: 2, failed_count: -1, ..Execution::default() });
        assert_eq!((progress.phase, progress.tasks, progress.failed), (Phase::Pending, 2, 0));
    }
}
