//! How a connection to the server comes about: over TCP, with TLS where the endpoint asks for it, or over what a
//! caller's connector makes; within the connect timeout.

use std::{future::Future, sync::Arc, time::Duration};

use hyper_util::rt::TokioIo;
use tokio::{sync::Notify, time::timeout};
use tonic::codegen::StdError as BoxError;
use tower::{Service, ServiceExt as _};

use super::{
    Target,
    connection::{Connect, Opened, over},
};
use crate::{
    error::{Error, ErrorKind, Result},
    net::{Dialer, Proxies, Tls},
};

/// The application protocol of gRPC (RFC 9113 3.2).
const H2: &[u8] = b"h2";

/// Connections to a server.
///
/// # Errors
/// When TLS is asked for and cannot be set up.
pub(super) fn to_server(target: &Target, proxies: Proxies, limit: Duration) -> Result<Connect> {
    let dialer = Dialer::new(proxies);
    let tls = if target.is_tls() { Some(Tls::new(H2)?) } else { None };
    let uri = target.uri().clone();
    Ok(Box::new(move |freed| {
        let (dialer, tls, uri) = (dialer.clone(), tls.clone(), uri.clone());
        Box::pin(within(limit, async move {
            let tcp = dialer.dial(&uri).await?;
            match tls {
                Some(tls) => over(tls.handshake(tcp, &uri).await?, true, freed).await,
                None => over(tcp, false, freed).await,
            }
        }))
    }))
}

/// Connections that a caller's connector makes for this address, in plaintext.
pub(super) fn by_connector<C>(connector: C, uri: http::Uri, limit: Duration) -> Connect
where
    C: Service<http::Uri> + Clone + Send + Sync + 'static,
    C::Response: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    C::Future: Send,
    BoxError: From<C::Error> + Send,
{
    Box::new(move |freed: Arc<Notify>| {
        let (connector, uri) = (connector.clone(), uri.clone());
        Box::pin(within(limit, async move {
            let socket = connector.oneshot(uri).await.map_err(|cause| {
                let cause = BoxError::from(cause);
                Error::new(ErrorKind::Unreachable, format!("no connection to the service: {cause}"))
            })?;
            over(TokioIo::new(socket), false, freed).await
        }))
    })
}

async fn within(limit: Duration, opening: impl Future<Output = Result<Opened>>) -> Result<Opened> {
    timeout(limit, opening).await.unwrap_or_else(|_| {
        let message = format!("no connection to the service within {:.1} s", limit.as_secs_f32());
        Err(Error::new(ErrorKind::Unreachable, message))
    })
}
