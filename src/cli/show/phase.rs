//! Where an execution or a task stands, in a word for a table or a progress line.
//!
//! Read from conditions and counts, never from messages. The verdict on an ended execution, with its tasks, is
//! [`crate::outcome`]'s; here a timed-out execution has merely failed.

use std::fmt::{self, Display, Formatter};

use crate::proto::run::v2::{
    Condition, Execution, Task,
    condition::{ExecutionReason, Reasons, State},
};

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Phase {
    Pending,
    Running,
    Cancelling,
    Succeeded,
    Failed,
    Cancelled,
}

impl Phase {
    /// Where an execution stands.
    pub(in crate::cli) fn of_execution(execution: &Execution) -> Self {
        let started = execution.start_time.is_some() || execution.running_count > 0;
        Self::of_conditions(&execution.conditions, started)
    }

    /// Where a task stands.
    pub(in crate::cli) fn of_task(task: &Task) -> Self {
        match Self::of_conditions(&task.conditions, task.start_time.is_some()) {
            // A task's condition has no reason for a cancel; its last attempt has google.rpc's CANCELLED.
            Self::Failed if was_cancelled(task) => Self::Cancelled,
            phase => phase,
        }
    }

    fn of_conditions(conditions: &[Condition], started: bool) -> Self {
        let Some(completed) = conditions.iter().find(|condition| condition.r#type == "Completed") else {
            return if started { Self::Running } else { Self::Pending };
        };
        let because = |reason: ExecutionReason| completed.reasons == Some(Reasons::ExecutionReason(reason.into()));
        match completed.state() {
            State::ConditionSucceeded => Self::Succeeded,
            State::ConditionFailed if because(ExecutionReason::Cancelled) => Self::Cancelled,
            State::ConditionFailed => Self::Failed,
            _ if because(ExecutionReason::Cancelling) => Self::Cancelling,
            _ if started => Self::Running,
            _ => Self::Pending,
        }
    }
}

impl Display for Phase {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        })
    }
}

fn was_cancelled(task: &Task) -> bool {
    let status = task.last_attempt_result.as_ref().and_then(|result| result.status.as_ref());
    status.is_some_and(|status| status.code == i32::from(tonic::Code::Cancelled))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let cases = [
            (State::ConditionPending, None, 0, Phase::Pending),
            (State::ConditionReconciling, None, 0, Phase::Pending),
            (State::ConditionReconciling, None, 2, Phase::Running),
            (State::ConditionReconciling, Some(ExecutionReason::Cancelling), 2, Phase::Cancelling),
            (State::ConditionFailed, Some(ExecutionReason::Cancelled), 0, Phase::Cancelled),
            (State::ConditionFailed, Some(ExecutionReason::NonZeroExitCode), 0, Phase::Failed),
            (State::ConditionFailed, None, 0, Phase::Failed),
            (State::ConditionSucceeded, None, 0, Phase::Succeeded),
        ];
        for (state, reason, running, expected) in cases {
            assert_eq!(Phase::of_execution(&execution(state, reason, running)), expected);
        }
    }

    #[test]
    fn without_conditions_a_start_time_tells_running_from_pending() {
        assert_eq!(Phase::of_task(&Task::default()), Phase::Pending);
        let started = Task { start_time: Some(prost_types::Timestamp::default()), ..Task::default() };
        assert_eq!(Phase::of_task(&started), Phase::Running);
    }
}
