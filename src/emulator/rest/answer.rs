//! What goes back: messages as canonical JSON, failures in the envelope of Google's APIs, and the headers of both.

use http::{HeaderValue, Response, StatusCode, header};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::{Value, json};
use tonic::{Code, Status, body::Body};

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Style {
    /// Enum values as numbers, not names.
    pub(super) enum_numbers: bool,
    /// On one line.
    pub(super) compact: bool,
}

/// A request that has no answer but an error.
#[derive(Debug)]
pub(super) struct RestError {
    http: StatusCode,
    status: Status,
}

impl RestError {
    /// With the HTTP status of its code.
    pub(super) fn of(status: Status) -> Self {
        Self { http: http_status(status.code()), status }
    }

    /// With a status that only HTTP has.
    pub(super) fn new(http: StatusCode, status: Status) -> Self {
        Self { http, status }
    }
}

impl From<Status> for RestError {
    fn from(status: Status) -> Self {
        Self::of(status)
    }
}

/// Writes answers, with the types that an `Any` can hold.
#[derive(Debug)]
pub(super) struct Answerer(DescriptorPool);

impl Answerer {
    pub(super) fn new(pool: DescriptorPool) -> Self {
        Self(pool)
    }

    /// The JSON of a message, after `finish` has completed it.
    pub(super) fn message(
        &self,
        message: &DynamicMessage,
        style: Style,
        finish: impl FnOnce(&mut Value),
    ) -> Response<Body> {
        // By way of a value, whose keys are sorted: the entries of a map would come in a new order each time.
        let options = SerializeOptions::new().use_enum_numbers(style.enum_numbers);
        match message.serialize_with_options(serde_json::value::Serializer, &options) {
            Ok(mut message) => {
                finish(&mut message);
                response(StatusCode::OK, &message, style)
            }
            Err(error) => {
                let status = Status::internal(format!("The answer cannot be written as JSON: {error}"));
                self.failure(&status.into(), style)
            }
        }
    }

    /// `{"error": {"code", "message", "status", "details"}}`.
    pub(super) fn failure(&self, failure: &RestError, style: Style) -> Response<Body> {
        let RestError { http, status } = failure;
        let mut error = json!({ "code": http.as_u16(), "message": status.message(), "status": name(status.code()) });
        if let Some(details) = self.details(status) {
            error["details"] = details;
        }
        response(*http, &json!({ "error": error }), style)
    }

    /// The details of a status, each expanded by its type; `None` when one has an unknown type.
    fn details(&self, status: &Status) -> Option<Value> {
        let descriptor = self.0.get_message_by_name("google.rpc.Status")?;
        let message = DynamicMessage::decode(descriptor, status.details()).ok()?;
        serde_json::to_value(message).ok()?.get_mut("details").map(Value::take)
    }
}

/// With the headers of the service's front end (api-facts 4).
fn response(status: StatusCode, value: &Value, style: Style) -> Response<Body> {
    let text = if style.compact { value.to_string() } else { format!("{value:#}\n") };
    let mut response = Response::new(Body::new(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "application/json; charset=UTF-8"),
        (header::VARY, "Origin"),
        (header::VARY, "X-Origin"),
        (header::VARY, "Referer"),
        (header::SERVER, "ESF"),
        (header::X_XSS_PROTECTION, "0"),
        (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    response
}

/// The HTTP status that `google/rpc/code.proto` gives each code.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        // Nginx's number for a client that closed the request; no standard has one.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The name of a code in `google.rpc.Code`.
pub(crate) fn name(code: Code) -> &'static str {
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
