//! The connections under every stub: endpoint, TLS, keepalive, credentials and headers. Knows no message.

mod endpoint;
mod exchange;
mod pool;
mod preface;
mod routing;

use std::{
    fmt::{self, Debug, Formatter},
    sync::Arc,
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

pub use self::routing::Routing;
pub(crate) use self::{endpoint::Target, exchange::Exchange};
use self::{
    pool::{Lease, Pool},
    preface::{Checked, Findings},
};
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

/// Authenticated connections to Cloud Run, for the generated stubs.
///
/// Clones share the connections: one for up to a hundred calls at a time, more for more calls (see
/// [`ClientBuilder::connections`](crate::ClientBuilder::connections)). It connects when a call needs it and again after
/// a loss, adds the token, the telemetry headers and the quota project to each request, and keeps a connection alive
/// while calls are open. What a request is about it does not know: see [`Routing`] for the header that only the
/// message can tell.
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
    /// The connection that was made ready for the next call.
    ready: Option<Ready>,
    shared: Arc<Shared>,
}

/// What the clones of a transport have in common.
struct Shared {
    pool: Pool,
    findings: Findings,
    credentials: Credentials,
    headers: HeaderMap,
}

/// A connection that has been chosen for a call.
struct Ready {
    lease: Lease,
    channel: Channel,
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
        let pool = Pool::new(connect, options.connections);
        let shared = Shared { pool, findings, credentials: options.credentials, headers };
        Ok(Self { ready: None, shared: Arc::new(shared) })
    }

    /// How many calls the connections carry at a time before any has to wait for a place.
    pub(crate) fn places(&self) -> usize {
        self.shared.pool.places()
    }

    /// Gives the calls to come another connection than the one of this exchange. Calls on that one go on.
    pub(crate) fn replace_connection(&self, exchange: &Exchange) {
        if let Some(lease) = exchange.lease() {
            self.shared.pool.replace(lease);
        }
    }

    /// Gives up the token, because the service did not accept it. Whether there can be another one.
    pub(crate) fn renew_token(&self) -> bool {
        self.shared.credentials.renew()
    }
}

impl Clone for Transport {
    fn clone(&self) -> Self {
        Self { ready: None, shared: Arc::clone(&self.shared) }
    }
}

/// How to connect, beside where to.
pub(crate) struct Options {
    pub(crate) credentials: Credentials,
    pub(crate) quota_project: Option<String>,
    pub(crate) connect_timeout: Duration,
    /// The most connections at a time.
    pub(crate) connections: usize,
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        let ready = self.ready.get_or_insert_with(|| Ready::from(self.shared.pool.lease()));
        ready.channel.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let ready = self.ready.take().unwrap_or_else(|| Ready::from(self.shared.pool.lease()));
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let Ready { lease, mut channel } = ready;
            let exchange: Exchange = request.extensions_mut().remove().unwrap_or_default();
            exchange.travels_by(lease);
            if let Some(value) = shared.credentials.authorization().await? {
                request.headers_mut().insert(http::header::AUTHORIZATION, value);
            }
            request.headers_mut().extend(shared.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
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

impl From<Lease> for Ready {
    fn from(lease: Lease) -> Self {
        Self { channel: lease.channel(), lease }
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
