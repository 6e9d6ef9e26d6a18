//! A connection that can be cut or closed from where its calls are answered, and that counts its calls in flight.
//!
//! hyper gives no hold on a connection, so that this one lies below it: it watches the frames of HTTP/2 pass by, and puts
//! a GOAWAY between two of them. Knows frames by their heads only.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Notify, oneshot},
    time::Instant,
};
use tonic::transport::server::Connected;

use super::crowd::{Crowd, Usage};

/// What a client says before its first frame.
const PREFACE: usize = 24;
/// Length, type, flags and stream (RFC 9113, 4.1).
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;
const ALL_STREAMS: u32 = u32::MAX >> 1;
const NO_ERROR: u32 = 0;
/// What every HTTP/2 connection begins with, and no method of HTTP/1.1.
const HTTP2: &[u8] = b"PRI";

/// Bytes of answers that a connection may leave unread before its calls have to wait: a client that reads never gets there,
/// and the largest answer may still lie beside.
const UNREAD: usize = 1024 * 1024;
/// From here on it is given up: that many answers come up at a time only for calls that have waited elsewhere.
const MAX_UNREAD: usize = 16 * 1024 * 1024;

/// The hold on a connection, in the extensions of its requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    id: u64,
    /// The connections that this one is among.
    crowd: Option<Arc<Crowd>>,
    state: Mutex<LineState>,
    /// Told when answers were taken.
    taken: Notify,
}

/// Where among the calls of its connection a call is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// Counted from 1, in the order of coming in.
    number: u64,
    /// Its stream, if that is known: then the calls before it were on earlier ones.
    stream: Option<u32>,
}

#[derive(Debug)]
struct LineState {
    cut: bool,
    usage: Usage,
    /// Whether a GOAWAY has said that calls from now on have no effect.
    closed: bool,
    /// How many streams the client has opened, and which one was the last.
    streams: u64,
    newest: u32,
    /// How many of them have come in as calls. hyper does not tell which, nor keep their order.
    calls: u64,
    /// Whether several streams had not come in at the same time, and not all of them have since.
    muddled: bool,
    /// What is to be put between two frames, and who waits for that.
    insert: Vec<u8>,
    inserted: Option<oneshot::Sender<()>>,
    waker: Option<Waker>,
}

impl Default for LineState {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            cut: false,
            usage: Usage { calls: 0, used: now, unread: 0, taken: now, given_up: false },
            closed: false,
            streams: 0,
            newest: 0,
            calls: 0,
            muddled: false,
            insert: Vec::new(),
            inserted: None,
            waker: None,
        }
    }
}

impl Line {
    pub(super) fn new(id: u64, crowd: Option<Arc<Crowd>>) -> Self {
        Self(Arc::new(Inner { id, crowd, ..Inner::default() }))
    }

    pub(super) fn usage(&self) -> Usage {
        self.lock().usage
    }

    /// Counts a call until its answer is there.
    pub(super) fn busy(&self) -> Busy {
        let mut state = self.lock();
        state.usage.calls += 1;
        state.usage.used = Instant::now();
        Busy(self.clone())
    }

    /// Waits until the other side has taken enough of the answers before.
    pub(super) async fn room(&self) {
        loop {
            let taken = self.0.taken.notified();
            if self.usage().unread < UNREAD {
                return;
            }
            taken.await;
        }
    }

    /// Counts bytes of an answer until they are written, or dropped.
    pub(super) fn hold(&self, bytes: Bytes) -> Bytes {
        if bytes.is_empty() {
            return bytes;
        }
        let excessive = {
            let Usage { unread, taken, .. } = &mut self.lock().usage;
            if *unread == 0 {
                *taken = Instant::now();
            }
            *unread += bytes.len();
            *unread > MAX_UNREAD
        };
        let held = Held { line: self.clone(), bytes };
        if excessive {
            self.give_up();
        }
        self.0.crowd.iter().for_each(|crowd| crowd.add_unread(held.bytes.len()));
        Bytes::from_owner(held)
    }

