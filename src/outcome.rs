//! How an execution stands and how it ended: an `Execution` and its `Task`s in, a phase or a verdict out. No I/O.
//!
//! Reads conditions, counts and attempt results, and never the texts of messages: the service has changed those
//! before.

mod progress;

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

pub use self::progress::{Phase, Progress, Trouble};
use crate::{
    error::{Error, ErrorKind, Result},
    name::TaskName,
    proto::run::v2::{
        Condition, Execution, Task,
        condition::{ExecutionReason, Reasons, State},
    },
};

/// How an execution ended.
///
/// A finished operation is not a succeeded job: the operation of a cancelled execution ends without an error.
///
/// With serde it is `{"outcome": "FAILED", "failures": [..]}`. An outcome of a later version is read as
/// [`Unknown`](Self::Unknown).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "failures", rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Outcome {
    /// Every task succeeded.
    Succeeded,
    /// At least one task used up its attempts, and not every one of them by its time limit. Empty when the tasks
    /// could not be listed.
    Failed(Vec<TaskFailure>),
    /// It was cancelled before it was done.
    Cancelled,
    /// At least one task used up its attempts, and the last attempt of each such task ran into its time limit.
    TimedOut(Vec<TaskFailure>),
    /// It was deleted before its end was seen.
    Deleted,
    /// It is over, and neither a condition nor a count shows whether it succeeded or failed. Treat it as not succeeded, and
    /// read its logs.
    #[serde(other)]
    Unknown,
}

/// A task that did not succeed within its attempts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskFailure {
    /// The task.
    pub task: TaskName,
    /// Its index in the execution, from 0 (`Task.index`, `CLOUD_RUN_TASK_INDEX`).
    pub index: i32,
    /// How often it was tried: the retries (`Task.retried`) and the first attempt.
    pub attempts: u32,
    /// How its last attempt ended.
    pub end: TaskEnd,
    /// What the service says about the last attempt; may be empty.
    pub message: String,
}

/// How the last attempt of a task ended (`Task.last_attempt_result`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum TaskEnd {
    /// The container exited with this code, which is not 0.
    ExitCode(i32),
    /// The container was ended by this signal.
    Signal(i32),
    /// The attempt ran into the task timeout.
    TimedOut,
    /// The service does not say.
    Unknown,
}

impl Outcome {
    /// Whether every task succeeded.
    pub fn is_success(&self) -> bool {
        *self == Self::Succeeded
    }

    /// The tasks that failed, where they are known.
    pub fn failures(&self) -> &[TaskFailure] {
        match self {
            Self::Failed(tasks) | Self::TimedOut(tasks) => tasks,
            _ => &[],
        }
    }

    /// The outcome of a finished execution, given its failed tasks.
    pub(crate) fn of(execution: &Execution, failures: Vec<TaskFailure>) -> Self {
        match end(execution) {
            End::Succeeded => Self::Succeeded,
            End::Cancelled => Self::Cancelled,
            End::Deleted => Self::Deleted,
            End::Unknown => Self::Unknown,
            End::Failed if !failures.is_empty() && failures.iter().all(|task| task.end == TaskEnd::TimedOut) => {
                Self::TimedOut(failures)
            }
            End::Failed => Self::Failed(failures),
        }
    }

    /// Whether this execution has ended and only its tasks can show that it timed out: the service gives no other reason.
    #[cfg(feature = "cli")]
    pub(crate) fn may_be_timed_out(execution: &Execution) -> bool {
        let reason = completed(&execution.conditions).and_then(execution_reason);
        is_finished(execution) && Self::needs_tasks(execution) && reason != Some(ExecutionReason::NonZeroExitCode)
    }

    /// Whether the outcome of this finished execution depends on its tasks.
    pub(crate) fn needs_tasks(execution: &Execution) -> bool {
        matches!(end(execution), End::Failed)
    }
}

impl TaskFailure {
    /// The failure of this task, or `None` when it has not failed.
    ///
    /// # Errors
    /// When the task has no proper name.
    pub(crate) fn of(task: &Task) -> Result<Option<Self>> {
        if !has_failed(task) {
            return Ok(None);
        }
        let attempt = task.last_attempt_result.clone().unwrap_or_default();
        let status = attempt.status.unwrap_or_default();
        let end = match (status.code, attempt.term_signal, attempt.exit_code) {
            (DEADLINE_EXCEEDED, _, _) => TaskEnd::TimedOut,
            (_, signal, _) if signal != 0 => TaskEnd::Signal(signal),
            (_, _, code) if code != 0 => TaskEnd::ExitCode(code),
            _ => TaskEnd::Unknown,
        };
        let attempts = u32::try_from(task.retried).unwrap_or(0).saturating_add(1);
        let name = task.name.parse().map_err(|cause| {
            Error::new(ErrorKind::Protocol, "the service listed a task without a proper name").with_source(cause)
        })?;
        Ok(Some(Self { task: name, index: task.index, attempts, end, message: status.message }))
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut(_) => "timed out",
            Self::Deleted => "deleted",
            Self::Unknown => "ended without proof of success",
        })
    }
}

