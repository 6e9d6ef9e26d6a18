//! The one function that every call passes, before its handler and after it.
//!
//! Here calls are refused that the service could not route, and those that a web page could have made. A handler's panic
//! becomes an answer, and is kept for the emulator to report.

use std::{
    any::Any,
    convert::Infallible,
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use tonic::{Code, Status, body::Body};
use tower::Service;

use crate::emulator::{engine::Engine, iam::Token, refusal::Refusal};

/// Routes a call to its region; the service does not answer without it.
pub(crate) const ROUTING_HEADER: &str = "x-goog-request-params";
/// What is no part of the API: health and reflection, and the emulator's own pages.
const UNROUTED: [&str; 2] = ["/grpc.", "/emulator/"];

/// The answer to every call from the first panic on.
const PANICKED: &str = "The emulator panicked, which is a bug in it: stop it to see the message.";

/// What every call has to keep to.
#[derive(Debug)]
pub(crate) struct Rules {
    /// Whether a call may come without its routing header.
    pub(crate) lenient: bool,
    pub(crate) exposure: Exposure,
    /// Where a handler's panic is recorded. After a panic anywhere, the emulator answers nothing.
    pub(crate) panic: Arc<Panic>,
    /// What every reply waits for: all that led to it is kept.
    pub(crate) engine: Arc<Engine>,
}

/// Who can reach the emulator, and so what a call has to present.
#[derive(Debug)]
pub(crate) enum Exposure {
    /// This process only.
    None,
    /// Everybody on this machine, and any web page that is open on it: a call has to come from none.
    ThisMachine,
    /// Anybody, but only who knows the token is answered.
    Token(Token),
}

/// The first panic, for the one who reports it.
#[derive(Debug, Default)]
pub(crate) struct Panic(Mutex<Option<String>>);

impl Panic {
    pub(crate) fn record(&self, panic: &(dyn Any + Send)) {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        self.lock().get_or_insert(text.unwrap_or_else(|| "it left no message".to_owned()));
    }

    pub(crate) fn take(&self) -> Option<String> {
        self.lock().take()
    }

    fn happened(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rules {
    /// The refusal of a call by somebody who may not call here.
    pub(crate) fn foreign<B>(&self, request: &Request<B>) -> Option<Status> {
        let refused = match &self.exposure {
            Exposure::None => return None,
            Exposure::Token(token) if !token.is_in(request.headers()) => {
                return Some(Status::unauthenticated("The emulator answers only calls with its token."));
            }
            Exposure::Token(_) => is_from_page(request.headers()),
            Exposure::ThisMachine => !is_local(request),
        };
        let text = "The emulator answers callers of this machine only, and no web page.";
        refused.then(|| Status::permission_denied(text))
    }

    /// The answer to a call that does not get as far as its handler.
    fn refusal<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        if let Some(status) = self.foreign(request) {
            let unknown = status.code() == Code::Unauthenticated;
            let mut response = status.into_http::<Body>();
            *response.status_mut() = if unknown { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
            return Some(response);
        }
        if self.panic.happened() {
            return Some(Status::internal(PANICKED).into_http());
        }
        let routed = request.headers().get(ROUTING_HEADER).is_some_and(|params| !params.is_empty());
        if self.lenient || routed || UNROUTED.iter().any(|prefix| request.uri().path().starts_with(prefix)) {
            return None;
        }
        Some(Status::from(Refusal::unimplemented()).into_http())
    }
}

/// The handlers behind the gate.
#[derive(Clone, Debug)]
pub(crate) struct Gate<S> {
    inner: S,
    rules: Arc<Rules>,
}

impl<S> Gate<S> {
    pub(crate) fn new(inner: S, rules: Arc<Rules>) -> Self {
        Self { inner, rules }
    }
}

impl<S, B> Service<Request<B>> for Gate<S>
where
    S: Service<Request<B>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Some(refusal) = self.rules.refusal(&request) {
            return Box::pin(async { Ok(refusal) });
        }
        let rules = Arc::clone(&self.rules);
        let handled = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        Box::pin(async move {
            let response = handled.await.unwrap_or_else(|panic| {
                rules.panic.record(&*panic);
                Ok(Status::internal(PANICKED).into_http())
            });
            match rules.engine.flushed().await {
                Ok(()) => response,
                Err(reason) => Ok(Status::internal(&*reason).into_http()),
            }
        })
    }
}

/// Whether the call was addressed to loopback, and not sent by a page. A rebound name reaches the port, too.
fn is_local<B>(request: &Request<B>) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.and_then(|host| host.parse::<Uri>().ok());
    let addressed = [Some(request.uri()), host.as_ref()].into_iter().flatten().filter_map(Uri::host);
    let mut hosts = addressed.peekable();
    let known = hosts.peek().is_some();
    known && hosts.all(is_loopback) && !is_from_page(request.headers())
}

/// Browsers tell both themselves, and let no script take them away. A person who types an address sends `none`.
fn is_from_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    headers.contains_key(header::ORIGIN) || site.is_some_and(|site| site != b"none" && site != b"same-origin")
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || is_region_of_localhost(host)
        || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// `us-central1-localhost`, which gcloud derives from `localhost`: a single label, which cannot be registered in the
/// public DNS.
fn is_region_of_localhost(host: &str) -> bool {
    let region = host.strip_suffix("-localhost").unwrap_or_default();
    !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let request =
            headers.iter().fold(Request::builder().uri(uri), |request, (name, value)| request.header(*name, *value));
        request.body(()).expect("a valid request")
    }

    #[test]
    fn only_calls_addressed_to_loopback_are_local() {
        for uri in ["http://127.0.0.1:80/x", "http://localhost/x", "http://LOCALHOST:1/x", "http://[::1]:9/x"] {
            assert!(is_local(&request(uri, &[])), "{uri}");
        }
        for uri in ["http://example.com/x", "http://127.0.0.1.example.com/x", "http://localhost.evil/x", "/x"] {
            assert!(!is_local(&request(uri, &[])), "{uri}");
        }
        for (host, local) in [
            ("us-central1-localhost:8085", true),
            ("us-central1-localhost.example.com", false),
            ("a.b-localhost", false),
            ("-localhost", false),
        ] {
            assert_eq!(is_local(&request("/x", &[("host", host)])), local, "{host}");
        }
        assert!(is_local(&request("/x", &[("host", "127.0.0.1:8085")])));
        assert!(!is_local(&request("/x", &[("host", "example.com")])));
        assert!(!is_local(&request("http://127.0.0.1/x", &[("host", "example.com")])));
    }

    #[test]
    fn a_call_from_a_page_is_not_local() {
        for origin in ["http://example.com", "http://127.0.0.1:8085", "null"] {
            assert!(!is_local(&request("http://127.0.0.1/x", &[("origin", origin)])), "{origin}");
        }
        for (site, local) in [("cross-site", false), ("same-site", false), ("same-origin", true), ("none", true)] {
            assert_eq!(is_local(&request("http://127.0.0.1/x", &[("sec-fetch-site", site)])), local, "{site}");
        }
    }
}
