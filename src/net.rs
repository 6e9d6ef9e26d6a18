//! Bytes to a host: resolve, TCP, proxy, TLS. Knows no HTTP, no token and no Cloud Run.

mod own;
mod proxy;
mod tls;

use std::{
    error::Error as StdError,
    fmt::{self, Display, Formatter},
    io,
    net::SocketAddr,
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::{
    client::legacy::connect::{HttpConnector, dns::Name},
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower::{Service, ServiceExt as _};

pub(crate) use self::{
    own::{Io, OwnDialer},
    proxy::Proxies,
    tls::{Certificates, Identity, Roots, Tls},
};
use crate::error::{Error, ErrorKind, Result, chain};

/// How a server is reached.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    /// Over the network, directly or through a proxy.
    Network(Dialer),
    /// As the caller of this library dials.
    Own(OwnDialer),
}

/// Opens TCP connections, to all addresses of a host by turns (RFC 8305), or tunnels through a proxy.
///
/// hyper-util's connector, because it has Happy Eyeballs and is in the tree of yup-oauth2 already.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    connector: HttpConnector<Resolver>,
    proxies: Proxies,
}

impl Dialer {
    pub(crate) fn new(proxies: Proxies) -> Self {
        let mut connector = HttpConnector::new_with_resolver(Resolver);
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_keepalive(Some(Duration::from_secs(60)));
        Self { connector, proxies }
    }

    /// A connection to the host and port of this URL.
    ///
    /// # Errors
    /// [`Unreachable`](ErrorKind::Unreachable); another attempt is pointless when the host does not resolve, and
    /// when a proxy wants a password.
    pub(crate) async fn dial(&self, uri: &Uri) -> Result<TcpStream> {
        let connector = self.connector.clone();
        let Some(proxy) = self.proxies.to(uri) else {
            return opened(connector.oneshot(uri.clone()).await, uri.host().unwrap_or_default(), "");
        };
        let host = proxy.uri().host().unwrap_or_default();
        opened(proxy::tunnel(&proxy, connector).oneshot(uri.clone()).await, host, &self.by(uri))
    }

    /// By which way this server is reached, as a part of a sentence: ` by the proxy HOST:PORT`, or nothing.
    pub(crate) fn by(&self, uri: &Uri) -> String {
        self.proxy_to(uri).map_or_else(String::new, |proxy| format!(" by the proxy {proxy}"))
    }

    /// The proxy that leads to this server, as `HOST:PORT`.
    pub(crate) fn proxy_to(&self, uri: &Uri) -> Option<String> {
        self.proxies.to(uri).as_ref().map(proxy::address)
    }
}

/// The addresses of a host by the system's resolver, with port 0.
pub(crate) async fn resolve(host: &str) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((host, 0)).await?.collect())
}

/// The connection, or why there is none to `host`; `by` is the way, where that is not direct.
fn opened<E: StdError + 'static>(dialed: Result<TokioIo<TcpStream>, E>, host: &str, by: &str) -> Result<TcpStream> {
    dialed.map(TokioIo::into_inner).map_err(|cause| {
        let unresolved = chain(&cause).any(|e| e.is::<Unresolved>());
        let last = chain(&cause).last().map_or_else(String::new, ToString::to_string);
        let message = match unresolved {
            true => format!("no connection to the service{by}: the host {host} does not resolve: {last}"),
            false => format!("no connection to the service{by}: {last}"),
        };
        let error = Error::new(ErrorKind::Unreachable, message);
        if unresolved || proxy::wants_password(&cause) { error.lasting() } else { error }
    })
}

/// Resolves by the system's resolver, and marks its failures: nothing is there to connect to.
#[derive(Clone, Debug)]
struct Resolver;

#[derive(Debug)]
struct Unresolved(io::Error);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<std::net::SocketAddr>;
    type Error = Unresolved;
    type Future = BoxFuture<'static, Result<Self::Response, Unresolved>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Unresolved>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move {
            let addresses = resolve(name.as_str()).await.map_err(Unresolved)?;
            Ok(addresses.into_iter())
        })
    }
}

impl Display for Unresolved {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("the host does not resolve")
    }
}

impl StdError for Unresolved {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}
