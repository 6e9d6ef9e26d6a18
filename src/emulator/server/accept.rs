//! Connections as they come in: room is made for each of them, and a system that has no more to give is waited for.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Sleep, sleep},
};

use super::crowd::Crowd;
use crate::emulator::EmulatorError;

/// The bytes that a new connection has to send to stay open, and by when: the preface of HTTP/2 has this many, and any
/// valid HTTP/1 request has more. Afterwards the limits of HTTP apply.
const GREETING: usize = 24;
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to let things be when a connection cannot be taken: mostly no more files can be opened.
const PAUSE: Duration = Duration::from_millis(50);

/// A bound listener.
pub(crate) async fn bind(addr: SocketAddr) -> Result<TcpListener, EmulatorError> {
    TcpListener::bind(addr).await.map_err(|error| EmulatorError::listen(addr, error))
}

/// What comes in on a listener; it never ends, and never fails.
pub(crate) fn accept(listener: TcpListener, crowd: Arc<Crowd>) -> impl Stream<Item = io::Result<Admitted>> {
    stream::unfold((listener, crowd), |(listener, crowd)| async {
        let socket = loop {
            match listener.accept().await {
                Ok((socket, _)) => break socket,
                // Trying again at once would be a busy loop.
                Err(_) => sleep(PAUSE).await,
            }
        };
        crowd.make_room().await;
        // Without it answers are only slower.
        _ = socket.set_nodelay(true);
        let silence = Some(Silence { heard: 0, end: Box::pin(sleep(PATIENCE)) });
        Some((Ok(Admitted { socket, silence }), (listener, crowd)))
    })
}

/// A connection that has to say something soon.
#[derive(Debug)]
pub(crate) struct Admitted {
    socket: TcpStream,
    /// Until the other side has said what it wants.
    silence: Option<Silence>,
}

#[derive(Debug)]
struct Silence {
    heard: usize,
    end: Pin<Box<Sleep>>,
}

impl AsyncRead for Admitted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        let Some(silence) = &mut self.silence else { return read };
        silence.heard += buffer.filled().len() - before;
        if silence.heard >= GREETING {
            self.silence = None;
        } else if read.is_pending() && silence.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Admitted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // It is being answered.
        self.silence = None;
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
