//! Connections that break after so many bytes, in either direction: below the emulator, and below HTTP/2.
//!
//! Knows neither. What passed before the break was delivered, and nothing after it is.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use runjob::emulator::Connector;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, DuplexStream, copy, duplex, split},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower::{Service, ServiceExt as _};

/// How many bytes a connection carries before it breaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cut {
    /// From the client.
    pub(super) up: u64,
    /// To the client.
    pub(super) down: u64,
}

impl Cut {
    pub(super) const NEVER: Self = Self { up: u64::MAX, down: u64::MAX };
}

/// What becomes of the connections to come, in order; those after them never break.
#[derive(Clone, Debug, Default)]
pub(super) struct Cuts(Arc<Mutex<VecDeque<Cut>>>);

impl Cuts {
    pub(super) fn set(&self, cuts: &[Cut]) {
        *self.0.lock().expect("no panic") = cuts.iter().copied().collect();
    }

    fn next(&self) -> Cut {
        self.0.lock().expect("no panic").pop_front().unwrap_or(Cut::NEVER)
    }
}

/// Connects to an emulator in this process, by connections that break.
#[derive(Clone, Debug)]
pub(super) struct Breaking {
    pub(super) inner: Connector,
    pub(super) cuts: Cuts,
}

impl Service<Uri> for Breaking {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (inner, cut) = (self.inner.clone(), self.cuts.next());
        Box::pin(async move {
            let far = inner.oneshot(uri).await?;
            if cut == Cut::NEVER {
                return Ok(far);
            }
            let (ours, near) = duplex(64 * 1024);
            tokio::spawn(relay(near, far.into_inner(), cut));
            Ok(TokioIo::new(ours))
        })
    }
}

/// A port of this machine that leads to another, by connections that break.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    pub(super) cuts: Cuts,
    listening: JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let cuts = Cuts::default();
        let of_listener = cuts.clone();
        let listening = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let cut = of_listener.next();
                tokio::spawn(async move {
                    if let Ok(far) = TcpStream::connect(server).await {
                        relay(near, far, cut).await;
                    }
                });
            }
        });
        Self { address, cuts, listening }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Carries bytes until one direction has carried its share or has ended, and then breaks both.
async fn relay<A, B>(near: A, far: B, cut: Cut)
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (from_near, mut to_near) = split(near);
    let (from_far, mut to_far) = split(far);
    let (mut up, mut down) = (from_near.take(cut.up), from_far.take(cut.down));
    tokio::select! {
        _ = copy(&mut up, &mut to_far) => {}
        _ = copy(&mut down, &mut to_near) => {}
    }
}
