//! The HTTP client below every source: one request, one answer, or why there is none. Knows retries, limits and how
//! servers report errors, and nothing of tokens.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{sleep, timeout},
};
use tower::Service;

use super::source::TokenError;
use crate::{
    error::{Error, chain},
    net::{Certificates, Dialer, Io, Proxies, Roots, Tls},
    retry::Backoff,
};

/// How long one attempt may take, with its connection.
pub(super) const ATTEMPT: Duration = Duration::from_secs(5);

/// Four attempts: within two seconds where the server answers at once, and within 22 where it is silent.
pub(super) const ATTEMPTS: u32 = 4;
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(250), factor: 2.0, longest: Duration::from_secs(1) };

/// Far more than any token.
const LARGEST_ANSWER: usize = 256 * 1024;

/// How much of a server's error text is shown.
const LONGEST_TEXT: usize = 300;

/// A word of this length in an error text is taken for a secret.
const LONG_WORD: usize = 64;

/// Form fields that hold secrets.
const SECRET_FIELDS: [&str; 6] =
    ["assertion", "actor_token", "client_secret", "options", "refresh_token", "subject_token"];

/// The client. Clones share its connections, which are reused. TLS is set up at the first `https://`.
#[derive(Clone)]
pub(super) struct Http {
    client: Client<WebConnector, Full<Bytes>>,
    dialer: Dialer,
}

/// An answer with a status of success.
pub(super) struct WebAnswer {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Http {
    pub(super) fn new(roots: Roots, proxies: Proxies) -> Self {
        let certificates = Certificates { roots, identity: None };
        let dialer = Dialer::new(proxies);
        let connector = WebConnector { dialer: dialer.clone(), certificates, tls: Arc::default() };
        Self { client: Client::builder(TokioExecutor::new()).build(connector), dialer }
    }

    /// Sends this request, again where that may help, and returns the answer.
    ///
    /// # Errors
    /// What came instead: the HTTP status and the server's text in one line, without a secret of the request.
    pub(super) async fn send(&self, request: Request<Bytes>) -> Result<WebAnswer, TokenError> {
        self.send_within(request, ATTEMPTS, ATTEMPT).await
    }

    pub(super) async fn send_within(
        &self,
        request: Request<Bytes>,
        attempts: u32,
        limit: Duration,
    ) -> Result<WebAnswer, TokenError> {
        let mut failures = 0;
        let silent = || {
            let by = self.dialer.by(request.uri());
            TokenError::transient(format!("no answer{by} within {:.0} s", limit.as_secs_f32()))
        };
        loop {
            let outcome = timeout(limit, self.attempt(&request)).await.unwrap_or_else(|_| Err(silent()));
            failures += 1;
            match outcome {
                Err(error) if error.is_transient() && failures < attempts => {
                    sleep(BACKOFF.pause(failures, fastrand::f64())).await;
                }
                outcome => return outcome.map_err(|error| error.within(server(request.uri()))),
            }
        }
    }

    async fn attempt(&self, request: &Request<Bytes>) -> Result<WebAnswer, TokenError> {
        let answer = self.client.request(request.clone().map(Full::new)).await.map_err(|cause| unanswered(&cause))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await;
        let body = body.map_err(|cause| TokenError::transient(format!("the answer broke off: {cause}")))?.to_bytes();
        if head.status.is_success() {
            return Ok(WebAnswer { headers: head.headers, body });
        }
        let text = one_line(&text_of(&body), request);
        Err(refused(head.status, &text))
    }
}

/// The server as an error names it, without path and query.
fn server(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}", uri.scheme_str().unwrap_or("http"))
}

fn unanswered(cause: &hyper_util::client::legacy::Error) -> TokenError {
    if let Some(own) = chain(cause).find_map(|e| e.downcast_ref::<Error>()) {
        let make = if own.is_retryable() { TokenError::transient } else { TokenError::permanent };
        return make(own.to_string());
    }
    let last = chain(cause).last().map_or_else(String::new, ToString::to_string);
    TokenError::transient(format!("no answer: {last}"))
}

fn refused(status: StatusCode, text: &str) -> TokenError {
    let transient =
        status.is_server_error() || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
    let message = match text {
        "" => format!("HTTP status {}", status.as_u16()),
        text => format!("HTTP status {}: {text}", status.as_u16()),
    };
    let make = if transient { TokenError::transient } else { TokenError::permanent };
    make(message).with_status(status.as_u16())
}

/// What a server says is wrong, in the forms that OAuth (RFC 6749 5.2) and Google's APIs have for it.
fn text_of(body: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return String::from_utf8_lossy(body).into_owned() };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let parts = match &value["error"] {
        Value::Object(error) => vec![error.get("status").and_then(text), error.get("message").and_then(text)],
        error => vec![text(error), text(&value["error_description"])],
    };
    parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

