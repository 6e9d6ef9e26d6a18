//! The routing header: which resource a request is about, for Google's front end. No I/O.

use std::fmt::Display;

use bytes::Bytes;
use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tonic::{Request, metadata::AsciiMetadataValue};

use crate::name::{Location, text};

/// All but the unreserved characters of RFC 3986, so that the slashes of a name are encoded as Google's clients do.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The value of `x-goog-request-params` for one request.
///
/// The service answers `UNIMPLEMENTED` to a gRPC request without it. The verbs of [`Client`](crate::Client) set it
/// by themselves; calls through the generated stubs need [`request`](Self::request).
///
/// | RPCs | header |
/// |---|---|
/// | Jobs but the IAM ones | [`location`](Self::location): the annotation `google.api.routing` in job.proto |
/// | Get, Delete and Cancel of executions and tasks; operations | [`name`](Self::name) |
/// | List of executions and tasks | [`parent`](Self::parent) |
/// | Jobs' IAM RPCs | [`resource`](Self::resource) |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing(String);

impl Routing {
    /// `location=REGION`.
    pub fn location(location: &Location) -> Self {
        Self::of("location", &location.region())
    }

    /// `name=FULL NAME`.
    pub fn name(name: &impl Display) -> Self {
        Self::of("name", name)
    }

    /// `parent=FULL NAME`.
    pub fn parent(parent: &impl Display) -> Self {
        Self::of("parent", parent)
    }

    /// `resource=FULL NAME`.
    pub fn resource(resource: &impl Display) -> Self {
        Self::of("resource", resource)
    }

    /// A request with this header.
    pub fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        // Percent-encoded text is always a header value; one that is not would be a request without routing, which
        // the service refuses.
        if let Ok(value) = AsciiMetadataValue::try_from(self.0.as_str()) {
            request.metadata_mut().insert("x-goog-request-params", value);
        }
        request
    }

    /// The header's value, for a request that is not a stub's.
    pub(crate) fn into_value(self) -> HeaderValue {
        HeaderValue::from_maybe_shared(Bytes::from(self.0)).unwrap_or_else(|_| unreachable!("percent-encoded text"))
    }

    fn of(field: &str, value: &impl Display) -> Self {
        let value = text(value);
        // Each slash of a name becomes three characters.
        let mut header = String::with_capacity(field.len() + 1 + value.len() * 3 / 2);
        header.push_str(field);
        header.push('=');
        for (index, part) in value.split('/').enumerate() {
            if index > 0 {
                header.push_str("%2F");
            }
            // Nearly every part of a name stands as it is, and is faster copied whole.
            if part.bytes().all(is_unreserved) {
                header.push_str(part);
            } else {
                header.extend(utf8_percent_encode(part, RESERVED));
            }
        }
        Self(header)
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_and_regions_stand_as_they_are() {
        let job = Location::new("acme", "us-central1").and_then(|at| at.job("echo")).expect("a name");
        let header = |routing: Routing| routing.request(()).metadata().get("x-goog-request-params").cloned();
        assert_eq!(header(Routing::location(job.location())).expect("set"), "location=us-central1");
        assert_eq!(
            header(Routing::name(&job)).expect("set"),
            "name=projects%2Facme%2Flocations%2Fus-central1%2Fjobs%2Fecho"
        );
        assert_eq!(header(Routing::name(&"a:b/c d/ä/x_~.-")).expect("set"), "name=a%3Ab%2Fc%20d%2F%C3%A4%2Fx_~.-");
    }
}
