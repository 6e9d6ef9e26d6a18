//! One task: how far it is, how its last attempt ended, and how it looks on the wire.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tonic::Code;
use uuid::Uuid;

use super::{condition::condition, etag, execution::ExecutionRecord};
use crate::proto::{
    rpc::Status,
    run::v2::{
        Condition, Task, TaskAttemptResult,
        condition::{ExecutionReason, State},
        task_template::Retries,
    },
};

/// How an attempt ended, as the runtime that carried it out tells.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Ending {
    /// The process ended by itself, with this status.
    Exited(i32),
    /// A signal ended the process.
    Signalled(i32),
    /// There never was a process, for this reason.
    NotStarted(String),
    /// Nobody saw its end: the emulator died before.
    Lost,
}

/// How an attempt counts.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum AttemptResult {
    Ended(Ending),
    TimedOut,
    Cancelled,
}

/// Why a running attempt is being stopped.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum StopReason {
    Timeout,
    Cancel,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Phase {
    /// Waits for its turn.
    Pending,
    /// An attempt was asked for and has not reported yet.
    Starting,
    /// Until its attempt ends, or this moment comes.
    Running { deadline: SystemTime },
    /// Its attempt was told to stop and has not ended yet.
    Stopping(StopReason),
    /// For good.
    Done,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct TaskRecord {
    pub(super) uid: Uuid,
    pub(super) phase: Phase,
    /// Attempts after the first one: also the number of the current attempt.
    pub(super) retried: u32,
    pub(super) scheduled: Option<SystemTime>,
    pub(super) started: Option<SystemTime>,
    pub(super) completed: Option<SystemTime>,
    pub(super) updated: SystemTime,
    pub(super) last: Option<AttemptResult>,
}

impl AttemptResult {
    pub(super) fn succeeded(&self) -> bool {
        matches!(self, Self::Ended(Ending::Exited(0)))
    }

    /// The code that a failed execution's operation ends with when this attempt is why.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Ended(Ending::Exited(0)) => Code::Ok,
            Self::Ended(_) => Code::Aborted,
            Self::TimedOut => Code::DeadlineExceeded,
            Self::Cancelled => Code::Cancelled,
        }
    }

    /// The reason on the execution's condition; a timeout has none.
    pub(super) fn reason(&self) -> Option<ExecutionReason> {
        matches!(self, Self::Ended(_)).then_some(ExecutionReason::NonZeroExitCode)
    }

    pub(super) fn exit_code(&self) -> i32 {
        if let Self::Ended(Ending::Exited(code)) = self { *code } else { 0 }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::Ended(Ending::Exited(0)) => String::new(),
            Self::Ended(Ending::Exited(_)) => "The container exited with an error.".to_owned(),
            Self::Ended(Ending::Signalled(signal)) => format!("The container was terminated by signal {signal}."),
            Self::Ended(Ending::NotStarted(why)) => format!("The container could not be started: {why}"),
            Self::Ended(Ending::Lost) => "The container was lost: the emulator stopped while it ran.".to_owned(),
            Self::TimedOut => "The configured timeout was reached.".to_owned(),
            Self::Cancelled => "Cancelled by user.".to_owned(),
        }
    }

    fn to_proto(&self) -> TaskAttemptResult {
        TaskAttemptResult {
            status: Some(Status { code: self.code() as i32, message: self.message(), details: Vec::new() }),
            exit_code: self.exit_code(),
            term_signal: if let Self::Ended(Ending::Signalled(signal)) = self { *signal } else { 0 },
        }
    }
}

impl TaskRecord {
    pub(super) fn new(uid: Uuid, now: SystemTime) -> Self {
        Self {
            uid,
            phase: Phase::Pending,
            retried: 0,
            scheduled: None,
            started: None,
            completed: None,
            updated: now,
            last: None,
        }
    }

    /// The task at this index of its execution.
    pub(super) fn to_proto(&self, execution: &ExecutionRecord, index: u32) -> Task {
        let name = format!("{}/tasks/{}-task{index}", execution.name, execution.name.id());
        let template = execution.pinned_template();
        Task {
            uid: self.uid.to_string(),
            generation: 1,
            observed_generation: 1,
            labels: execution.template.labels.clone(),
            annotations: execution.template.annotations.clone(),
            create_time: Some(execution.created.into()),
            scheduled_time: self.scheduled.map(Into::into),
            start_time: self.started.map(Into::into),
            completion_time: self.completed.map(Into::into),
            update_time: Some(self.updated.into()),
            job: execution.name.job().id().to_owned(),
            execution: execution.name.id().to_owned(),
            containers: template.containers,
            volumes: template.volumes,
            max_retries: template.retries.map_or(0, |Retries::MaxRetries(retries)| retries),
            timeout: template.timeout,
            service_account: template.service_account,
            execution_environment: template.execution_environment,
            encryption_key: template.encryption_key,
            vpc_access: template.vpc_access,
            node_selector: template.node_selector,
            gpu_zonal_redundancy_disabled: template.gpu_zonal_redundancy_disabled,
            reconciling: self.phase != Phase::Done,
            conditions: self.conditions(execution.created),
            index: index as i32,
            retried: self.retried as i32,
            last_attempt_result: self.last.as_ref().map(AttemptResult::to_proto),
            log_uri: execution.log_uri(),
            etag: etag(&name, self.updated),
            name,
            ..Task::default()
        }
    }

    fn conditions(&self, created: SystemTime) -> Vec<Condition> {
        let started = match self.started {
            Some(at) => condition("Started", State::ConditionSucceeded, at),
            None => condition("Started", State::ConditionPending, created),
        };
        let completed = match (&self.last, self.completed) {
            (Some(result), Some(at)) if result.succeeded() => condition("Completed", State::ConditionSucceeded, at),
            (Some(AttemptResult::Cancelled) | None, Some(at)) => condition("Completed", State::ConditionFailed, at)
                .saying(AttemptResult::Cancelled.message())
                .because(ExecutionReason::Cancelled),
            (Some(result), Some(at)) => {
                let failed = condition("Completed", State::ConditionFailed, at).saying(result.message());
                result.reason().into_iter().fold(failed, Condition::because)
            }
            (_, None) => condition("Completed", State::ConditionReconciling, created),
        };
        vec![started, completed]
    }
}