    /// Closes the connection to make room. A GOAWAY says that requests not sent yet may be sent elsewhere.
    pub(super) fn give_up(&self) {
        let mut state = self.lock();
        state.usage.given_up = true;
        state.wake();
    }

    /// Registers a call; `None` once calls must no longer have an effect.
    pub(crate) fn enter(&self) -> Option<Place> {
        let mut state = self.lock();
        let waiting = state.streams.saturating_sub(state.calls);
        state.calls += 1;
        state.muddled |= waiting > 1;
        // The only stream that was left to come in is the newest: a newer one would have waited at the same time.
        let stream = (waiting == 1 && !state.muddled).then_some(state.newest);
        state.muddled &= state.calls < state.streams;
        (!state.closed).then_some(Place { number: state.calls, stream })
    }

    /// Breaks the connection.
    pub(crate) fn cut(&self) {
        let mut state = self.lock();
        state.cut = true;
        state.wake();
    }

    /// Says that no new call is taken, while those that came in are answered.
    pub(crate) async fn go_away(&self, reason: u32) {
        let inserted = self.lock().insert(ALL_STREAMS, reason);
        // A connection that is gone needs nothing said.
        _ = inserted.await;
    }

    /// Says that no new call is taken, nor this one, which must have had no effect. Gives whether it was said: not if other
    /// calls would be denied with it that may have had theirs.
    pub(crate) async fn go_away_before(&self, call: Place, reason: u32) -> bool {
        let inserted = {
            let mut state = self.lock();
            let Some(stream) = call.stream.filter(|_| call.number == state.calls) else { return false };
            state.closed = true;
            state.insert(stream.saturating_sub(2), reason)
        };
        _ = inserted.await;
        true
    }

    fn lock(&self) -> MutexGuard<'_, LineState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is not answered yet.
#[derive(Debug)]
pub(super) struct Busy(Line);

impl Drop for Busy {
    fn drop(&mut self) {
        let usage = &mut self.0.lock().usage;
        usage.calls -= 1;
        usage.used = Instant::now();
    }
}

/// Bytes of an answer that the other side has not taken.
#[derive(Debug)]
struct Held {
    line: Line,
    bytes: Bytes,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        {
            let usage = &mut self.line.lock().usage;
            usage.unread -= self.bytes.len();
            usage.taken = Instant::now();
        }
        self.line.0.crowd.iter().for_each(|crowd| crowd.remove_unread(self.bytes.len()));
        self.line.0.taken.notify_waiters();
    }
}

/// The frame that says that no stream after this one was taken.
fn go_away(last: u32, reason: u32) -> Vec<u8> {
    let head = [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0];
    [&head[..], &last.to_be_bytes(), &reason.to_be_bytes()].concat()
}

impl LineState {
    fn insert(&mut self, last: u32, reason: u32) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        self.insert.extend(go_away(last, reason));
        self.inserted = Some(tell);
        self.wake();
        told
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// The connection itself.
#[derive(Debug)]
pub(crate) struct Tapped<S> {
    socket: S,
    line: Line,
    /// Known from the first bytes on.
    is_http2: Option<bool>,
    incoming: FrameScan,
    outgoing: FrameScan,
}

impl<S> Tapped<S> {
    pub(crate) fn new(socket: S, line: Line) -> Self {
        let incoming = FrameScan { left: PREFACE, ..FrameScan::default() };
        Self { socket, line, is_http2: None, incoming, outgoing: FrameScan::default() }
    }
}

impl<S> Drop for Tapped<S> {
    fn drop(&mut self) {
        let Inner { id, crowd, .. } = &*self.line.0;
        crowd.iter().for_each(|crowd| crowd.leave(*id));
    }
}

impl<S: AsyncWrite + Unpin> Tapped<S> {
    /// Fails if the connection was cut or given up; else sees to it that the next cut, or insertion, is noticed.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Self { socket, line, is_http2, outgoing, .. } = self;
        let mut state = line.lock();
        if state.usage.given_up && !state.cut {
            state.cut = true;
            if *is_http2 == Some(true) && outgoing.is_between() {
                // One that takes no bytes does not get these either.
                _ = Pin::new(socket).poll_write(context, &go_away(state.newest, NO_ERROR));
            }
        }
        if state.cut {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Ok(())
    }

