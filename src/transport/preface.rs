//! Notices, on a plaintext connection, a peer that does not speak HTTP/2.
//!
//! An HTTP/2 server's first frame is SETTINGS (RFC 9113 3.4). What sends anything else first cannot have processed
//! a request, which is proof for a start, and a better error than a broken frame. Over TLS, ALPN tells the same.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use tower::Service;

/// A frame header: length (3 bytes), type, flags, stream.
const FRAME_HEADER: usize = 9;
const SETTINGS: u8 = 4;

/// What the latest connection found its peer to be.
///
/// For requests that were given up unsent when it ended: hyper does not tell them why.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(Arc<Mutex<Option<&'static str>>>);

impl Findings {
    /// What the peer is, if it does not speak HTTP/2.
    pub(super) fn foreign(&self) -> Option<&'static str> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, foreign: Option<&'static str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = foreign;
    }
}

/// A connector whose connections are checked.
#[derive(Clone, Debug)]
pub(super) struct Checked<C> {
    inner: C,
    findings: Findings,
}

impl<C> Checked<C> {
    pub(super) fn new(inner: C, findings: Findings) -> Self {
        Self { inner, findings }
    }
}

impl<C> Service<Uri> for Checked<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
{
    type Response = Stream<C::Response>;
    type Error = C::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let findings = self.findings.clone();
        Box::pin(async move { Ok(Stream { inner: connecting.await?, first: Some(First::default()), findings }) })
    }
}

/// A connection, and what it has read of the peer's first frame header until that is judged.
#[derive(Debug)]
pub(super) struct Stream<T> {
    inner: T,
    first: Option<First>,
    findings: Findings,
}

#[derive(Debug, Default)]
struct First {
    bytes: [u8; FRAME_HEADER],
    len: usize,
}

impl First {
    /// Takes in what was read. `Some` once the whole header is there.
    fn read(&mut self, bytes: &[u8]) -> Option<Result<(), &'static str>> {
        let take = bytes.len().min(FRAME_HEADER - self.len);
        self.bytes[self.len..self.len + take].copy_from_slice(&bytes[..take]);
        self.len += take;
        let seen = &self.bytes[..self.len];
        // An alert (21) of TLS, or a handshake (22), in its version 3.
        if seen.starts_with(&[21, 3]) || seen.starts_with(&[22, 3]) {
            return Some(Err("the server speaks TLS on this port: write https://"));
        }
        if seen.starts_with(b"HTTP/1") {
            return Some(Err("the server answered in HTTP/1, which cannot carry gRPC"));
        }
        match seen.get(3) {
            Some(&SETTINGS) => (self.len == FRAME_HEADER).then_some(Ok(())),
            Some(_) => Some(Err("the server does not speak HTTP/2, which gRPC needs")),
            None => None,
        }
    }
}

impl<T: Read + Unpin> Read for Stream<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut out: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let Some(mut first) = self.first.take() else { return Pin::new(&mut self.inner).poll_read(cx, out) };
        // Through a buffer of our own, because a cursor does not show what was written to it.
        let mut bytes = [0; 1024];
        let room = out.remaining().min(bytes.len());
        let mut buffer = ReadBuf::new(&mut bytes[..room]);
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer.unfilled());
        let verdict = first.read(buffer.filled());
        match verdict {
            None => self.first = Some(first),
            Some(Ok(())) => self.findings.note(None),
            Some(Err(what)) => {
                self.findings.note(Some(what));
                // Unsupported is an error that no socket has: `error::foreign_peer` looks for it.
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::Unsupported, what)));
            }
        }
        ready!(polled)?;
        out.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

impl<T: Write + Unpin> Write for Stream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settings_frame_in_any_pieces_is_http2() {
        let frame = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
        assert_eq!(First::default().read(&frame), Some(Ok(())));
        let mut first = First::default();
        for byte in &frame[..8] {
            assert_eq!(first.read(&[*byte]), None);
        }
        assert_eq!(first.read(&frame[8..]), Some(Ok(())));
    }

    #[test]
    fn everything_else_says_what_it_is() {
        for (bytes, text) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], "HTTP/1"),
            (&[21, 3, 3, 0, 2, 2, 70], "TLS"),
            (b"220 mail.example.com", "HTTP/2"),
            (b"\x00\x00\x08\x07\x00\x00\x00\x00\x00", "HTTP/2"),
        ] {
            let verdict = First::default().read(bytes).expect("judged");
            assert!(verdict.expect_err("foreign").contains(text));
        }
    }
}
