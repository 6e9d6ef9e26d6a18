//! One task: how far it is, and how its last attempt ended.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tonic::Code;
use uuid::Uuid;

use super::execution::StopCause;
use crate::proto::run::v2::condition::ExecutionReason;

/// How an attempt ended, as the runtime that carried it out tells.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum AttemptEnd {
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
    Ended(AttemptEnd),
    TimedOut,
    /// With its whole execution.
    Stopped(StopCause),
}

/// Why a running attempt is being stopped.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum StopReason {
    Timeout,
    Execution(StopCause),
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum TaskPhase {
    /// Waits for its turn.
    Pending,
    /// An attempt was asked for and has not reported yet.
    Starting,
    /// Until its attempt ends, or this moment comes.
    Running { deadline: SystemTime },
    /// Its attempt was asked to stop and has not ended yet.
    Stopping(StopReason),
    /// Permanently.
    Done,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct TaskRecord {
    pub(super) uid: Uuid,
    pub(super) phase: TaskPhase,
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
        matches!(self, Self::Ended(AttemptEnd::Exited(0)))
    }

    /// The code that a failed execution's operation ends with when this attempt is why.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Ended(AttemptEnd::Exited(0)) => Code::Ok,
            Self::Ended(_) => Code::Aborted,
            Self::TimedOut => Code::DeadlineExceeded,
            Self::Stopped(StopCause::User) => Code::Cancelled,
            Self::Stopped(StopCause::Limit) => Code::DeadlineExceeded,
        }
    }

    /// The reason on the execution's condition; a timeout has none.
    pub(super) fn reason(&self) -> Option<ExecutionReason> {
        matches!(self, Self::Ended(_)).then_some(ExecutionReason::NonZeroExitCode)
    }

    pub(super) fn exit_code(&self) -> i32 {
        if let Self::Ended(AttemptEnd::Exited(code)) = self { *code } else { 0 }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::Ended(AttemptEnd::Exited(0)) => String::new(),
            Self::Ended(AttemptEnd::Exited(_)) => "The container exited with an error.".to_owned(),
            Self::Ended(AttemptEnd::Signalled(signal)) => format!("The container was terminated by signal {signal}."),
            Self::Ended(AttemptEnd::NotStarted(why)) => format!("The container could not be started: {why}"),
            Self::Ended(AttemptEnd::Lost) => "The container was lost: the emulator stopped while it ran.".to_owned(),
            Self::TimedOut => "The configured timeout was reached.".to_owned(),
            Self::Stopped(cause) => cause.message().to_owned(),
        }
    }
}

impl TaskRecord {
    pub(super) fn new(uid: Uuid, now: SystemTime) -> Self {
        Self {
            uid,
            phase: TaskPhase::Pending,
            retried: 0,
            scheduled: None,
            started: None,
            completed: None,
            updated: now,
            last: None,
        }
    }
}
