//! How a connection to the server comes about: over the network or over what a caller's connector makes, with TLS where
//! the endpoint asks for it; within the connect timeout.

use std::{future::Future, sync::Arc, time::Duration};

use http::Uri;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::timeout,
};

use super::{
    ServerAddress,
    connection::{Connect, Opened, over},
};
use crate::{
    error::{Error, ErrorKind, Result},
    net::{Certificates, Tls, Way},
};

/// The application protocol of gRPC (RFC 9113 3.2).
pub(crate) const H2: &[u8] = b"h2";

/// Connections to a server.
///
/// # Errors
/// When TLS is asked for and cannot be set up.
pub(super) fn to_server(
    target: &ServerAddress,
    way: Way,
    certificates: &Certificates,
    limit: Duration,
) -> Result<Connect> {
    let tls = if target.is_tls() { Some(Tls::new(H2, certificates)?) } else { None };
    let uri = target.uri().clone();
    Ok(Box::new(move |freed| {
        let (way, tls, uri) = (way.clone(), tls.clone(), uri.clone());
        let by = match &way {
            Way::Network(dialer) => dialer.by(&uri),
            Way::Own(_) => String::new(),
        };
        Box::pin(within(limit, by, async move {
            match way {
                Way::Network(dialer) => secured(dialer.dial(&uri).await?, tls, &uri, freed).await,
                Way::Own(dialer) => secured(dialer.dial(&uri).await?, tls, &uri, freed).await,
            }
        }))
    }))
}

async fn secured<S>(socket: S, tls: Option<Tls>, uri: &Uri, freed: Arc<Notify>) -> Result<Opened>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    match tls {
        Some(tls) => over(tls.handshake(socket, uri).await?, true, freed).await,
        None => over(socket, false, freed).await,
    }
}

/// `by` is the way, where that is not direct.
async fn within(limit: Duration, by: String, opening: impl Future<Output = Result<Opened>>) -> Result<Opened> {
    timeout(limit, opening).await.unwrap_or_else(|_| {
        let message = format!("no connection to the service{by} within {:.1} s", limit.as_secs_f32());
        Err(Error::new(ErrorKind::Unreachable, message))
    })
}
