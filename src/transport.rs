//! Connections to the service, straight on the h2 crate: pooled, authenticated, and with what was seen of each exchange.
//! Knows no message.
//!
//! Why not tonic's `Channel`: what a start may claim about a failure rests on the frames of HTTP/2, which a `Channel` over
//! hyper does not show, and a request and its message leave in one write here. tonic has the stubs and `Status`.

mod answer;
mod connect;
mod connection;
mod endpoint;
mod evidence;
mod exchange;
mod fields;
mod frames;
mod headers;
mod layers;
mod pool;
mod routing;
mod wire;

use std::{
    fmt::{self, Debug, Formatter},
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, try_join},
};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Uri, Version, header::AUTHORIZATION, request::Parts, uri,
};
use http_body::Body as _;
use tokio::time::timeout;
use tonic::{Status, body::Body, codegen::StdError as BoxError};
use tower::{Service, ServiceExt as _};

#[cfg(feature = "cli")]
pub(crate) use self::connect::H2;
pub use self::{answer::Answer, routing::Routing};
pub(crate) use self::{
    answer::Chunks,
    endpoint::ServerAddress,
    exchange::FailedAttempt,
    headers::grpc_timeout,
    layers::{Wrap, wrap},
};
use self::{
    answer::Received,
    connect::to_server,
    exchange::{Exchange, ExchangeFailure, Flight},
    layers::{Layered, Witness},
    pool::{Lease, Pool},
};
use crate::{
    auth::Credentials,
    error::{Error, ErrorKind, Result},
    net::{Certificates, Way},
};

/// Authenticated connections to Cloud Run, for the generated stubs.
///
/// Clones share the connections: one for up to a hundred calls at a time, more for more calls (see
/// [`ClientBuilder::connections`](crate::ClientBuilder::connections)). It connects when a call needs it and again after
/// a loss, adds the token, the telemetry headers and the quota project to each request, and keeps a connection alive
/// while calls are open. Requests are unary: the whole request is read before it is sent. What a request is about it does
/// not know: see [`Routing`] for the header that only the message can tell.
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
#[derive(Clone)]
pub struct Transport {
    shared: Arc<Shared>,
    layered: Option<Layered>,
}

/// What the clones of a transport have in common.
struct Shared {
    pool: Pool,
    credentials: Credentials,
    /// The headers that every request has.
    headers: HeaderMap,
    /// The same with room for those of one call of a verb.
    unary_headers: HeaderMap,
    scheme: uri::Scheme,
    authority: uri::Authority,
}

/// How to connect, beside where to.
pub(crate) struct Options {
    pub(crate) credentials: Credentials,
    pub(crate) quota_project: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) way: Way,
    pub(crate) certificates: Certificates,
    /// The most connections at a time.
    pub(crate) connections: usize,
}

/// A unary request: an encoded message with its gRPC prefix, and what its headers say of it.
pub(crate) struct Unary {
    pub(crate) path: uri::PathAndQuery,
    pub(crate) params: HeaderValue,
    pub(crate) message: Bytes,
    /// The largest answer that is read, in bytes.
    pub(crate) most: usize,
}

impl Transport {
    /// A transport to this server; nothing is sent yet.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub(crate) fn to_server(target: &ServerAddress, options: Options) -> Result<Self> {
        let connect = to_server(target, options.way, &options.certificates, options.connect_timeout)?;
        let server = target.uri();
        let quota_project = options.quota_project.as_deref().or(options.credentials.quota_project());
        let headers = headers::common(quota_project)?;
        let shared = Shared {
            unary_headers: headers::with_slots(&headers),
            headers,
            pool: Pool::new(connect, options.connections),
            credentials: options.credentials,
            scheme: server.scheme().cloned().unwrap_or(uri::Scheme::HTTPS),
            authority: server.authority().cloned().unwrap_or(uri::Authority::from_static("localhost")),
        };
        Ok(Self { shared: Arc::new(shared), layered: None })
    }

    /// The host and the port of the server.
    pub(crate) fn authority(&self) -> &uri::Authority {
        &self.shared.authority
    }

    /// How many calls the connections carry at a time before any has to wait for a slot.
    pub(crate) fn slots(&self) -> usize {
        self.shared.pool.slots()
    }

    /// Gives up the token of this generation, because the service did not accept it. Whether there can be another.
    pub(crate) fn renew_token(&self, generation: u64) -> bool {
        self.shared.credentials.renew(generation)
    }

    /// Opens a connection and gets a token, unless they are there, within this limit.
    pub(crate) async fn warm_up(&self, limit: Duration) -> Result<()> {
        let late = || Error::new(ErrorKind::Deadline, format!("not ready within {:.1} s", limit.as_secs_f32()));
        timeout(limit, self.shared.prepare(&HeaderMap::new())).await.unwrap_or_else(|_| Err(late())).map(drop)
    }

    /// Sends a request once and returns the message of its answer.
    ///
    /// `limit` covers everything: a slot, the token, the connection, the request and the answer; `told` is the same for
    /// the service. Dropped before its end, it resets the stream: the request may or may not have been processed.
    ///
    /// # Errors
    /// Whatever came instead of a message, with what that proves of the request.
    pub(crate) async fn unary(
        &self,
        call: &Unary,
        limit: Duration,
        told: HeaderValue,
    ) -> Result<Chunks, FailedAttempt> {
        if let Some(layered) = &self.layered {
            return self.through(layered.clone(), call, limit, told).await;
        }
        let mut exchange = Exchange::default();
        let outcome = {
            let sent = pin!(async {
                let (lease, mut headers, token) = self.shared.prepare(&self.shared.unary_headers).await?;
                exchange.token = token;
                headers.insert(headers::GRPC_TIMEOUT, told);
                headers.insert(headers::REQUEST_PARAMS, call.params.clone());
                let request = self.shared.request(call.path.clone(), headers);
                let (answer, _sending) = exchange.begin(lease, request, call.message.clone())?;
                answer::message(answer.await?.map(Received::from), call.most).await
            });
            timeout(limit, sent).await.ok()
        };
        exchange.settle(outcome, limit)
    }

    /// The same through the caller's layers. Boxed, so that calls without any do not carry its future around.
    fn through<'a>(
        &'a self,
        layered: Layered,
        call: &'a Unary,
        limit: Duration,
        told: HeaderValue,
    ) -> BoxFuture<'a, Result<Chunks, FailedAttempt>> {
        let fields = [(headers::GRPC_TIMEOUT, told), (headers::REQUEST_PARAMS, call.params.clone())];
        let request = self.shared.request(call.path.clone(), HeaderMap::from_iter(fields));
        Box::pin(layers::send(layered, request.map(|()| call.message.clone()), call.most, limit))
    }
}

