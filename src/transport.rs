//! The connection under every stub: endpoint, TLS, keepalive, credentials and headers. Knows no message.

mod endpoint;
mod exchange;
mod preface;
mod routing;

use std::{
    fmt::{self, Debug, Formatter},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use tonic::{
    body::Body,
    codegen::StdError as BoxError,
    transport::{Channel, Endpoint},
};
use tower::Service;

use self::preface::{Checked, Findings};
pub use self::routing::Routing;
pub(crate) use self::{endpoint::Target, exchange::Exchange};
use crate::{
    auth::Credentials,
    error::{Error, ErrorKind, Result},
    retry::Verdict,
};

const USER_AGENT: &str = concat!("runjob/", env!("CARGO_PKG_VERSION"));
const API_CLIENT: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-goog-api-client"),
    HeaderValue::from_static(concat!("gccl/", env!("CARGO_PKG_VERSION"))),
);
const QUOTA_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");

/// An authenticated connection to Cloud Run, for the generated stubs.
///
/// A clone shares the connection, and takes the new one when it was replaced after trouble. It connects at the first call and again after a loss, adds the token, the
/// telemetry headers and the quota project to each request, and keeps the connection alive while calls are open.
/// What a request is about it does not know: see [`Routing`] for the header that only the message can tell.
///
/// ```no_run
/// # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
/// use runjob::{Client, JobName, Routing, proto::run::v2};
///
/// let client = Client::from_env().await?;
/// let job: JobName = "projects/acme/locations/us-central1/jobs/echo".parse()?;
/// let mut jobs = v2::jobs_client::JobsClient::new(client.transport());
/// let message = v2::GetJobRequest { name: job.to_string() };
/// let job = jobs.get_job(Routing::location(job.location()).request(message)).await?.into_inner();
/// # Ok(()) }
/// ```
pub struct Transport {
    connection: Connection,
    shared: Arc<Shared>,
}

/// What the clones of a transport have in common.
struct Shared {
    connect: Box<dyn Fn() -> Channel + Send + Sync>,
    current: Mutex<Connection>,
    findings: Findings,
    credentials: Credentials,
    headers: HeaderMap,
}

/// A channel, and how many there were before it.
#[derive(Clone)]
struct Connection {
    channel: Channel,
    generation: u64,
}

impl Transport {
    /// A transport to this server; nothing is sent yet.
    ///
    /// # Errors
    /// When a bearer token would travel in plaintext to another machine, or no root certificate can be had.
    pub(crate) fn to_server(target: &Target, options: Options) -> Result<Self> {
        if !options.credentials.is_anonymous() && !target.may_carry_tokens() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "endpoint {target} is plaintext, and a bearer token is sent in plaintext to this machine only: \
                     write https://, or use no credentials"
                ),
            ));
        }
        let endpoint = configured(target.endpoint()?, options.connect_timeout);
        let connector = tcp_connector();
        let findings = Findings::default();
        if target.is_tls() {
            Self::over(move || endpoint.connect_with_connector_lazy(connector.clone()), findings, options)
        } else {
            let connector = Checked::new(connector, findings.clone());
            Self::over(move || endpoint.connect_with_connector_lazy(connector.clone()), findings, options)
        }
    }

    /// A transport over connections that `connector` makes, in plaintext, and so for anonymous credentials only.
    pub(crate) fn over_connector<C>(connector: C, options: Options) -> Result<Self>
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
        C::Future: Send,
        BoxError: From<C::Error> + Send,
    {
        // The name is never resolved: the connector decides where it leads.
        let endpoint = configured(Endpoint::from_static("http://localhost"), options.connect_timeout);
        Self::over(move || endpoint.connect_with_connector_lazy(connector.clone()), Findings::default(), options)
    }

    fn over(
        connect: impl Fn() -> Channel + Send + Sync + 'static,
        findings: Findings,
        options: Options,
    ) -> Result<Self> {
        let mut headers = HeaderMap::from_iter([API_CLIENT]);
        if let Some(project) = options.quota_project.as_deref().or(options.credentials.quota_project()) {
            let value = HeaderValue::from_str(project).map_err(|_| {
                Error::new(ErrorKind::InvalidInput, "the quota project has characters that no project id has")
            })?;
            headers.insert(QUOTA_PROJECT, value);
        }
        let connection = Connection { channel: connect(), generation: 0 };
        let shared = Shared {
            connect: Box::new(connect),
            current: Mutex::new(connection.clone()),
            findings,
            credentials: options.credentials,
            headers,
        };
        Ok(Self { connection, shared: Arc::new(shared) })
    }

    /// Gives the clones to come another connection than this one. Calls on this one go on.
    pub(crate) fn replace_connection(&self) {
        let mut current = self.shared.current();
        // Many calls find the same connection dead; one of them replaces it.
        if current.generation == self.connection.generation {
            *current = Connection { channel: (self.shared.connect)(), generation: current.generation + 1 };
        }
    }

    /// Gives up the token, because the service did not accept it. Whether there can be another one.
    pub(crate) fn renew_token(&self) -> bool {
        self.shared.credentials.renew()
    }
}

impl Shared {
    fn current(&self) -> MutexGuard<'_, Connection> {
        // Nothing panics while it is held.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for Transport {
    fn clone(&self) -> Self {
        Self { connection: self.shared.current().clone(), shared: Arc::clone(&self.shared) }
    }
}

/// How to connect, beside where to.
pub(crate) struct Options {
    pub(crate) credentials: Credentials,
    pub(crate) quota_project: Option<String>,
    pub(crate) connect_timeout: Duration,
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connection.channel.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The clone takes the place of the channel that poll_ready has made ready.
        let next = self.connection.channel.clone();
        let mut channel = mem::replace(&mut self.connection.channel, next);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let exchange = request.extensions_mut().remove::<Exchange>();
            if let Some(value) = shared.credentials.authorization().await? {
                request.headers_mut().insert(http::header::AUTHORIZATION, value);
            }
            request.headers_mut().extend(shared.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
            let Some(exchange) = exchange else { return Ok(channel.call(request).await?) };
            match channel.call(request.map(|body| exchange.sending(body))).await {
                Ok(response) => Ok(exchange.answered(response)),
                Err(cause) => match shared.findings.foreign() {
                    Some(what) if exchange.unanswered() == Verdict::NeverSent => {
                        Err(Error::new(ErrorKind::NotGrpc, what).into())
                    }
                    _ => Err(cause.into()),
                },
            }
        })
    }
}

impl Debug for Transport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("credentials", &self.shared.credentials).finish_non_exhaustive()
    }
}

/// The settings that every connection has, whoever makes it.
fn configured(endpoint: Endpoint, connect_timeout: Duration) -> Endpoint {
    // 60 s and 20 s: under the minutes after which load balancers forget a silent flow, and not so often that a
    // server takes it for abuse (gRFC A8). Only while calls are open, as A8 asks.
    endpoint
        .connect_timeout(connect_timeout)
        .http2_keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(20))
        .keep_alive_while_idle(false)
        .user_agent(USER_AGENT)
        .unwrap_or_else(|_| unreachable!("a constant of visible characters"))
}

fn tcp_connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_keepalive(Some(Duration::from_secs(60)));
    connector
}
