//! What the service says when it refuses: code, text and detail of each case.
//!
//! The texts are wire facts that clients have been seen to match. Knows no state and no transport.

use std::{fmt, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    emulator::synthetic,
    name::{ExecutionName, JobName, Location, NameError, OperationName, TaskName},
};

/// One refused request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    code: Code,
    message: String,
    detail: Option<Detail>,
}

/// What programs can read of a refusal.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Detail {
    /// A `google.rpc.BadRequest` that points at a field.
    Field { field: String, description: String },
    /// A `google.rpc.QuotaFailure`, and a `google.rpc.RetryInfo` if it is known when to come again.
    Quota { subject: String, description: String, retry: Option<Duration> },
}

impl Refusal {
    /// A field of the request that cannot be: INVALID_ARGUMENT with a `google.rpc.BadRequest`.
    pub(crate) fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        let (field, description) = (field.into(), description.into());
        let message = format!("{field}: {description}");
        Self { code: Code::InvalidArgument, message, detail: Some(Detail::Field { field, description }) }
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

    pub(crate) fn no_credentials() -> Self {
        let text = "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie \
                    or other valid authentication credential.";
        Self::plain(Code::Unauthenticated, text)
    }

    pub(crate) fn bad_credentials() -> Self {
        let text = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or \
                    other valid authentication credential.";
        Self::plain(Code::Unauthenticated, text)
    }

    /// Says the same whether the resource is there or not.
    pub(crate) fn denied(permission: &str, resource: &str) -> Self {
        let text = format!("Permission '{permission}' denied on resource '{resource}' (or resource may not exist).");
        Self::plain(Code::PermissionDenied, text)
    }

    pub(crate) fn denied_account(account: &str) -> Self {
        let permission = "iam.serviceaccounts.actAs";
        let text = format!("Permission '{permission}' denied on service account {account} (or it may not exist).");
        Self::plain(Code::PermissionDenied, text)
    }

    pub(crate) fn unknown_role(role: &str) -> Self {
        let text = format!("Role {} is not supported for this resource.", role.escape_default());
        Self::plain(Code::InvalidArgument, text)
    }

    pub(crate) fn unknown_permission(permission: &str) -> Self {
        let text = format!("Permission {} is not valid for this resource.", permission.escape_default());
        Self::plain(Code::InvalidArgument, text)
    }

    pub(crate) fn policy_changed() -> Self {
        let text = "There were concurrent policy changes. Please retry the whole read-modify-write with exponential \
                    backoff.";
        Self::plain(Code::Aborted, text)
    }

    /// One of the quotas of a location, which is free again after `retry` if it is a rate.
    pub(crate) fn over_quota(quota: &str, location: &Location, retry: Option<Duration>) -> Self {
        let number = synthetic::project_number(location.project());
        let description = format!(
            "Quota exceeded for limit '{quota}' of service 'run.googleapis.com' in region '{}' for consumer \
             'project_number:{number}'.",
            location.region()
        );
        let detail = Detail::Quota { subject: format!("project:{number}"), description: description.clone(), retry };
        Self { code: Code::ResourceExhausted, message: description, detail: Some(detail) }
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
        Self { code, message: message.into(), detail: None }
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
        let details = match refusal.detail {
            None => return Self::new(refusal.code, refusal.message),
            Some(Detail::Field { field, description }) => ErrorDetails::with_bad_request_violation(field, description),
            Some(Detail::Quota { subject, description, retry }) => {
                let mut details = ErrorDetails::with_quota_failure_violation(subject, description);
                if retry.is_some() {
                    details.set_retry_info(retry);
                }
                details
            }
        };
        Self::with_error_details(refusal.code, refusal.message, details)
    }
}
