//! What can go wrong, and the one place where a `tonic::Status` becomes an [`Error`].
//!
//! Knows gRPC codes and what they mean to a caller of Cloud Run. Knows nothing of how a call is made.

use std::{
    borrow::Cow,
    error::Error as StdError,
    fmt::{self, Debug, Display, Formatter},
    io,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tonic::{Code, Status};
use tonic_types::{StatusExt as _, pb};

use crate::{name::NameError, proto::rpc};

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something did not work.
///
/// `Display` says what was being done to what, and what went wrong, once. What caused it is in
/// [`source`](StdError::source) and not repeated. Clones are cheap.
#[derive(Clone)]
pub struct Error(Box<ErrorParts>);

#[derive(Clone)]
struct ErrorParts {
    kind: ErrorKind,
    /// What it was before it was classified as the outcome of a start.
    reason: Option<ErrorKind>,
    doing: Option<Doing>,
    message: String,
    code: Option<Code>,
    /// An encoded `google.rpc.Status`, or nothing.
    details: Bytes,
    advice: Option<Advice>,
    /// Whether a connection failed in a way that another attempt will not change.
    lasting: bool,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What the service says about another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Not before this has passed: `google.rpc.RetryInfo`, or `grpc-retry-pushback-ms` (gRFC A6).
    After(Duration),
    /// No other attempt: a pushback that is negative or no number.
    Never,
}

/// What a call is for: a verb phrase that goes on with "could not", and the resource it is about.
#[derive(Clone, Debug)]
pub(crate) struct Doing {
    pub(crate) verb: &'static str,
    pub(crate) resource: String,
}

/// What went wrong, by meaning. With serde it is a word such as `"NOT_FOUND"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value given by the caller cannot be used: a name, an endpoint, a duration. Nothing was sent, or the
    /// service refused the value (`INVALID_ARGUMENT`, `OUT_OF_RANGE`). The message names the value and the rule.
    InvalidInput,
    /// No token could be had. Usually no credentials are set up on this machine: run
    /// `gcloud auth application-default login`, or set `GOOGLE_APPLICATION_CREDENTIALS`.
    Credentials,
    /// No connection, or it broke. Usually the host, the port or a firewall; try again later.
    Unreachable,
    /// The peer answered in something else than gRPC. Usually the endpoint is another server, a proxy's error
    /// page, or `http://` was written for a TLS port.
    NotGrpc,
    /// The RPC took longer than `rpc_timeout`.
    Deadline,
    /// The resource does not exist in that project and region (`NOT_FOUND`).
    NotFound,
    /// The caller may not do this (`PERMISSION_DENIED`). The message names the permission; starting with overrides
    /// needs `run.jobs.runWithOverrides`, which `roles/run.invoker` lacks.
    PermissionDenied,
    /// The token was not accepted (`UNAUTHENTICATED`). Usually it has expired or is for something else.
    Unauthenticated,
    /// The resource is not in a state for this, or it changed meanwhile (`ALREADY_EXISTS`, `FAILED_PRECONDITION`,
    /// `ABORTED`).
    Conflict,
    /// A quota is used up (`RESOURCE_EXHAUSTED`). Wait a minute, or ask for more.
    Exhausted,
    /// The service does not offer this RPC here (`UNIMPLEMENTED`). On Cloud Run this usually means that the request
    /// reached the wrong region.
    Unimplemented,
    /// The answer could not be understood: a field that must be there is missing, or has the wrong type.
    Protocol,
    /// The service failed in another way (`INTERNAL`, `UNAVAILABLE`, `UNKNOWN`, ...).
    Service,
    /// A start that certainly did not happen: there is proof that the request was not processed. Starting again is
    /// safe.
    NotStarted,
    /// A start that the service refused; [`code`](Error::code) says why. Nothing runs.
    Rejected,
    /// A start that may or may not have happened: the request left, and no answer came that settles it. Look at the
    /// job's newest executions before starting again.
    StartUnknown,
    /// The caller's `wait_limit` passed. The execution runs on, and the handle can wait again.
    WaitLimit,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(ErrorParts {
            kind,
            reason: None,
            doing: None,
            message: message.into(),
            code: None,
            details: Bytes::new(),
            advice: None,
            lasting: false,
            source: None,
        }))
    }

    /// A status that the service itself sent.
    pub(crate) fn from_peer(status: &Status) -> Self {
        let kind = match status.code() {
            Code::InvalidArgument | Code::OutOfRange => ErrorKind::InvalidInput,
            Code::NotFound => ErrorKind::NotFound,
            Code::PermissionDenied => ErrorKind::PermissionDenied,
            Code::Unauthenticated => ErrorKind::Unauthenticated,
            Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => ErrorKind::Conflict,
            Code::ResourceExhausted => ErrorKind::Exhausted,
            Code::Unimplemented => ErrorKind::Unimplemented,
            Code::DeadlineExceeded => ErrorKind::Deadline,
            _ => ErrorKind::Service,
        };
        let mut error = Self::new(kind, format!("{}: {}", code_name(status.code()), status.message()));
        error.0.code = Some(status.code());
        error.0.details = Bytes::copy_from_slice(status.details());
        error.0.advice = advice(status);
        error
    }

    /// What an operation has ended with.
    pub(crate) fn from_result(status: &rpc::Status) -> Self {
        Self::from_peer(&Status::with_details(status.code.into(), &status.message, status.encode_to_vec().into()))
    }

    /// The same as the status of a call through a generated stub. It has this error as its source.
    pub(crate) fn into_status(self) -> Status {
        let mut status = self.status();
        status.set_source(Arc::new(self));
        status
    }

    /// What was being done, unless that was said already nearer to the cause.
    pub(crate) fn doing(mut self, verb: &'static str, resource: &(impl Display + ?Sized)) -> Self {
        self.0.doing.get_or_insert_with(|| Doing { verb, resource: resource.to_string() });
        self
    }

    /// Adds what else is to be said, behind the message.
    pub(crate) fn noting(mut self, note: &str) -> Self {
        self.0.message = format!("{}; {note}", self.0.message);
        self
    }

    pub(crate) fn with_code(mut self, code: Code) -> Self {
        self.0.code = Some(code);
        self
    }

    /// Marks a connection that failed in a way that another attempt will not change.
    pub(crate) fn lasting(mut self) -> Self {
        self.0.lasting = true;
        self
    }

    /// The same as the outcome of a start; what it was before is its [`reason`](Self::reason).
    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.reason.get_or_insert(self.0.kind);
        self.0.kind = kind;
        self
    }

    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// What went wrong, by meaning.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Why: behind [`Rejected`](ErrorKind::Rejected), [`NotStarted`](ErrorKind::NotStarted) and
    /// [`StartUnknown`](ErrorKind::StartUnknown) what went wrong with the request, such as
    /// [`PermissionDenied`](ErrorKind::PermissionDenied); otherwise the same as [`kind`](Self::kind).
    pub fn reason(&self) -> ErrorKind {
        self.0.reason.unwrap_or(self.0.kind)
    }

    /// Whether an execution may be running although this call has failed: a start of unknown outcome, or a wait that its
    /// limit ended. A caller that gives up here leaves work behind.
    pub fn may_be_running(&self) -> bool {
        matches!(self.kind(), ErrorKind::StartUnknown | ErrorKind::WaitLimit)
    }

    /// The gRPC code that the service sent, or that the transport made up for a broken connection.
    ///
    /// Never decide from this code whether a start happened; [`kind`](Self::kind) does.
    pub fn code(&self) -> Option<Code> {
        self.0.code
    }

    /// The error as a gRPC status, for a backend that passes it on to its own caller: with the text of this error, and with
    /// the details that the service sent (`ErrorInfo`, `QuotaFailure`, `RetryInfo` and the others).
    ///
    /// The code is the service's own where it sent one, except for a start of unknown outcome:
    ///
    /// | kind | code |
    /// |---|---|
    /// | [`StartUnknown`](ErrorKind::StartUnknown) | always `UNKNOWN`, and without `RetryInfo`: clients send a call again by themselves after `UNAVAILABLE` |
    /// | [`NotStarted`](ErrorKind::NotStarted) | the service's, else `UNAVAILABLE`; `FAILED_PRECONDITION` where it is not [retryable](Self::is_retryable) |
    /// | [`Rejected`](ErrorKind::Rejected) | the service's |
    /// | [`InvalidInput`](ErrorKind::InvalidInput) | the service's, else `INVALID_ARGUMENT` |
    /// | [`Credentials`](ErrorKind::Credentials), [`Unauthenticated`](ErrorKind::Unauthenticated) | `UNAUTHENTICATED` |
    /// | [`Unreachable`](ErrorKind::Unreachable) | `UNAVAILABLE` |
    /// | [`Deadline`](ErrorKind::Deadline), [`WaitLimit`](ErrorKind::WaitLimit) | `DEADLINE_EXCEEDED` |
    /// | [`NotFound`](ErrorKind::NotFound) | `NOT_FOUND` |
    /// | [`PermissionDenied`](ErrorKind::PermissionDenied) | `PERMISSION_DENIED` |
    /// | [`Conflict`](ErrorKind::Conflict) | the service's: `ALREADY_EXISTS`, `FAILED_PRECONDITION` or `ABORTED` |
    /// | [`Exhausted`](ErrorKind::Exhausted) | `RESOURCE_EXHAUSTED` |
    /// | [`Unimplemented`](ErrorKind::Unimplemented) | `UNIMPLEMENTED` |
    /// | [`Protocol`](ErrorKind::Protocol) | `INTERNAL` |
    /// | [`NotGrpc`](ErrorKind::NotGrpc), [`Service`](ErrorKind::Service) | the service's, else `UNKNOWN` |
    ///
    /// `PERMISSION_DENIED` and `UNAUTHENTICATED` are about the backend and not about its caller, and the text names
    /// resources: a backend whose callers should see neither maps these itself.
    pub fn status(&self) -> Status {
        let (code, message) = (self.status_code(), self.to_string());
        let mut details = pb::Status::decode(self.0.details.clone()).unwrap_or_default().details;
        if self.kind() == ErrorKind::StartUnknown {
            details.retain(|detail| !detail.type_url.ends_with("google.rpc.RetryInfo"));
        }
        if details.is_empty() {
            return Status::new(code, message);
        }
        // The details repeat the code and the text of the status that they belong to.
        let whole = pb::Status { code: code.into(), message: message.clone(), details };
        Status::with_details(code, message, whole.encode_to_vec().into())
    }

    fn status_code(&self) -> Code {
        let otherwise = match self.kind() {
            ErrorKind::StartUnknown => return Code::Unknown,
            ErrorKind::InvalidInput => Code::InvalidArgument,
            ErrorKind::Credentials | ErrorKind::Unauthenticated => Code::Unauthenticated,
            ErrorKind::Unreachable => Code::Unavailable,
            ErrorKind::NotStarted if self.is_retryable() => Code::Unavailable,
            ErrorKind::NotStarted | ErrorKind::Rejected | ErrorKind::Conflict => Code::FailedPrecondition,
            ErrorKind::Deadline | ErrorKind::WaitLimit => Code::DeadlineExceeded,
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::PermissionDenied => Code::PermissionDenied,
            ErrorKind::Exhausted => Code::ResourceExhausted,
            ErrorKind::Unimplemented => Code::Unimplemented,
            ErrorKind::Protocol => Code::Internal,
            ErrorKind::NotGrpc | ErrorKind::Service => Code::Unknown,
        };
        self.code().unwrap_or(otherwise)
    }

    /// The permission that the caller lacks, where the service names it: in `google.rpc.ErrorInfo`, or in the text.
    fn missing_permission(&self) -> Option<String> {
        let details = Status::with_details(Code::PermissionDenied, "", self.0.details.clone());
        let named = details.get_details_error_info().and_then(|mut info| info.metadata.remove("permission"));
        let in_text = || Some(self.0.message.split_once("Permission '")?.1.split_once('\'')?.0.to_owned());
        let is_permission = |name: &String| {
            name.contains('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.') && name.len() < 100
        };
        named.or_else(in_text).filter(is_permission)
    }

    /// The full name of the resource that the call was about.
    pub fn resource(&self) -> Option<&str> {
        self.0.doing.as_ref().map(|doing| doing.resource.as_str())
    }

    /// Whether the same call may work later without a change by the caller.
    ///
    /// True of a [`NotStarted`](ErrorKind::NotStarted) start, and never of a
    /// [`StartUnknown`](ErrorKind::StartUnknown) one.
    pub fn is_retryable(&self) -> bool {
        match self.kind() {
            ErrorKind::Unreachable | ErrorKind::Credentials | ErrorKind::NotStarted => !self.0.lasting,
            // An answer that cannot be read was mostly damaged on its way, and a wait asks again as well.
            ErrorKind::Deadline | ErrorKind::Exhausted | ErrorKind::Protocol => true,
            ErrorKind::Service => !matches!(self.code(), Some(Code::DataLoss | Code::Cancelled)),
            _ => false,
        }
    }

    /// How long the service asks to be left alone before another attempt (`google.rpc.RetryInfo`, or
    /// `grpc-retry-pushback-ms`).
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.advice {
            Some(Advice::After(pause)) => Some(pause),
            _ => None,
        }
    }

    /// Whether there was no connection, and there may be one at another attempt.
    pub(crate) fn may_reconnect(&self) -> bool {
        self.0.kind == ErrorKind::Unreachable && !self.0.lasting
    }

    /// Whether nothing answered, and something may later: no connection, a broken one, or silence.
    pub(crate) fn is_absence(&self) -> bool {
        self.may_reconnect() || self.0.kind == ErrorKind::Deadline && self.0.code.is_none()
    }

    /// Whether it is what the service itself has answered.
    pub(crate) fn is_from_peer(&self) -> bool {
        self.0.code.is_some() && self.0.kind != ErrorKind::Unreachable
    }

    pub(crate) fn advice(&self) -> Option<Advice> {
        self.0.advice
    }

    /// What to do about it, in one sentence for a person, where there is something to say.
    pub fn hint(&self) -> Option<Cow<'static, str>> {
        let is_refusal = matches!(self.kind(), ErrorKind::PermissionDenied | ErrorKind::Rejected);
        if is_refusal && self.reason() == ErrorKind::PermissionDenied {
            return Some(match self.missing_permission() {
                Some(permission) => {
                    format!("the caller needs the permission {permission}{}", role_with(&permission)).into()
                }
                None => "the message names the missing permission".into(),
            });
        }
        self.plain_hint().map(Cow::Borrowed)
    }

    fn plain_hint(&self) -> Option<&'static str> {
        Some(match (self.kind(), self.code()) {
            (ErrorKind::Rejected, Some(Code::Unauthenticated)) | (ErrorKind::Unauthenticated, _) => {
                "the token was not accepted; sign in again with `gcloud auth application-default login`"
            }
            (ErrorKind::Rejected, Some(Code::NotFound)) | (ErrorKind::NotFound, _) => {
                "check the project, the region and the name"
            }
            (ErrorKind::Rejected, Some(Code::Unimplemented)) | (ErrorKind::Unimplemented, _) => {
                "on Cloud Run this usually means that the request reached the wrong region; check the region and the \
                 endpoint"
            }
            (ErrorKind::Credentials, _) => {
                "run `gcloud auth application-default login`, set GOOGLE_APPLICATION_CREDENTIALS, or use an emulator"
            }
            (ErrorKind::Unreachable, _) => "check the endpoint, the network and that the server is running",
            (ErrorKind::NotGrpc, _) => "check that the endpoint is a gRPC server, and https:// against http://",
            (ErrorKind::Exhausted, _) => "a quota is used up; try again in a minute",
            (ErrorKind::StartUnknown, _) => {
                "the execution may be running; look at the job's newest executions before starting again"
            }
            (ErrorKind::NotStarted, _) => "nothing was started; starting again is safe",
            (ErrorKind::WaitLimit, _) => "the execution runs on; wait again at any time",
            _ => return None,
        })
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(Doing { verb, resource }) = &self.0.doing {
            write!(f, "could not {verb} {resource}: ")?;
        }
        f.write_str(&self.0.message)
    }
}