impl Display for TaskEnd {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExitCode(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Whether the execution has come to its end: every task is terminal.
pub(crate) fn is_finished(execution: &Execution) -> bool {
    match completed(&execution.conditions) {
        Some(condition) => matches!(condition.state(), State::ConditionSucceeded | State::ConditionFailed),
        None => execution.completion_time.is_some(),
    }
}

/// How the execution ended, as far as the execution alone shows it.
enum End {
    Succeeded,
    Failed,
    Cancelled,
    Deleted,
    Unknown,
}

fn end(execution: &Execution) -> End {
    let condition = completed(&execution.conditions);
    match condition.map(Condition::state) {
        Some(State::ConditionSucceeded) => return End::Succeeded,
        Some(State::ConditionFailed) => {}
        // Without the condition the counts decide, if there are any.
        _ if !has_counts(execution) => return End::Unknown,
        _ if execution.task_count > 0 && execution.succeeded_count >= execution.task_count => return End::Succeeded,
        _ => {}
    }
    match condition.and_then(execution_reason) {
        Some(ExecutionReason::Cancelled | ExecutionReason::Cancelling) => End::Cancelled,
        Some(ExecutionReason::Deleted) => End::Deleted,
        Some(ExecutionReason::NonZeroExitCode) => End::Failed,
        _ if execution.cancelled_count > 0 && execution.failed_count == 0 => End::Cancelled,
        _ => End::Failed,
    }
}

fn has_counts(execution: &Execution) -> bool {
    [execution.succeeded_count, execution.failed_count, execution.cancelled_count].iter().any(|&count| count > 0)
}

/// The condition for the end, unless its state is not set or unknown to our protos.
fn completed(conditions: &[Condition]) -> Option<&Condition> {
    let mut completed = conditions.iter().filter(|condition| condition.r#type == "Completed");
    completed.find(|condition| condition.state() != State::Unspecified)
}

fn execution_reason(condition: &Condition) -> Option<ExecutionReason> {
    match condition.reasons {
        Some(Reasons::ExecutionReason(reason)) => ExecutionReason::try_from(reason).ok(),
        _ => None,
    }
}

/// `google.rpc.Code` values in an attempt's status.
const CANCELLED: i32 = 1;
const DEADLINE_EXCEEDED: i32 = 4;

fn has_failed(task: &Task) -> bool {
    let failed = completed(&task.conditions).is_some_and(|condition| condition.state() == State::ConditionFailed);
    failed && attempt_code(task) != Some(CANCELLED)
}

fn attempt_code(task: &Task) -> Option<i32> {
    Some(task.last_attempt_result.as_ref()?.status.as_ref()?.code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{rpc, run::v2::TaskAttemptResult};

    const EXECUTION: &str = "projects/p/locations/l/jobs/j/executions/j-abcde";

    fn condition(state: State, reason: Option<ExecutionReason>) -> Condition {
        Condition {
            r#type: "Completed".to_owned(),
            state: state.into(),
            reasons: reason.map(|reason| Reasons::ExecutionReason(reason.into())),
            ..Condition::default()
        }
    }

    fn execution(state: State, reason: Option<ExecutionReason>) -> Execution {
        Execution { task_count: 2, conditions: vec![condition(state, reason)], ..Execution::default() }
    }

    fn task(index: i32, code: i32, exit_code: i32, term_signal: i32) -> Task {
        let status = rpc::Status { code, message: format!("code {code}"), details: Vec::new() };
        let state = if code == 0 { State::ConditionSucceeded } else { State::ConditionFailed };
        Task {
            name: format!("{EXECUTION}/tasks/j-abcde-task{index}"),
            index,
            retried: 2,
            conditions: vec![condition(state, None)],
            last_attempt_result: Some(TaskAttemptResult { status: Some(status), exit_code, term_signal }),
            ..Task::default()
        }
    }

    fn outcome(execution: &Execution, tasks: &[Task]) -> Outcome {
        let failures = tasks.iter().filter_map(|task| TaskFailure::of(task).expect("a proper name"));
        Outcome::of(execution, failures.collect())
    }

    #[test]
    fn an_outcome_is_read_back_as_it_was_written() {
        let failed = execution(State::ConditionFailed, None);
        let failed = outcome(&failed, &[task(1, 10, 3, 0), task(2, 10, 0, 9), task(3, 4, 0, 0)]);
        let json = serde_json::to_value(&failed).expect("JSON");
        assert_eq!(json["outcome"], "FAILED");
        let ends: Vec<_> = (0..3).map(|task| json["failures"][task]["end"].to_string()).collect();
        assert_eq!(ends, [r#"{"EXIT_CODE":3}"#, r#"{"SIGNAL":9}"#, r#""TIMED_OUT""#]);
        for outcome in [failed, Outcome::Succeeded, Outcome::Cancelled, Outcome::Deleted, Outcome::Unknown] {
            let json = serde_json::to_string(&outcome).expect("JSON");
            assert_eq!(serde_json::from_str::<Outcome>(&json).expect("an outcome"), outcome, "{json}");
        }
        let newer = serde_json::from_str::<Outcome>(r#"{"outcome":"EVICTED"}"#).expect("an outcome");
        assert_eq!(newer, Outcome::Unknown);
    }

    #[test]
    fn an_execution_is_finished_when_its_completed_condition_is_terminal() {
        for (state, finished) in [
            (State::ConditionPending, false),
            (State::ConditionReconciling, false),
            (State::ConditionSucceeded, true),
            (State::ConditionFailed, true),
        ] {
            assert_eq!(is_finished(&execution(state, None)), finished, "{state:?}");
        }
        assert!(!is_finished(&Execution::default()));
        assert!(is_finished(&Execution { completion_time: Some(Default::default()), ..Execution::default() }));
    }

    #[test]
    fn failed_tasks_are_named_with_their_attempts_and_ends() {
        let failed = execution(State::ConditionFailed, Some(ExecutionReason::NonZeroExitCode));
        let outcome = outcome(&failed, &[task(0, 0, 0, 0), task(1, 10, 3, 0), task(2, 10, 0, 9), task(3, 1, 0, 0)]);
        let Outcome::Failed(tasks) = &outcome else { panic!("{outcome:?}") };
        assert_eq!(
            tasks.iter().map(|t| (t.index, t.end)).collect::<Vec<_>>(),
            [(1, TaskEnd::ExitCode(3)), (2, TaskEnd::Signal(9))]
        );
        assert_eq!((tasks[0].attempts, tasks[0].message.as_str()), (3, "code 10"));
        assert_eq!(tasks[0].task.id(), "j-abcde-task1");
    }

    #[test]
    fn it_timed_out_only_when_every_failed_task_did() {
        let failed = execution(State::ConditionFailed, None);
        assert!(matches!(outcome(&failed, &[task(0, 4, 0, 0)]), Outcome::TimedOut(tasks) if tasks.len() == 1));
        assert!(matches!(outcome(&failed, &[task(0, 4, 0, 0), task(1, 10, 1, 0)]), Outcome::Failed(_)));
        assert_eq!(outcome(&failed, &[]), Outcome::Failed(Vec::new()));
    }

    #[test]
    fn a_cancelled_execution_is_told_by_reason_or_by_counts() {
        let cancelled = execution(State::ConditionFailed, Some(ExecutionReason::Cancelled));
        assert_eq!(outcome(&cancelled, &[task(0, 10, 1, 0)]), Outcome::Cancelled);
        let counted = Execution { cancelled_count: 1, ..execution(State::ConditionFailed, None) };
        assert_eq!(outcome(&counted, &[]), Outcome::Cancelled);
        let both = Execution { cancelled_count: 1, failed_count: 1, ..execution(State::ConditionFailed, None) };
        assert!(matches!(outcome(&both, &[]), Outcome::Failed(_)));
    }

    #[test]
    fn without_a_condition_the_counts_tell() {
        let counts = |succeeded_count| Execution { task_count: 2, succeeded_count, ..Execution::default() };
        assert_eq!(outcome(&counts(2), &[]), Outcome::Succeeded);
        assert_eq!(outcome(&counts(1), &[]), Outcome::Failed(Vec::new()));
    }

    #[test]
    fn an_end_without_a_condition_and_without_a_count_proves_nothing() {
        for task_count in [0, 2] {
            let over = Execution { task_count, completion_time: Some(Default::default()), ..Execution::default() };
            assert!(is_finished(&over));
            assert_eq!(outcome(&over, &[]), Outcome::Unknown);
            // A state that is newer than our protos says nothing either.
            let newer =
                Execution { conditions: vec![Condition { state: 99, ..condition(State::Unspecified, None) }], ..over };
            assert!(is_finished(&newer));
            assert_eq!(outcome(&newer, &[]), Outcome::Unknown);
        }
        let excess = Execution { succeeded_count: 1, ..Execution::default() };
        assert!(!outcome(&excess, &[]).is_success(), "1 of 0 tasks");
    }

    #[test]
    fn deletion_is_told_apart_where_the_service_does() {
        let deleted = execution(State::ConditionFailed, Some(ExecutionReason::Deleted));
        assert_eq!(outcome(&deleted, &[]), Outcome::Deleted);
    }
}
