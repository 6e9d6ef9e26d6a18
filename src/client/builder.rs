//! How a client is made: which server, who calls, which limits. No verb.

use std::{
    env,
    fmt::{self, Debug, Formatter},
    mem,
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use tonic::{body::Body, codegen::StdError as BoxError};
use tower::{Layer, Service};

use super::Client;
use crate::{
    auth::Credentials,
    call::Caller,
    error::{Error, ErrorKind, Result},
    net::{Certificates, Dialer, Identity, OwnDialer, Proxies, Roots, Way},
    retry::Policies,
    transport::{Options, ServerAddress, Transport, Wrap, wrap},
};

/// Room for some 1,600 calls at a time, and few enough to be no burden to a server.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(16).expect("it is not 0");

/// Settings of a [`Client`] to be.
#[must_use = "call `build().await`"]
pub struct ClientBuilder {
    server: Server,
    /// Whether servers of two kinds were named.
    is_torn: bool,
    region: Option<String>,
    credentials: Option<Credentials>,
    quota_project: Option<String>,
    rpc_timeout: Duration,
    connect_timeout: Duration,
    proxy: Option<String>,
    own_dialer: Option<OwnDialer>,
    certificates: Certificates,
    connections: NonZeroUsize,
    policies: Policies,
    /// The outermost first.
    layers: Vec<Wrap>,
    fail_fast: bool,
    jitter: Option<u64>,
}

/// Where the requests go.
enum Server {
    CloudRun,
    Endpoint(String),
    Emulator(String),
    /// At the other end of the caller's own connections, in plaintext.
    Connector(OwnDialer),
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            server: Server::CloudRun,
            is_torn: false,
            region: None,
            credentials: None,
            quota_project: None,
            rpc_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            proxy: None,
            own_dialer: None,
            certificates: Certificates::default(),
            connections: CONNECTIONS,
            policies: Policies::DEFAULT,
            layers: Vec::new(),
            fail_fast: false,
            jitter: None,
        }
    }
}

impl ClientBuilder {
    /// The server: `https://HOST[:PORT]`, `HOST[:PORT]` for the same, or `http://HOST[:PORT]`. Over `http://`
    /// credentials are sent to this machine only. Default is Cloud Run.
    pub fn endpoint(self, endpoint: impl Into<String>) -> Self {
        self.at(Server::Endpoint(endpoint.into()))
    }

    /// The server is an emulator at `HOST:PORT`: plaintext, and never any credentials.
    pub fn emulator(self, address: impl Into<String>) -> Self {
        self.at(Server::Emulator(address.into()))
    }

    /// The server is at the other end of the connections that `connector` makes, such as an emulator in this process:
    /// plaintext, and never any credentials.
    pub fn connector<C>(self, connector: C) -> Self
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
        C::Future: Send,
        BoxError: From<C::Error> + Send,
    {
        self.at(Server::Connector(OwnDialer::new(connector)))
    }

    /// Reaches the server over the connections that `connector` makes for its URL, such as a tunnel or a Unix socket. TLS
    /// and credentials are the same as without it, except that no token goes to an `http://` endpoint: where the
    /// connections lead is not known here. No proxy is used for them. Token servers are reached over the network as ever.
    ///
    /// ```
    /// use hyper_util::rt::TokioIo;
    /// use runjob::Client;
    ///
    /// // Whatever the name of the service resolves to, this address is called.
    /// let private = tower::service_fn(|_: http::Uri| async {
    ///     tokio::net::TcpStream::connect("10.0.0.5:443").await.map(TokioIo::new)
    /// });
    /// let builder = Client::builder().region("us-central1").dial(private);
    /// ```
    pub fn dial<C>(mut self, connector: C) -> Self
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
        C::Future: Send,
        BoxError: From<C::Error> + Send,
    {
        self.own_dialer = Some(OwnDialer::new(connector));
        self
    }

    fn at(mut self, server: Server) -> Self {
        let is_other = mem::discriminant(&self.server) != mem::discriminant(&server);
        self.is_torn |= is_other && !matches!(self.server, Server::CloudRun);
        self.server = server;
        self
    }

    /// Talks to the service of this region, `REGION-run.googleapis.com`, which knows the jobs of this region only.
    /// Default is the global host, which routes each request to the region of its resource.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Who calls. Default is [`Credentials::adc`], and none for an emulator.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// The project that quota is counted against (`x-goog-user-project`). Default is what the credentials say.
    pub fn quota_project(mut self, project: impl Into<String>) -> Self {
        self.quota_project = Some(project.into());
        self
    }

    /// How long one RPC may take, with the token, the connection and the answer. Default is 60 seconds: the service
    /// has been seen to take more than ten, and a start that is given up early has an unknown end. More than a day is
    /// taken for a day.
    pub fn rpc_timeout(mut self, limit: Duration) -> Self {
        self.rpc_timeout = limit;
        self
    }