impl Debug for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("doing", &self.0.doing)
            .field("message", &self.0.message)
            .field("code", &self.0.code)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// As [`Error::status`], with the error as its source.
impl From<Error> for Status {
    fn from(error: Error) -> Self {
        error.into_status()
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::new(ErrorKind::InvalidInput, error.to_string())
    }
}

/// Whether the service says with this code that it has done nothing. `RESOURCE_EXHAUSTED` is not among them: that quota
/// is checked before the effect is usual and not promised.
pub(crate) fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
    )
}

/// The role to name beside a permission: the smallest predefined one, where it is not obvious.
fn role_with(permission: &str) -> &'static str {
    match permission {
        "run.jobs.run" => ", as roles/run.invoker has it",
        "run.jobs.runWithOverrides" => {
            ", which starting with overrides takes, as roles/run.jobsExecutorWithOverrides has it"
        }
        "iam.serviceaccounts.actAs" => ", as roles/iam.serviceAccountUser has it",
        _ => "",
    }
}

/// A status code as google.rpc.Code spells it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// An error and everything behind it, the nearest first.
pub(crate) fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // An io::Error skips its own content in source().
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// What a status says about another attempt. The pushback header counts more than the detail.
fn advice(status: &Status) -> Option<Advice> {
    if let Some(pushback) = status.metadata().get("grpc-retry-pushback-ms") {
        let pause = pushback.to_str().ok().and_then(|text| text.parse().ok()).map(Duration::from_millis);
        return Some(pause.map_or(Advice::Never, Advice::After));
    }
    status.get_details_retry_info()?.retry_delay.map(Advice::After)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn an_error_says_what_was_done_to_what_and_the_cause_once() {
        let error = Error::from_peer(&Status::not_found("Resource 'x' does not exist."))
            .doing("read job", &"projects/p/locations/l/jobs/x")
            .doing("do more", &"something else");
        assert_eq!(
            error.to_string(),
            "could not read job projects/p/locations/l/jobs/x: NOT_FOUND: Resource 'x' does not exist."
        );
        assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, Some(Code::NotFound)));
        assert_eq!(error.resource(), Some("projects/p/locations/l/jobs/x"));
        assert!(error.source().is_none());
    }

    #[test]
    fn the_service_may_say_when_to_come_back() {
        let told = |header: &'static str| {
            let mut status = Status::unavailable("busy");
            status.metadata_mut().insert("grpc-retry-pushback-ms", header.parse().expect("a header"));
            Error::from_peer(&status).advice()
        };
        assert_eq!(told("1500"), Some(Advice::After(Duration::from_millis(1_500))));
        assert_eq!(told("-1"), Some(Advice::Never));
        assert_eq!(told("soon"), Some(Advice::Never));

        let details = tonic_types::ErrorDetails::with_retry_info(Some(Duration::from_secs(9)));
        let status = Status::with_error_details(Code::ResourceExhausted, "quota", details);
        assert_eq!(Error::from_peer(&status).retry_after(), Some(Duration::from_secs(9)));
        assert_eq!(Error::from_peer(&Status::unavailable("busy")).retry_after(), None);
    }

    #[test]
    fn the_reason_stays_when_an_error_becomes_the_outcome_of_a_start() {
        let error = Error::from_peer(&Status::permission_denied("no"));
        assert_eq!(error.reason(), ErrorKind::PermissionDenied);
        let rejected = error.with_kind(ErrorKind::Rejected);
        assert_eq!((rejected.kind(), rejected.reason()), (ErrorKind::Rejected, ErrorKind::PermissionDenied));
        assert!(!rejected.may_be_running() && rejected.with_kind(ErrorKind::StartUnknown).may_be_running());
    }

    fn denied(text: &str, details: tonic_types::ErrorDetails) -> Error {
        Error::from_peer(&Status::with_error_details(Code::PermissionDenied, text, details))
    }

    #[test]
    fn the_hint_names_the_missing_permission_whether_the_details_or_the_text_say_it() {
        let metadata = HashMap::from([("permission".to_owned(), "run.jobs.run".to_owned())]);
        let info = ErrorDetails::with_error_info("IAM_PERMISSION_DENIED", "iam.googleapis.com", metadata);
        let text = "Permission 'run.jobs.runWithOverrides' denied on resource 'j' (or resource may not exist).";
        for (error, hint) in [
            (denied("no", info), "the permission run.jobs.run, as roles/run.invoker has it"),
            (denied(text, ErrorDetails::new()), "run.jobs.runWithOverrides, which starting with overrides takes"),
            (denied("Permission 'x\u{1b}.y' denied", ErrorDetails::new()), "the message names"),
            (denied("no", ErrorDetails::new()), "the message names"),
        ] {
            for error in [error.clone(), error.with_kind(ErrorKind::Rejected)] {
                assert!(error.hint().expect("a hint").contains(hint), "{:?}", error.hint());
            }
        }
    }

    #[test]
    fn a_status_keeps_the_code_the_text_and_the_details() {
        let mut details = ErrorDetails::with_quota_failure_violation("project:1", "runs per minute");
        details.set_retry_info(Some(Duration::from_secs(9)));
        details.set_error_info("RATE_LIMIT_EXCEEDED", "googleapis.com", HashMap::new());
        let error = Error::from_peer(&Status::with_error_details(Code::ResourceExhausted, "quota", details));
        let error = error.doing("start", "job j");
        let status = error.status();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.message(), error.to_string());
        let kept = status.get_error_details();
        assert_eq!(kept.error_info().expect("kept").reason, "RATE_LIMIT_EXCEEDED");
        assert_eq!(kept.quota_failure().expect("kept").violations[0].subject, "project:1");
        assert_eq!(kept.retry_info().expect("kept").retry_delay, Some(Duration::from_secs(9)));

        let unknown = error.with_kind(ErrorKind::StartUnknown).status();
        assert_eq!(unknown.code(), Code::Unknown);
        let kept = unknown.get_error_details();
        assert!(kept.error_info().is_some() && kept.retry_info().is_none(), "no advice to start again");
    }

    #[test]
    fn a_start_of_unknown_outcome_is_never_passed_on_as_what_clients_send_again() {
        for code in (0..17).map(Code::from_i32) {
            let error = Error::from_peer(&Status::new(code, "as sent"));
            assert_eq!(error.status().code(), code);
            assert_eq!(error.with_kind(ErrorKind::StartUnknown).status().code(), Code::Unknown);
        }
        let unreachable = Error::new(ErrorKind::Unreachable, "no route");
        assert_eq!(unreachable.status().code(), Code::Unavailable);
        assert_eq!(unreachable.clone().with_kind(ErrorKind::NotStarted).status().code(), Code::Unavailable);
        let lasting = unreachable.lasting().with_kind(ErrorKind::NotStarted);
        assert_eq!(lasting.status().code(), Code::FailedPrecondition);
    }

    #[test]
    fn a_start_of_unknown_end_is_never_retryable() {
        let error = Error::from_peer(&Status::unavailable("try later"));
        assert!(error.is_retryable());
        assert!(!error.clone().with_kind(ErrorKind::StartUnknown).is_retryable());
        assert!(error.with_kind(ErrorKind::NotStarted).is_retryable());
    }
}
