//! Bytes to a host: resolve, TCP, TLS. Knows no HTTP, no token and no Cloud Run.

mod tls;

use std::{
    error::Error as StdError,
    fmt::{self, Display, Formatter},
    io,
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::client::legacy::connect::{HttpConnector, dns::Name};
use tokio::net::TcpStream;
use tower::{Service, ServiceExt as _};

pub(crate) use self::tls::{Roots, Tls};
use crate::error::{Error, ErrorKind, Result, chain};

/// Opens TCP connections, to all addresses of a host by turns (RFC 8305).
///
/// hyper-util's connector, because it has Happy Eyeballs and is in the tree of yup-oauth2 already.
#[derive(Clone)]
pub(crate) struct Dialer(HttpConnector<Resolver>);

impl Dialer {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new_with_resolver(Resolver);
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_keepalive(Some(Duration::from_secs(60)));
        Self(connector)
    }

    /// A connection to the host and port of this URL.
    ///
    /// # Errors
    /// [`Unreachable`](ErrorKind::Unreachable); another attempt is pointless when the host does not resolve.
    pub(crate) async fn dial(&self, uri: &Uri) -> Result<TcpStream> {
        let dialed = self.0.clone().oneshot(uri.clone()).await;
        dialed.map(hyper_util::rt::TokioIo::into_inner).map_err(|cause| {
            let unresolved = chain(&cause).any(|e| e.is::<Unresolved>());
            let host = uri.host().unwrap_or_default();
            let last = chain(&cause).last().map_or_else(String::new, ToString::to_string);
            let message = if unresolved {
                format!("no connection to the service: the host {host} does not resolve: {last}")
            } else {
                format!("no connection to the service: {last}")
            };
            let error = Error::new(ErrorKind::Unreachable, message);
            if unresolved { error.lasting() } else { error }
        })
    }
}

/// Resolves by the system's resolver, and marks its failures: nothing is there to connect to.
#[derive(Clone)]
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
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(Unresolved)?;
            Ok(addresses.collect::<Vec<_>>().into_iter())
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