    /// How long a connection may take, TLS included. Default is 10 seconds.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// The proxy through which the service, and the token servers of default credentials, are reached:
    /// `http://[USER:PASSWORD@]HOST:PORT`. Default is `HTTPS_PROXY`, with the exceptions of `NO_PROXY`. This machine and
    /// plaintext servers are reached directly.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// The certificate authorities to trust, as PEM, for the service and for the token servers of default credentials.
    /// Default is the machine's, else Mozilla's.
    ///
    /// # Errors
    /// When the text holds no certificate that can be used.
    pub fn root_certificates(mut self, pem: impl AsRef<[u8]>) -> Result<Self> {
        self.certificates.roots = Roots::pem(pem.as_ref())?;
        Ok(self)
    }

    /// As [`root_certificates`](Self::root_certificates), for those that were read already.
    #[cfg(feature = "cli")]
    pub(crate) fn roots(mut self, roots: Roots) -> Self {
        self.certificates.roots = roots;
        self
    }

    /// The certificate that this client shows to the service (mutual TLS), with what leads to its authority, and its
    /// private key, both as PEM. Google Cloud expects one at `run.mtls.googleapis.com` only.
    ///
    /// # Errors
    /// When a text holds no certificate or no key. That they do not fit together shows in [`build`](Self::build).
    pub fn client_certificate(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self> {
        self.certificates.identity = Some(Identity::pem(chain.as_ref(), key.as_ref())?);
        Ok(self)
    }

    /// How many connections there may be at a time. Default is 16; more than one is opened only while more than 100
    /// calls are open.
    ///
    /// Each carries 100 calls, and waits may take three quarters of these slots: with the default, 1200 waits return as soon
    /// as their execution ends. Further waits poll, with pauses of at most ten seconds, and take a slot when one becomes
    /// free. To wait for 10,000 executions one by one, allow 134 connections, or use [`Client::watch`].
    pub fn connections(mut self, most: NonZeroUsize) -> Self {
        self.connections = most;
        self
    }

    /// How often a call is tried at the most, the first time included. Default is five times for a read and six for a start,
    /// which go on for about three seconds: long enough for a connection to be replaced, short enough for a person to wait.
    ///
    /// A start is sent again only with proof that it was not processed, however many attempts are left; a peer that refuses
    /// it is asked three times at the most. Waits are not limited by this: see [`Run::set_wait_limit`].
    ///
    /// [`Run::set_wait_limit`]: crate::Run::set_wait_limit
    pub fn attempts(mut self, most: NonZeroU32) -> Self {
        self.policies.set_attempts(most.get());
        self
    }

    /// The pauses between the attempts of a call: the first one, doubled each time up to the longest. Each is shortened by
    /// chance, by half at the most, so that many callers do not come back at the same moment. Default is 200 milliseconds up
    /// to two seconds. More than an hour is taken for an hour.
    ///
    /// The second attempt of a start follows at once, without a pause. What the service asks for (`RetryInfo`) counts more.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.policies.set_backoff(first, longest);
        self
    }

    /// Whether a wait ends at once while the service has never answered this client. Default is not: what is waited for
    /// has a name that the service once gave, so that a refused, broken or silent connection is ridden out from the first
    /// question on, without limit unless the run has a [wait limit](crate::Run::set_wait_limit).
    ///
    /// A host that does not resolve, a TLS error and a server that does not speak gRPC end a wait either way, if they
    /// come first. Starts and reads are not affected: they give up within seconds.
    pub fn fail_fast(mut self, fail_fast: bool) -> Self {
        self.fail_fast = fail_fast;
        self
    }