impl Shared {
    /// An open connection with a slot for one call, these headers with a token, and the generation of the token.
    async fn prepare(&self, headers: &HeaderMap) -> Result<(Lease, HeaderMap, Option<u64>)> {
        let lease = self.pool.lease().await;
        let token = self.credentials.authorization();
        let token = if lease.opened().is_some() {
            token.await?
        } else {
            // Of two errors the token's is reported: it remains when the network comes back.
            let (opened, token) = try_join(lease.open().map(Ok), token).await?;
            opened?;
            token
        };
        let mut headers = headers.clone();
        let generation = token.as_ref().map(|token| token.generation);
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token.value);
        }
        Ok((lease, headers, generation))
    }

    fn request(&self, path: uri::PathAndQuery, headers: HeaderMap) -> Request<()> {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        // A scheme, an authority and a path are always a URL.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        *request.headers_mut() = headers;
        request
    }

    /// Sends a stub's request. Its headers count less than ours.
    async fn call(&self, request: Request<Body>) -> Result<Response<Answer>, Status> {
        let (mut head, body) = request.into_parts();
        if let Some(witness) = head.extensions.remove::<Witness>() {
            let most = witness.pass().map_err(Error::into_status)?;
            let outcome = self.witnessed(&witness, head, body, most).await;
            return witness.ended(outcome);
        }
        let body = whole(body).await?;
        let (lease, request, _) = self.ready(head).await.map_err(Error::into_status)?;
        let (flight, answer, _sending) = Flight::begin(lease, request, body, true).map_err(Error::into_status)?;
        match answer.await {
            Ok(answer) => Ok(Answer::of(answer, flight)),
            Err(cause) => Err(flight.broken(&cause)),
        }
    }

    /// Sends a verb's request that came through layers.
    async fn witnessed(
        &self,
        witness: &Witness,
        head: Parts,
        body: Body,
        most: usize,
    ) -> Result<Chunks, ExchangeFailure> {
        let body = whole(body).await.map_err(|status| Error::from_peer(&status))?;
        let (lease, request, token) = self.ready(head).await?;
        let (answer, _sending) = witness.begin(lease, request, body, token)?;
        answer::message(answer.await?.map(Received::from), most).await
    }

    /// A request with this head, a connection for it, and the generation of its token.
    async fn ready(&self, head: Parts) -> Result<(Lease, Request<()>, Option<u64>)> {
        let (lease, ours, token) = self.prepare(&self.headers).await?;
        let mut headers = head.headers;
        headers.extend(ours);
        let path = head.uri.path_and_query().cloned().unwrap_or(uri::PathAndQuery::from_static("/"));
        Ok((lease, self.request(path, headers), token))
    }
}

/// The whole of a request's body, which a stub has in one piece.
async fn whole(mut body: Body) -> Result<Bytes, Status> {
    let mut whole = Bytes::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame?.into_data() else { continue };
        whole = if whole.is_empty() { data } else { BytesMut::from_iter([whole, data].concat()).freeze() };
    }
    Ok(whole)
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // A call waits for its slot when it is made, so that none is held by who does not call.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(layered) = &self.layered {
            return Box::pin(layered.clone().oneshot(request));
        }
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.call(request).await.map_err(Into::into) })
    }
}

impl Debug for Transport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("credentials", &self.shared.credentials).finish_non_exhaustive()
    }
}
