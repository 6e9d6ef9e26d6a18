//! Connections that the caller of this library makes: through a tunnel, over a Unix socket, to an emulator in the process.

use std::{
    fmt::{self, Debug, Formatter},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::codegen::StdError as BoxError;
use tower::{Service, ServiceExt as _};

use crate::error::{Error, ErrorKind, Result};

/// A stream of bytes in both directions.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Dialing = BoxFuture<'static, Result<Box<dyn Io>>>;

/// Makes connections by a connector of the caller.
#[derive(Clone)]
pub(crate) struct OwnDialer(Arc<dyn Fn(Uri) -> Dialing + Send + Sync>);

impl OwnDialer {
    pub(crate) fn new<C>(connector: C) -> Self
    where
        C: Service<Uri> + Clone + Send + Sync + 'static,
        C::Response: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
        C::Future: Send,
        BoxError: From<C::Error> + Send,
    {
        Self(Arc::new(move |uri| {
            let connector = connector.clone();
            Box::pin(async move {
                let socket = connector.oneshot(uri).await.map_err(|cause| {
                    let cause = BoxError::from(cause);
                    Error::new(ErrorKind::Unreachable, format!("no connection to the service: {cause}"))
                })?;
                Ok(Box::new(TokioIo::new(socket)) as Box<dyn Io>)
            })
        }))
    }

    /// A connection to the host and port of this URL.
    ///
    /// # Errors
    /// [`Unreachable`](ErrorKind::Unreachable).
    pub(crate) async fn dial(&self, uri: &Uri) -> Result<Box<dyn Io>> {
        (self.0)(uri.clone()).await
    }
}

impl Debug for OwnDialer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnDialer").finish_non_exhaustive()
    }
}