    /// Writes what is to be inserted, if this is the place for it.
    fn poll_insert(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.line.lock();
        while !state.insert.is_empty() && self.outgoing.is_between() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(context, &state.insert))?;
            state.insert.drain(..written);
        }
        let tell = if state.insert.is_empty() { state.inserted.take() } else { None };
        if let Some(tell) = tell {
            // Whoever waited may be gone.
            _ = tell.send(());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(context)?;
        // A socket that takes nothing now is written to again later.
        if let Poll::Ready(inserted) = this.poll_insert(context) {
            inserted?;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        if this.is_http2.is_none() && !read.is_empty() {
            this.is_http2 = Some(read.starts_with(HTTP2));
        }
        let mut state = this.line.lock();
        this.incoming.pass(read, |kind, stream| {
            // Else these are trailers.
            if kind == HEADERS && stream > state.newest {
                state.newest = stream;
                state.streams += 1;
            }
        });
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check(context)?;
        ready!(this.poll_insert(context))?;
        let waits = !this.line.lock().insert.is_empty();
        let until = if waits { this.outgoing.rest().min(bytes.len()) } else { bytes.len() };
        let written = ready!(Pin::new(&mut this.socket).poll_write(context, &bytes[..until]))?;
        this.outgoing.pass(&bytes[..written], |_, _| {});
        Poll::Ready(Ok(written))
    }

    /// HTTP/2 frames come in pieces, and each piece by itself would become a packet.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check(context)?;
        ready!(this.poll_insert(context))?;
        if !this.line.lock().insert.is_empty() {
            let first = pieces.iter().find(|piece| !piece.is_empty());
            return Pin::new(this).poll_write(context, first.map_or(&[], |piece| &**piece));
        }
        let written = ready!(Pin::new(&mut this.socket).poll_write_vectored(context, pieces))?;
        let mut left = written;
        for piece in pieces {
            let passed = left.min(piece.len());
            this.outgoing.pass(&piece[..passed], |_, _| {});
            left -= passed;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check(context)?;
        ready!(this.poll_insert(context))?;
        Pin::new(&mut this.socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

impl<S> Connected for Tapped<S> {
    type ConnectInfo = Line;

    fn connect_info(&self) -> Line {
        self.line.clone()
    }
}

/// Where in the frames of one direction the bytes are.
#[derive(Debug, Default)]
struct FrameScan {
    head: [u8; HEAD],
    /// Bytes of the head that have passed.
    filled: usize,
    /// Bytes that follow the last whole head.
    left: usize,
}

impl FrameScan {
    /// Lets bytes pass, and tells the type and the stream of each frame that begins.
    fn pass(&mut self, mut bytes: &[u8], mut begins: impl FnMut(u8, u32)) {
        while !bytes.is_empty() {
            let passed = self.rest().min(bytes.len());
            let (these, others) = bytes.split_at(passed);
            bytes = others;
            if self.left > 0 {
                self.left -= passed;
                continue;
            }
            self.head[self.filled..self.filled + passed].copy_from_slice(these);
            self.filled += passed;
            if self.filled == HEAD {
                let [a, b, c, kind, _, stream @ ..] = self.head;
                self.filled = 0;
                self.left = u32::from_be_bytes([0, a, b, c]) as usize;
                begins(kind, u32::from_be_bytes(stream) & ALL_STREAMS);
            }
        }
    }

    fn is_between(&self) -> bool {
        self.left == 0 && self.filled == 0
    }

    /// Bytes to the end of the frame, or of its head if that is still passing.
    fn rest(&self) -> usize {
        if self.left > 0 { self.left } else { HEAD - self.filled }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    fn frame(kind: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, payload.len() as u8, kind, 0, 0, 0, 0, stream], payload].concat()
    }

    /// A GOAWAY of no error that covers every stream.
    fn covering_all() -> Vec<u8> {
        frame(GOAWAY, 0, &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0])
    }

    async fn everything(mut from: DuplexStream) -> Vec<u8> {
        let mut seen = Vec::new();
        from.read_to_end(&mut seen).await.expect("open");
        seen
    }

    #[test]
    fn frames_are_told_apart_however_their_bytes_come() {
        let bytes = [frame(HEADERS, 3, b"abc"), frame(0, 3, b""), frame(HEADERS, 5, &[1; 200])].concat();
        for size in [1, 2, 7, 9, 10, 1000] {
            let (mut frames, mut seen) = (FrameScan::default(), Vec::new());
            for piece in bytes.chunks(size) {
                frames.pass(piece, |kind, stream| seen.push((kind, stream)));
            }
            assert_eq!(seen, [(HEADERS, 3), (0, 3), (HEADERS, 5)]);
            assert!(frames.is_between());
        }
    }

    #[tokio::test]
    async fn a_goaway_comes_between_two_frames() {
        let (near, far) = duplex(1000);
        let mut tapped = Tapped::new(near, Line::default());
        let line = tapped.connect_info();
        let (first, second) = (frame(HEADERS, 1, b"abcdef"), frame(0, 1, b"x"));
        tapped.write_all(&first[..11]).await.expect("open");
        let said = tokio::spawn(async move { line.go_away(0).await });
        tokio::task::yield_now().await;
        tapped.write_all(&[&first[11..], &second].concat()).await.expect("open");
        said.await.expect("no panic");
        drop(tapped);
        assert_eq!(everything(far).await, [first, covering_all(), second].concat());
    }

    #[tokio::test]
    async fn a_goaway_comes_between_two_frames_that_are_written_in_pieces() {
        let (near, far) = duplex(1000);
        let mut tapped = Tapped::new(near, Line::default());
        let line = tapped.connect_info();
        let (first, second) = (frame(HEADERS, 1, b"abcdef"), frame(0, 1, b"x"));
        let pieces = [IoSlice::new(&first[..3]), IoSlice::new(&first[3..11])];
        assert_eq!(tapped.write_vectored(&pieces).await.expect("open"), 11);
        let said = tokio::spawn(async move { line.go_away(0).await });
        tokio::task::yield_now().await;
        // Nothing but the rest of the frame passes before it.
        let pieces = [IoSlice::new(&first[11..]), IoSlice::new(&second)];
        assert_eq!(tapped.write_vectored(&pieces).await.expect("open"), first.len() - 11);
        assert_eq!(tapped.write_vectored(&pieces[1..]).await.expect("open"), second.len());
        said.await.expect("no panic");
        drop(tapped);
        assert_eq!(everything(far).await, [first, covering_all(), second].concat());
    }

    /// A connection whose client has opened these streams.
    async fn opened(streams: &[u8]) -> (Tapped<DuplexStream>, DuplexStream) {
        let (near, mut far) = duplex(1000);
        let mut tapped = Tapped::new(near, Line::default());
        let heads = streams.iter().flat_map(|stream| frame(HEADERS, *stream, b""));
        let bytes: Vec<u8> = [0; PREFACE].into_iter().chain(heads).collect();
        far.write_all(&bytes).await.expect("open");
        tapped.read_exact(&mut vec![0; bytes.len()]).await.expect("open");
        (tapped, far)
    }

    #[tokio::test]
    async fn a_goaway_before_a_call_spares_the_earlier_ones_and_ends_the_later_ones() {
        let (mut tapped, mut far) = opened(&[1]).await;
        let line = tapped.connect_info();
        line.enter().expect("open");
        far.write_all(&frame(HEADERS, 3, b"")).await.expect("open");
        tapped.read_exact(&mut [0; HEAD]).await.expect("open");
        let second = line.enter().expect("open");
        let said = tokio::spawn({
            let line = line.clone();
            async move { line.go_away_before(second, 2).await }
        });
        tokio::task::yield_now().await;
        tapped.flush().await.expect("open");
        assert!(said.await.expect("no panic"));
        let mut seen = [0; 17];
        far.read_exact(&mut seen).await.expect("open");
        assert_eq!(seen[..], frame(GOAWAY, 0, &[0, 0, 0, 1, 0, 0, 0, 2]));
        assert_eq!(line.enter(), None);
    }

    #[tokio::test]
    async fn a_goaway_is_not_said_where_it_could_deny_another_call() {
        let (mut tapped, mut far) = opened(&[1, 3]).await;
        let line = tapped.connect_info();
        // Which of them came in first is not known.
        let (first, second) = (line.enter().expect("open"), line.enter().expect("open"));
        assert!(!line.go_away_before(first, 0).await && !line.go_away_before(second, 0).await);
        // This one is known, until another comes in after it.
        far.write_all(&[frame(HEADERS, 5, b""), frame(HEADERS, 5, b"")].concat()).await.expect("open");
        tapped.read_exact(&mut [0; 2 * HEAD]).await.expect("open");
        let third = line.enter().expect("open");
        assert_eq!(third.stream, Some(5));
        far.write_all(&frame(HEADERS, 7, b"")).await.expect("open");
        tapped.read_exact(&mut [0; HEAD]).await.expect("open");
        line.enter().expect("open");
        assert!(!line.go_away_before(third, 0).await);
    }

    #[tokio::test]
    async fn a_line_that_is_given_up_says_what_it_has_not_taken() {
        let (near, mut far) = duplex(1000);
        let mut tapped = Tapped::new(near, Line::default());
        let line = tapped.connect_info();
        let bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(HEADERS, 5, b"")].concat();
        far.write_all(&bytes).await.expect("open");
        tapped.read_exact(&mut vec![0; bytes.len()]).await.expect("open");
        line.give_up();
        assert!(tapped.read_u8().await.is_err());
        drop(tapped);
        assert_eq!(everything(far).await, frame(GOAWAY, 0, &[0, 0, 0, 5, 0, 0, 0, 0]));
    }

    #[tokio::test]
    async fn no_frame_is_said_where_it_would_be_no_frame() {
        for first in [&b"GET / HTTP/1.1\r\n"[..], b""] {
            let (near, mut far) = duplex(1000);
            let mut tapped = Tapped::new(near, Line::default());
            far.write_all(first).await.expect("open");
            tapped.read_exact(&mut vec![0; first.len()]).await.expect("open");
            tapped.connect_info().give_up();
            assert!(tapped.read_u8().await.is_err());
            drop(tapped);
            assert_eq!(everything(far).await, b"");
        }
    }

    #[tokio::test]
    async fn calls_wait_while_answers_are_unread() {
        let line = Line::default();
        let small = line.hold(Bytes::from_static(&[0; 10]));
        line.room().await;
        let large = line.hold(Bytes::from(vec![0; UNREAD]));
        let waiting = tokio::spawn({
            let line = line.clone();
            async move { line.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        // A part of it is no room yet.
        let part = large.slice(5..);
        drop(large);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(part);
        waiting.await.expect("no panic");
        assert_eq!(line.usage().unread, small.len());
    }

    #[tokio::test]
    async fn a_line_with_too_much_unread_is_given_up() {
        let line = Line::default();
        let first = line.hold(Bytes::from(vec![0; MAX_UNREAD]));
        assert!(!line.usage().given_up);
        let second = line.hold(Bytes::from_static(b"x"));
        assert!(line.usage().given_up);
        drop((first, second));
        assert_eq!(line.usage().unread, 0);
    }

    #[tokio::test]
    async fn a_cut_line_is_dead_in_both_directions() {
        let (near, _far) = duplex(1000);
        let mut tapped = Tapped::new(near, Line::default());
        tapped.connect_info().cut();
        assert!(tapped.read_u8().await.is_err());
        assert!(tapped.write_u8(0).await.is_err());
    }
}
