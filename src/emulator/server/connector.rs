//! Connections to the emulator that need no socket.

use std::{
    future::{Ready, ready},
    io,
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
};
use tower::Service;

/// Bytes under way in each direction.
const BUFFER: usize = 64 * 1024;

/// The server's ends of new connections.
pub(crate) type Calls = mpsc::UnboundedReceiver<DuplexStream>;

/// Connects a client to the emulator inside this process, whatever the address.
///
/// For `tonic::transport::Endpoint::connect_with_connector`; everything but the socket is as over TCP. A connection
/// outlives neither the emulator nor the client.
#[derive(Clone, Debug)]
pub struct Connector(mpsc::UnboundedSender<DuplexStream>);

impl Connector {
    pub(crate) fn new() -> (Self, Calls) {
        let (dial, calls) = mpsc::unbounded_channel();
        (Self(dial), calls)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (ours, theirs) = duplex(BUFFER);
        let stopped = |_| io::Error::new(io::ErrorKind::ConnectionRefused, "the emulator has stopped");
        ready(self.0.send(theirs).map(|()| TokioIo::new(ours)).map_err(stopped))
    }
}