/// A server's text on one line, shortened, without the secrets that the request held: some servers repeat those.
fn one_line(text: &str, request: &Request<Bytes>) -> String {
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    for secret in secrets(request) {
        text = text.replace(&secret, "[redacted]");
    }
    let words = text.split_whitespace();
    let line = words.map(|word| if word.len() < LONG_WORD { word } else { "[redacted]" }).collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(LONGEST_TEXT).collect();
    // Characters that turn or hide text, such as a bidirectional override.
    short.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

/// What of a request is secret: headers marked as that, and some fields of a form.
fn secrets(request: &Request<Bytes>) -> Vec<String> {
    let headers = request.headers().values().filter(|value| value.is_sensitive());
    let headers = headers.filter_map(|value| value.to_str().ok());
    let headers = headers.map(|value| value.rsplit(' ').next().unwrap_or(value).to_owned());
    let fields = form_urlencoded::parse(request.body());
    let fields = fields.filter(|(name, _)| SECRET_FIELDS.contains(&name.as_ref())).map(|(_, value)| value.into_owned());
    headers.chain(fields).filter(|secret| !secret.is_empty()).collect()
}

/// A `GET` of this URL.
pub(super) fn get(url: &Uri) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = url.clone();
    request
}

/// A `POST` of these form fields.
pub(super) fn form(url: &Uri, fields: &[(&str, &str)]) -> Request<Bytes> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    post(url, "application/x-www-form-urlencoded", body)
}

/// A `POST` of this JSON.
pub(super) fn json(url: &Uri, body: &Value) -> Request<Bytes> {
    post(url, "application/json", body.to_string())
}

fn post(url: &Uri, content_type: &'static str, body: String) -> Request<Bytes> {
    let mut request = get(url).map(|_| Bytes::from(body));
    *request.method_mut() = http::Method::POST;
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    request
}

/// Connections for hyper's client, over TLS or without.
#[derive(Clone)]
struct WebConnector {
    dialer: Dialer,
    certificates: Certificates,
    tls: Arc<OnceLock<Tls>>,
}

impl WebConnector {
    fn tls(&self) -> Result<&Tls, Error> {
        match self.tls.get() {
            Some(tls) => Ok(tls),
            None => {
                let made = Tls::new(b"http/1.1", &self.certificates)?;
                Ok(self.tls.get_or_init(|| made))
            }
        }
    }

    async fn connect(self, uri: Uri) -> Result<TokioIo<WebStream>, Error> {
        let tcp = self.dialer.dial(&uri).await?;
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        let stream = if is_tls { WebStream::new(self.tls()?.handshake(tcp, &uri).await?) } else { WebStream::new(tcp) };
        Ok(TokioIo::new(stream))
    }
}

impl Service<Uri> for WebConnector {
    type Response = TokioIo<WebStream>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<TokioIo<WebStream>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// A connection, as hyper's client wants to see one.
pub(super) struct WebStream(Box<dyn Io>);

impl WebStream {
    pub(super) fn new(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Box::new(io))
    }
}

impl Connection for WebStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for WebStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for WebStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri() -> Uri {
        Uri::from_static("https://sts.googleapis.com/v1/token")
    }

    #[test]
    fn an_error_of_a_server_is_one_line_without_what_was_sent() {
        let sent = form(&uri(), &[("grant_type", "refresh_token"), ("refresh_token", "canary/1 2")]);
        let long = "x".repeat(80);
        for (body, shown) in [
            (r#"{"error":"invalid_grant","error_description":"Bad canary/1 2"}"#, "invalid_grant: Bad [redacted]"),
            (
                r#"{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no\nhint: x"}}"#,
                "PERMISSION_DENIED: no hint: x",
            ),
            (&*format!("Unsupported grant_type {long}"), "Unsupported grant_type [redacted]"),
            ("\u{202e}abc", "\\u{202e}abc"),
            (r#"{"id_token":"canary-2"}"#, ""),
        ] {
            assert_eq!(one_line(&text_of(body.as_bytes()), &sent), shown);
        }
        let mut sent = get(&uri());
        let mut value = HeaderValue::from_static("Bearer canary");
        value.set_sensitive(true);
        sent.headers_mut().insert(header::AUTHORIZATION, value);
        assert_eq!(one_line("got canary here", &sent), "got [redacted] here");
    }

    #[test]
    fn what_may_pass_is_told_from_what_stays() {
        for (status, transient) in [(429, true), (500, true), (503, true), (408, true), (400, false), (404, false)] {
            let error = refused(StatusCode::from_u16(status).expect("a status"), "");
            assert_eq!((error.is_transient(), error.status), (transient, Some(status)));
        }
    }
}
