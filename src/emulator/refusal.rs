//! What the service says when it refuses: code, text and detail of each case.
//!
//! The texts are wire facts that clients have been seen to match. Knows no state and no transport.

use std::fmt;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::name::{ExecutionName, JobName, Location, NameError, OperationName, TaskName};

/// One refused request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    code: Code,
    message: String,
    violation: Option<Violation>,
}

/// The field that a `google.rpc.BadRequest` detail points at.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Violation {
    field: String,
    description: String,
}

impl Refusal {
    /// A field of the request that cannot be: INVALID_ARGUMENT with a `google.rpc.BadRequest`.
    pub(crate) fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        let (field, description) = (field.into(), description.into());
        let message = format!("{field}: {description}");
        Self { code: Code::InvalidArgument, message, violation: Some(Violation { field, description }) }
    }

    pub(crate) fn malformed_name(field: &str, error: &NameError) -> Self {
        Self::invalid(field, error.to_string())
    }

    pub(crate) fn no_job(name: &JobName) -> Self {
        Self::missing("JOB", name.id(), name.location())
    }

    pub(crate) fn no_execution(name: &ExecutionName) -> Self {
        Self::missing("EXECUTION", name.id(), name.job().location())
    }

    pub(crate) fn no_task(name: &TaskName) -> Self {
        Self::missing("TASK", name.id(), name.execution().job().location())
    }

    pub(crate) fn no_operation(name: &OperationName) -> Self {
        Self::missing("OPERATION", name.id(), name.location())
    }

    pub(crate) fn already_exists(id: &str) -> Self {
        Self::plain(Code::AlreadyExists, format!("Resource '{id}' already exists."))
    }

    pub(crate) fn not_running(name: &ExecutionName) -> Self {
        let message = format!("Execution '{}' cannot be cancelled because it is not running.", name.id());
        Self::plain(Code::FailedPrecondition, message)
    }

    pub(crate) fn not_ready(name: &JobName, why: &str) -> Self {
        Self::plain(Code::FailedPrecondition, format!("Job '{}' is not ready: {why}", name.id()))
    }

    pub(crate) fn being_deleted(id: &str) -> Self {
        Self::plain(Code::Aborted, format!("Resource '{id}' is being deleted."))
    }

    pub(crate) fn etag_mismatch(id: &str) -> Self {
        Self::plain(Code::Aborted, format!("Resource '{id}' has changed: its etag is not the one given."))
    }

    /// What the service answers for everything it does not publish, and for a call it cannot route.
    pub(crate) fn unimplemented() -> Self {
        Self::plain(Code::Unimplemented, "Operation is not implemented, or supported, or enabled.")
    }

    /// What the service has and this emulator does not.
    pub(crate) fn not_emulated(what: &str) -> Self {
        Self::plain(Code::Unimplemented, format!("The emulator does not support {what}."))
    }

    /// An operation's error, as far as this is one.
    pub(crate) fn plain(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), violation: None }
    }

    fn missing(kind: &str, id: &str, location: &Location) -> Self {
        let (region, project) = (location.region(), location.project());
        let message =
            format!("Resource '{id}' of kind '{kind}' in region '{region}' in project '{project}' does not exist.");
        Self::plain(Code::NotFound, message)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal.violation {
            None => Self::new(refusal.code, refusal.message),
            Some(Violation { field, description }) => {
                let details = ErrorDetails::with_bad_request_violation(field, description);
                Self::with_error_details(refusal.code, refusal.message, details)
            }
        }
    }
}