    /// Wraps the transport in a tower layer. Each attempt of a verb passes through it, and each call of a stub over
    /// [`Client::transport`]. With several layers, the first one added is outermost, as in `tower::ServiceBuilder`. There is
    /// none by default.
    ///
    /// The headers of this client (token, quota project, telemetry) are added inside of it, so a layer sees no token, and
    /// cannot replace one. A verb's answer comes to a layer as a whole, with its message and its status.
    ///
    /// What became of a start is read off the connection, not off the layer's answer. A layer that sends the request of a verb
    /// a second time gets an error, so that retries stay the client's decision. The request's extensions carry what this rests
    /// on: a layer that removes them removes this protection. A start that a layer answers by itself, or sends without its
    /// extensions, is [`StartUnknown`](ErrorKind::StartUnknown) when it fails.
    ///
    /// ```
    /// use http::HeaderValue;
    /// use runjob::Client;
    /// use tower::util::MapRequestLayer;
    ///
    /// let traced = MapRequestLayer::new(|mut request: http::Request<_>| {
    ///     request.headers_mut().insert("x-request-id", HeaderValue::from_static("7"));
    ///     request
    /// });
    /// let builder = Client::builder().layer(traced);
    /// ```
    pub fn layer<L, B>(mut self, layer: L) -> Self
    where
        L: Layer<Transport> + Send + 'static,
        L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Error: Into<BoxError> + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send + 'static,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.layers.push(wrap(layer));
        self
    }

    /// Makes the random part of all pauses the same for the same seed, for tests. Default is a new seed for each client.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.jitter = Some(seed);
        self
    }

    /// The client. Nothing is connected before the first call, or [`Client::warm_up`].
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) when the endpoint is not one, or would carry a token in plaintext to
    /// another machine, and when settings exclude each other: two kinds of servers, a region of Cloud Run for another
    /// server, credentials or a proxy for an emulator. [`Credentials`](ErrorKind::Credentials) when credentials that were
    /// found cannot be used.
    pub async fn build(self) -> Result<Client> {
        let finder = Credentials::builder().roots(self.certificates.roots.clone());
        let finder = match &self.proxy {
            Some(url) => finder.proxy(url),
            None => finder,
        };
        self.build_as(finder.adc()).await
    }

    /// The client, which calls as what `find` finds unless credentials were given. They are looked for only where they
    /// can be used.
    pub(crate) async fn build_as(mut self, find: impl Future<Output = Result<Credentials>>) -> Result<Client> {
        if let Some(rule) = self.broken_rule() {
            return Err(Error::new(ErrorKind::InvalidInput, rule));
        }
        let target = self.target()?;
        let options = Options {
            way: self.way()?,
            credentials: self.credentials_for(&target, find).await?,
            certificates: self.certificates,
            quota_project: self.quota_project,
            connect_timeout: self.connect_timeout,
            connections: self.connections.get(),
        };
        let transport = Transport::to_server(&target, options)?;
        let transport = self.layers.into_iter().rev().fold(transport, |inner, wrap| wrap(inner));
        let random = self.jitter.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let mut caller = Caller::new(transport, self.rpc_timeout, random);
        caller.fail_fast = self.fail_fast;
        caller.policies = self.policies;
        Ok(Client { caller })
    }

    fn target(&self) -> Result<ServerAddress> {
        let target = match &self.server {
            // The name is never resolved: the connector decides where it leads.
            Server::Connector(_) => ServerAddress::parse("http://localhost"),
            Server::Emulator(address) => ServerAddress::emulator(address),
            Server::Endpoint(endpoint) => ServerAddress::parse(endpoint),
            Server::CloudRun => ServerAddress::service(self.region.as_deref()),
        }?;
        if self.certificates.identity.is_some() && !target.is_tls() {
            let message = format!("endpoint {target} is plaintext, and a client certificate needs TLS");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(target)
    }

    fn way(&self) -> Result<Way> {
        Ok(match (&self.server, &self.own_dialer) {
            (_, Some(dialer)) | (Server::Connector(dialer), None) => Way::Own(dialer.clone()),
            (_, None) => Way::Network(Dialer::new(Proxies::find(self.proxy.as_deref(), &|name| env::var(name).ok())?)),
        })
    }

    /// Who calls this server.
    async fn credentials_for(
        &mut self,
        target: &ServerAddress,
        find: impl Future<Output = Result<Credentials>>,
    ) -> Result<Credentials> {
        if matches!(self.server, Server::Emulator(_) | Server::Connector(_)) {
            return Ok(Credentials::anonymous());
        }
        let given = self.credentials.take();
        if !given.as_ref().is_some_and(Credentials::is_anonymous) {
            target.check_for_tokens(self.own_dialer.is_some())?;
        }
        match given {
            Some(credentials) => Ok(credentials),
            None => find.await,
        }
    }

    /// Why no client can have all of these settings.
    fn broken_rule(&self) -> Option<&'static str> {
        let is_local = matches!(self.server, Server::Emulator(_) | Server::Connector(_));
        let has_credentials = self.credentials.as_ref().is_some_and(|credentials| !credentials.is_anonymous());
        if self.rpc_timeout.is_zero() || self.connect_timeout.is_zero() {
            Some("a timeout of 0 leaves no time for a call")
        } else if self.policies.has_no_pause() {
            Some("a backoff without a pause, or whose longest pause is shorter than its first, is none")
        } else if self.is_torn {
            Some("there are two servers: name one by endpoint, emulator or connector")
        } else if self.region.is_some() && !matches!(self.server, Server::CloudRun) {
            Some("a region chooses an endpoint of Cloud Run, and another server is named: leave one of them out")
        } else if is_local && has_credentials {
            Some("credentials are never sent to an emulator or over a connector: leave them out")
        } else if is_local && self.proxy.is_some() {
            Some("an emulator and a connector are reached directly: leave the proxy out")
        } else if self.own_dialer.is_some() && matches!(self.server, Server::Connector(_)) {
            Some("connector and dial both make the connections: leave one of them out")
        } else if self.own_dialer.is_some() && self.proxy.is_some() {
            Some("dial makes the connections, and a proxy has no part in that: leave it out")
        } else {
            None
        }
    }
}

impl Debug for ClientBuilder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("region", &self.region)
            .field("credentials", &self.credentials)
            .field("rpc_timeout", &self.rpc_timeout)
            .finish_non_exhaustive()
    }
}

/// The client that the environment asks for; `env` looks a variable up.
pub(super) async fn from_env(env: &(dyn Fn(&str) -> Option<String> + Sync)) -> Result<Client> {
    let emulator = ["RUN_EMULATOR_HOST", "CLOUD_RUN_EMULATOR_HOST"]
        .into_iter()
        .find_map(|name| env(name).filter(|value| !value.is_empty()));
    match emulator {
        Some(address) => Client::builder().emulator(address).build().await,
        None => Client::builder().build().await,
    }
}
