//! The headers of every request: built once for a client, and what is added to them for a call.

use std::time::Duration;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_TYPE, TE, USER_AGENT},
};

use crate::error::{Error, ErrorKind, Result};

const API_CLIENT: HeaderName = HeaderName::from_static("x-goog-api-client");
const QUOTA_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");
pub(super) const REQUEST_PARAMS: HeaderName = HeaderName::from_static("x-goog-request-params");
pub(super) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// What every request carries.
///
/// # Errors
/// When the quota project has characters that no project id has.
pub(super) fn common(quota_project: Option<&str>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::from_iter([
        (TE, HeaderValue::from_static("trailers")),
        (CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
        (USER_AGENT, HeaderValue::from_static(concat!("runjob/", env!("CARGO_PKG_VERSION")))),
        (API_CLIENT, HeaderValue::from_static(concat!("gccl/", env!("CARGO_PKG_VERSION")))),
    ]);
    if let Some(project) = quota_project {
        let value = HeaderValue::from_str(project).map_err(|_| {
            Error::new(ErrorKind::InvalidInput, "the quota project has characters that no project id has")
        })?;
        headers.insert(QUOTA_PROJECT, value);
    }
    Ok(headers)
}

/// These headers with a slot for each that a call adds: to fill one does not move the others.
pub(super) fn with_slots(common: &HeaderMap) -> HeaderMap {
    // An insert into a full map makes it grow, even when it replaces a value.
    let mut headers = HeaderMap::with_capacity(2 * common.len());
    headers.extend(common.clone());
    [GRPC_TIMEOUT, REQUEST_PARAMS].into_iter().for_each(|name| _ = headers.insert(name, HeaderValue::from_static("")));
    headers
}

/// The limit as the `grpc-timeout` header has it, in milliseconds: eight digits of them are more than a day
/// (gRPC over HTTP/2, Timeout).
pub(crate) fn grpc_timeout(limit: Duration) -> HeaderValue {
    let millis = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).min(99_999_999);
    HeaderValue::try_from(format!("{millis}m")).unwrap_or_else(|_| unreachable!("digits and a letter"))
}
