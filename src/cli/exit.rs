//! The exit statuses, and what each kind of end or error ends with.
//!
//! The one table of them. Knows error kinds and outcomes, and nothing of commands or words.

use tonic::Code;

use crate::{Error, ErrorKind, Outcome, TaskEnd};

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// 0: done, or the execution succeeded.
    Done,
    /// 1: the execution ended without success.
    Unsuccessful,
    /// 2: usage or invalid input.
    Usage,
    /// 3: the execution was not started.
    NotStarted,
    /// 4: whether it was started is not known.
    StartUnknown,
    /// 5: stopped waiting; the execution runs on.
    StoppedWaiting,
    /// 6: credentials or permission.
    Denied,
    /// 7: not found, in conflict, or not in a state for it.
    Conflict,
    /// 8: anything else.
    Other,
    /// 130: interrupted.
    Interrupted,
    /// The failed task's own exit code, where it was asked for.
    Task(u8),
}

impl Exit {
    /// The number that the process ends with.
    pub(super) fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unsuccessful => 1,
            Self::Usage => 2,
            Self::NotStarted => 3,
            Self::StartUnknown => 4,
            Self::StoppedWaiting => 5,
            Self::Denied => 6,
            Self::Conflict => 7,
            Self::Other => 8,
            Self::Interrupted => 130,
            Self::Task(code) => code,
        }
    }

    /// What an execution's end means, with the first failed task's own code where that is wanted and there is one.
    pub(super) fn of_outcome(outcome: &Outcome, propagate_exit_code: bool) -> Self {
        if outcome.is_success() {
            return Self::Done;
        }
        let first = outcome.failures().first().filter(|_| propagate_exit_code);
        let own = first.and_then(|failure| of_task(failure.end));
        own.map_or(Self::Unsuccessful, Self::Task)
    }
}

impl From<&Error> for Exit {
    fn from(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidInput => Self::Usage,
            ErrorKind::NotStarted => Self::NotStarted,
            ErrorKind::StartUnknown => Self::StartUnknown,
            ErrorKind::WaitLimit => Self::StoppedWaiting,
            ErrorKind::Credentials | ErrorKind::PermissionDenied | ErrorKind::Unauthenticated => Self::Denied,
            ErrorKind::NotFound | ErrorKind::Conflict => Self::Conflict,
            ErrorKind::Rejected => of_refusal(error.code()),
            _ => Self::Other,
        }
    }
}

/// A start that the service refused, by the reason it gave.
fn of_refusal(code: Option<Code>) -> Exit {
    match code {
        Some(Code::InvalidArgument | Code::OutOfRange) => Exit::Usage,
        Some(Code::PermissionDenied | Code::Unauthenticated) => Exit::Denied,
        Some(Code::NotFound | Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition) => Exit::Conflict,
        _ => Exit::NotStarted,
    }
}

/// A task's exit code, or 128 + N for signal N, as a shell reports it. A zero is no code for a failure.
fn of_task(end: TaskEnd) -> Option<u8> {
    let code = match end {
        TaskEnd::ExitCode(code) => u8::try_from(code).ok(),
        TaskEnd::Signal(signal) => signal.checked_add(128).and_then(|code| u8::try_from(code).ok()),
        _ => None,
    };
    code.filter(|code| *code != 0)
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;
    use crate::TaskFailure;

    fn failed(ends: &[TaskEnd]) -> Vec<TaskFailure> {
        let failure = |(index, end): (i32, &TaskEnd)| TaskFailure {
            task: format!("projects/p/locations/r/jobs/j/executions/j-a/tasks/j-a-task{index}")
                .parse()
                .expect("a name"),
            index,
            attempts: 1,
            end: *end,
            message: String::new(),
        };
        (0..).zip(ends).map(failure).collect()
    }

    #[test]
    fn every_end_but_success_is_1() {
        assert_eq!(Exit::of_outcome(&Outcome::Succeeded, true).status(), 0);
        let ends = [
            Outcome::Failed(failed(&[TaskEnd::ExitCode(3)])),
            Outcome::TimedOut(failed(&[TaskEnd::TimedOut])),
            Outcome::Cancelled,
            Outcome::Deleted,
        ];
        for end in ends {
            assert_eq!(Exit::of_outcome(&end, false).status(), 1, "{end}");
        }
    }

    #[test]
    fn the_first_failed_tasks_own_code_is_passed_on_when_asked_for() {
        let cases = [
            (vec![TaskEnd::ExitCode(3), TaskEnd::ExitCode(4)], 3),
            (vec![TaskEnd::Signal(9)], 137),
            (vec![TaskEnd::ExitCode(0)], 1),
            (vec![TaskEnd::ExitCode(300)], 1),
            (vec![TaskEnd::Unknown], 1),
            (vec![], 1),
        ];
        for (ends, expected) in cases {
            let outcome = Outcome::Failed(failed(&ends));
            assert_eq!(Exit::of_outcome(&outcome, true).status(), expected, "{ends:?}");
        }
    }

    #[test]
    fn every_kind_of_error_has_its_status() {
        let cases = [
            (ErrorKind::InvalidInput, 2),
            (ErrorKind::NotStarted, 3),
            (ErrorKind::StartUnknown, 4),
            (ErrorKind::WaitLimit, 5),
            (ErrorKind::Credentials, 6),
            (ErrorKind::PermissionDenied, 6),
            (ErrorKind::Unauthenticated, 6),
            (ErrorKind::NotFound, 7),
            (ErrorKind::Conflict, 7),
            (ErrorKind::Unreachable, 8),
            (ErrorKind::NotGrpc, 8),
            (ErrorKind::Exhausted, 8),
            (ErrorKind::Service, 8),
        ];
        for (kind, expected) in cases {
            assert_eq!(Exit::from(&Error::new(kind, "")).status(), expected, "{kind:?}");
        }
    }

    #[test]
    fn a_refused_start_ends_by_the_services_reason() {
        let cases = [
            (Code::InvalidArgument, 2),
            (Code::ResourceExhausted, 3),
            (Code::Unimplemented, 3),
            (Code::PermissionDenied, 6),
            (Code::NotFound, 7),
            (Code::FailedPrecondition, 7),
        ];
        for (code, expected) in cases {
            let error = Error::from_peer(&Status::new(code, "")).with_kind(ErrorKind::Rejected);
            assert_eq!(Exit::from(&error).status(), expected, "{code:?}");
        }
    }
}
