//! The spans and events of `tracing`: their names and fields, after OpenTelemetry's conventions for RPC. Without a
//! subscriber they cost a few instructions each.
//!
//! Knows no loop and no verb. No field holds a token, a header, a message or the value of a variable.

use std::time::Duration;

use http::uri::{Authority, PathAndQuery};
use tonic::Code;
use tracing::{Span, field::Empty};

use crate::error::{Error, code_name};

/// The span of a verb: everything that it does about `resource`.
macro_rules! verb {
    ($name:literal, $resource:expr) => {
        tracing::info_span!(target: "runjob", $name, resource = %$resource)
    };
}

pub(crate) use verb;

/// The span of one attempt of a call to the method at this path. `otel.name` and `otel.kind` are what exporters to
/// OpenTelemetry read.
pub(crate) fn attempt(path: &PathAndQuery, server: &Authority) -> Span {
    tracing::info_span!(
        target: "runjob",
        "rpc",
        otel.name = method(path),
        otel.kind = "client",
        rpc.system.name = "grpc",
        rpc.method = method(path),
        rpc.response.status_code = Empty,
        error.r#type = Empty,
        server.address = server.host(),
        server.port = server.port_u16(),
    )
}

/// How the attempt of this span has ended.
pub(crate) fn ended(span: &Span, error: Option<&Error>) {
    if span.is_disabled() {
        return;
    }
    let code = error.map_or(Some(Code::Ok), Error::code);
    if let Some(code) = code {
        span.record("rpc.response.status_code", code_name(code));
    }
    if let Some(error) = error {
        span.record("error.type", tracing::field::debug(error.kind()));
    }
}

/// A call is made again after a pause.
pub(crate) fn retry(path: &PathAndQuery, pause: Duration, error: &Error) {
    tracing::info!(target: "runjob", ?pause, rpc.method = method(path), %error, "retry");
}

/// What was to be started was found, and nothing was sent.
pub(crate) fn adopted(execution: &impl std::fmt::Display) {
    tracing::info!(target: "runjob", %execution, "adopted");
}

/// The service does not serve WaitOperation to this wait, which polls from now on.
pub(crate) fn polls_instead(operation: &impl std::fmt::Display) {
    tracing::info!(target: "runjob", %operation, "WaitOperation is not served; polling");
}

/// A connection is open.
pub(crate) fn connected() {
    tracing::info!(target: "runjob", "connected");
}

/// A connection has ended.
pub(crate) fn disconnected() {
    tracing::info!(target: "runjob", "disconnected");
}

/// `PACKAGE.SERVICE/METHOD`.
fn method(path: &PathAndQuery) -> &str {
    path.path().trim_start_matches('/')
}
