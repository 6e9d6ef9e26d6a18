//! A connection's bytes, watched on their way between h2 and the socket: what was handed to the socket, and what the
//! peer answered, frame by frame.
//!
//! h2 tells a caller how its stream ended. What that proves about a request also depends on what h2 does not tell:
//! whether its message was ever written, and whether an answer had begun before a reset. Knows frames, and of what is in
//! them only how it begins.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{
    fields::FirstField,
    frames::{DATA, Frame, Frames, GOAWAY, HEAD, HEADERS, RST_STREAM},
};

/// What a client says before its first frame (RFC 9113 3.4).
const PREFACE: usize = 24;

/// What the frames of one stream have shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Seen {
    /// Whether its head was handed to the socket.
    pub(super) opened: bool,
    pub(super) message: Message,
    /// How many HEADERS frames the peer sent: interim heads, the head and the trailers.
    pub(super) heads: u32,
    /// Whether its first HEADERS frame ended the stream, as a refusal without a message does (Trailers-Only).
    pub(super) only_head: bool,
    /// Whether its last HEADERS frame begins as trailers do, which have no `:status`.
    pub(super) trailers: bool,
    /// Whether it sent any DATA frame, be it empty.
    pub(super) body: bool,
    /// The code of its first RST_STREAM.
    pub(super) reset: Option<u32>,
    /// Whether its GOAWAYs say that it did not process the stream.
    pub(super) above_goaway: bool,
}

/// What became of a request's message.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Message {
    /// Its last frame has not been handed to the socket.
    #[default]
    Held,
    /// Its last frame was handed to the socket, or may have been.
    Left,
    /// It was given up while it was held: its last frame will not be written.
    Withdrawn,
}

/// What is known of a connection, shared by its calls and the bytes that pass.
#[derive(Debug)]
pub(super) struct Ledger {
    streams: Mutex<Streams>,
    /// Whether the peer, the socket or we are done with new calls.
    retired: AtomicBool,
    /// Whom to tell that calls have to go elsewhere now.
    freed: Arc<Notify>,
    /// What the peer is, where its first bytes are not HTTP/2.
    foreign: OnceLock<&'static str>,
    /// Why we gave the connection up.
    given_up: OnceLock<&'static str>,
}

#[derive(Debug)]
struct Streams {
    /// When bytes last came in.
    heard: Instant,
    seen: ById,
    /// The last stream that the newest GOAWAY covers.
    last: Option<u32>,
    /// Whether a later GOAWAY covered more than an earlier one, which RFC 9113 6.8 forbids.
    contradicted: bool,
    /// Whether a field of the peer's table may be a pseudo-header field.
    pseudo_is_stored: bool,
}

impl Ledger {
    fn new(freed: Arc<Notify>) -> Self {
        let streams = Streams {
            heard: Instant::now(),
            seen: ById::default(),
            last: None,
            contradicted: false,
            pseudo_is_stored: false,
        };
        Self {
            streams: Mutex::new(streams),
            retired: AtomicBool::new(false),
            freed,
            foreign: OnceLock::new(),
            given_up: OnceLock::new(),
        }
    }

    /// What was seen of a stream that its call is done with. A message that is still held stays here.
    pub(super) fn close(&self, stream: u32) -> Seen {
        let mut streams = self.streams();
        let above_goaway = !streams.contradicted && streams.last.is_some_and(|last| last < stream);
        let seen = streams.seen.entry(stream);
        seen.above_goaway = above_goaway;
        if seen.message == Message::Held {
            seen.message = Message::Withdrawn;
            return *seen;
        }
        streams.seen.remove(stream).unwrap_or_default()
    }

    /// When the peer last said something, or when the connection was made.
    pub(super) fn heard(&self) -> Instant {
        self.streams().heard
    }

    /// Whether the peer owes an answer.
    pub(super) fn is_awaited(&self) -> bool {
        self.streams().seen.0.iter().any(|(_, seen)| seen.message == Message::Left)
    }

    /// Keeps new calls away.
    pub(super) fn retire(&self) {
        self.retired.store(true, Relaxed);
        self.freed.notify_waiters();
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    /// Notes why the connection is given up, for the calls that it carries.
    pub(super) fn give_up(&self, why: &'static str) {
        let _ = self.given_up.set(why);
    }

    pub(super) fn given_up(&self) -> Option<&'static str> {
        self.given_up.get().copied()
    }

    /// What the peer is, where its first bytes are not HTTP/2.
    pub(super) fn foreign(&self) -> Option<&'static str> {
        self.foreign.get().copied()
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        // Nothing panics while it is held.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Streams in the order of their ids, which is nearly that of their opening: a hundred at most, so that a vector beats
/// a map.
#[derive(Debug, Default)]
struct ById(Vec<(u32, Seen)>);

impl ById {
    fn find(&self, stream: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&stream, |(id, _)| *id)
    }

    fn get_mut(&mut self, stream: u32) -> Option<&mut Seen> {
        self.find(stream).ok().map(|at| &mut self.0[at].1)
    }

    fn entry(&mut self, stream: u32) -> &mut Seen {
        let at = self.find(stream).unwrap_or_else(|at| {
            self.0.insert(at, (stream, Seen::default()));
            at
        });
        &mut self.0[at].1
    }

    fn remove(&mut self, stream: u32) -> Option<Seen> {
        self.find(stream).ok().map(|at| self.0.remove(at).1)
    }
}

/// What is to be done with a frame that is about to be written.
enum Outgoing {
    Pass,
    /// With it the whole message leaves.
    Claim,
    /// Its message was withdrawn.
    KeepBack,
}

impl Streams {
    /// Notes a frame that is about to be written.
    fn sends(&mut self, frame: &Frame) -> Outgoing {
        match frame.kind {
            HEADERS => {
                self.forget_unopened(frame.stream);
                self.seen.entry(frame.stream).opened = true;
            }
            DATA if frame.ends_stream() => return self.sends_last(frame.stream),
            RST_STREAM if self.is_withdrawn(frame.stream) => _ = self.seen.remove(frame.stream),
            _ => {}
        }
        Outgoing::Pass
    }

    fn sends_last(&mut self, stream: u32) -> Outgoing {
        let Some(seen) = self.seen.get_mut(stream) else { return Outgoing::Pass };
        match seen.message {
            Message::Left => Outgoing::Pass,
            Message::Held => {
                seen.message = Message::Left;
                Outgoing::Claim
            }
            Message::Withdrawn => Outgoing::KeepBack,
        }
    }

    fn is_withdrawn(&mut self, stream: u32) -> bool {
        self.seen.get_mut(stream).is_some_and(|seen| seen.message == Message::Withdrawn)
    }

    /// Streams open in the order of their ids: one below this that was withdrawn before it opened never will.
    fn forget_unopened(&mut self, opening: u32) {
        let never_opens =
            |(id, seen): &(u32, Seen)| *id < opening && !seen.opened && seen.message == Message::Withdrawn;
        if self.seen.0.first().is_some_and(never_opens) {
            self.seen.0.retain(|stream| !never_opens(stream));
        }
    }

    /// Notes a frame of the peer.
    fn receives(&mut self, frame: &Frame) {
        if frame.kind == GOAWAY {
            let last = frame.last_stream();
            self.contradicted |= self.last.is_some_and(|before| before < last);
            self.last = Some(last);
            return;
        }
        let first = if frame.kind == HEADERS { FirstField::of(frame.block()) } else { FirstField::Unclear };
        self.pseudo_is_stored |= first == FirstField::Pseudo { is_stored: true };
        let Some(seen) = self.seen.get_mut(frame.stream) else { return };
        match frame.kind {
            HEADERS => {
                seen.only_head = seen.heads == 0 && frame.ends_stream();
                seen.heads = seen.heads.saturating_add(1);
                seen.trailers =
                    first == FirstField::Regular || first == FirstField::FromTable && !self.pseudo_is_stored;
            }
            DATA => seen.body = true,
            RST_STREAM => _ = seen.reset.get_or_insert(frame.reset_code()),
            _ => {}
        }
    }
}

/// A socket whose bytes are watched.
pub(super) struct Wire<S> {
    socket: S,
    ledger: Arc<Ledger>,
    incoming: Frames,
    outgoing: Frames,
    /// How many bytes of a message that was withdrawn are still to be kept back.
    kept_back: usize,
    /// The streams whose last frames are in the bytes being written, and where those begin.
    claimed: Vec<(usize, u32)>,
    /// Reads the first bytes of the peer, until they tell what it is.
    first: Option<First>,
}

impl<S> Wire<S> {
    /// The socket, what is seen of it, and a signal for when the peer's first bytes have shown what it is.
    pub(super) fn new(socket: S, freed: Arc<Notify>) -> (Self, Arc<Ledger>, oneshot::Receiver<()>) {
        let ledger = Arc::new(Ledger::new(freed));
        let (told, peer) = oneshot::channel();
        let wire = Self {
            socket,
            ledger: Arc::clone(&ledger),
            incoming: Frames::after(0),
            outgoing: Frames::after(PREFACE),
            kept_back: 0,
            claimed: Vec::new(),
            first: Some(First { bytes: [0; HEAD], have: 0, told }),
        };
        (wire, ledger, peer)
    }

    /// Goes through bytes that are about to be written, and claims the messages that leave with them.
    fn plan(&mut self, bytes: &[IoSlice<'_>]) -> WritePlan {
        let mut frames = self.outgoing;
        let mut at = 0;
        self.claimed.clear();
        let mut streams = self.ledger.streams();
        for slice in bytes {
            let mut rest = &slice[..];
            while !rest.is_empty() {
                let (taken, frame) = frames.next(rest);
                at += taken;
                rest = &rest[taken..];
                match frame.map_or(Outgoing::Pass, |frame| streams.sends(&frame)) {
                    Outgoing::Pass => {}
                    Outgoing::Claim => self.claimed.push((at.saturating_sub(HEAD), frame.map_or(0, |f| f.stream))),
                    Outgoing::KeepBack => {
                        let length = HEAD + frame.map_or(0, |frame| frame.length);
                        return WritePlan::KeepBack { begin: at.checked_sub(HEAD), length };
                    }
                }
            }
        }
        WritePlan::Write(frames)
    }

    /// Takes back the claim to messages whose last frames the socket has not begun to take.
    fn unclaim(&mut self, written: usize) {
        if self.claimed.last().is_none_or(|(begin, _)| *begin < written) {
            return;
        }
        let mut streams = self.ledger.streams();
        for (_, stream) in self.claimed.iter().filter(|(begin, _)| *begin >= written) {
            if let Some(seen) = streams.seen.get_mut(*stream).filter(|seen| seen.message == Message::Left) {
                seen.message = Message::Held;
            }
        }
    }
}

/// What may be written of some bytes.
enum WritePlan {
    /// All of them; the frames are here afterwards.
    Write(Frames),
    /// Those before the last frame of a message that was withdrawn. It begins there, or before these bytes.
    KeepBack { begin: Option<usize>, length: usize },
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Writes these bytes but for messages that were withdrawn. Such a message is passed over as if it had been
    /// written: its stream is about to be reset.
    fn write(&mut self, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let first = bytes.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| &slice[..]);
        if self.kept_back > 0 {
            let passed = self.kept_back.min(first.len());
            self.kept_back -= passed;
            return Poll::Ready(Ok(passed));
        }
        match self.plan(bytes) {
            WritePlan::Write(frames) => {
                let total: usize = bytes.iter().map(|slice| slice.len()).sum();
                let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, bytes);
                let written = if let Poll::Ready(Ok(written)) = polled { written } else { 0 };
                self.unclaim(written);
                if written == total {
                    self.outgoing = frames
                } else {
                    self.pass(bytes, written)
                }
                polled
            }
            WritePlan::KeepBack { begin: Some(0), length } => {
                // What h2 has counted against the connection's window will not be given back: no new calls.
                self.ledger.retire();
                self.kept_back = length;
                self.write(cx, bytes)
            }
            WritePlan::KeepBack { begin: Some(begin), .. } => {
                let before = &first[..begin.min(first.len())];
                let polled = Pin::new(&mut self.socket).poll_write(cx, before);
                let written = if let Poll::Ready(Ok(written)) = polled { written } else { 0 };
                self.unclaim(written);
                self.pass(&[IoSlice::new(before)], written);
                polled
            }
            // A part of its head is written: nothing but the end of the connection keeps the rest back.
            WritePlan::KeepBack { begin: None, .. } => {
                Poll::Ready(Err(io::Error::other("a request was given up in the middle of a write")))
            }
        }
    }

    /// Follows the frames over bytes that the socket took.
    fn pass(&mut self, bytes: &[IoSlice<'_>], written: usize) {
        let mut left = written;
        for slice in bytes {
            let mut rest = &slice[..left.min(slice.len())];
            left -= rest.len();
            while !rest.is_empty() {
                rest = &rest[self.outgoing.next(rest).0..];
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, out))?;
        self.received(&out.filled()[before..]);
        match self.ledger.foreign() {
            Some(what) => Poll::Ready(Err(io::Error::other(what))),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S> Wire<S> {
    /// Notes what the peer sent.
    fn received(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return self.ledger.retire();
        }
        if let Some(first) = self.first.take() {
            self.first = first.read(bytes, &self.ledger);
        }
        let mut streams = self.ledger.streams();
        streams.heard = Instant::now();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (taken, frame) = self.incoming.next(rest);
            rest = &rest[taken..];
            if let Some(frame) = frame {
                streams.receives(&frame);
                if frame.kind == GOAWAY {
                    self.ledger.retire();
                }
            }
        }
    }
}

/// The first bytes of a peer, until they tell what it is.
struct First {
    bytes: [u8; HEAD],
    have: usize,
    told: oneshot::Sender<()>,
}

impl First {
    /// Takes in what was read. Gives itself back while that does not tell.
    fn read(mut self, bytes: &[u8], ledger: &Ledger) -> Option<Self> {
        let take = bytes.len().min(HEAD - self.have);
        self.bytes[self.have..self.have + take].copy_from_slice(&bytes[..take]);
        self.have += take;
        match nature(&self.bytes[..self.have]) {
            Nature::Open => return Some(self),
            Nature::Http2 => {}
            Nature::Foreign(what) => _ = ledger.foreign.set(what),
        }
        // Where the protocol was agreed on in the TLS handshake, the signal has no receiver.
        let _ = self.told.send(());
        None
    }
}

/// What the first bytes of a peer show it to be.
#[derive(Debug, PartialEq)]
enum Nature {
    Open,
    Http2,
    Foreign(&'static str),
}

fn nature(bytes: &[u8]) -> Nature {
    // An alert (21) of TLS, or a handshake (22), in its version 3.
    if bytes.starts_with(&[21, 3]) || bytes.starts_with(&[22, 3]) {
        return Nature::Foreign("the server speaks TLS on this port: write https://");
    }
    if bytes.starts_with(b"HTTP/1") {
        return Nature::Foreign("the server answered in HTTP/1, which cannot carry gRPC");
    }
    match bytes.get(3) {
        Some(_) if bytes.len() < HEAD => Nature::Open,
        // HTTP/2 and its extensions have a few dozen frame types: what stands there otherwise is text.
        Some(kind) if *kind < b' ' => Nature::Http2,
        Some(_) => Nature::Foreign("the server does not speak HTTP/2, which gRPC needs"),
        None => Nature::Open,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that takes as many bytes at a time as it has room for, and keeps the last of these rooms.
    #[derive(Default)]
    struct Socket {
        rooms: Vec<usize>,
        written: Vec<u8>,
    }

    impl AsyncWrite for Socket {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let room = if self.rooms.len() > 1 { self.rooms.remove(0) } else { self.rooms[0] };
            let taken = &bytes[..room.min(bytes.len())];
            if taken.is_empty() {
                return Poll::Pending;
            }
            self.written.extend_from_slice(taken);
            Poll::Ready(Ok(taken.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    const END: u8 = 1;

    /// A head, `:status: 200`, and trailers, `grpc-status: 5`.
    const RESPONSE: &[u8] = &[0x88];
    const TRAILERS: &[u8] = b"\x00\x0bgrpc-status\x015";

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// A wire over a socket with these rooms, behind the preface.
    fn wire(rooms: &[usize]) -> (Wire<Socket>, Arc<Ledger>) {
        let socket = Socket { rooms: rooms.to_vec(), written: Vec::new() };
        let (mut wire, ledger, _) = Wire::new(socket, Arc::default());
        wire.outgoing = Frames::after(0);
        (wire, ledger)
    }

    /// Writes for as long as the socket takes anything. Returns what is left.
    fn write<'a>(wire: &mut Wire<Socket>, mut bytes: &'a [u8]) -> &'a [u8] {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while !bytes.is_empty() {
            match Pin::new(&mut *wire).poll_write(&mut cx, bytes) {
                Poll::Ready(written) => bytes = &bytes[written.expect("no error")..],
                Poll::Pending => break,
            }
        }
        bytes
    }

    #[tokio::test]
    async fn a_message_has_left_once_the_socket_takes_a_byte_of_its_last_frame() {
        let bytes = [frame(HEADERS, 4, 1, b"head"), frame(DATA, 0, 1, b"first"), frame(DATA, END, 1, b"last")].concat();
        let before = bytes.len() - HEAD - b"last".len();
        for (room, message) in [(0, Message::Withdrawn), (before, Message::Withdrawn), (before + 1, Message::Left)] {
            let (mut wire, ledger) = wire(&[room, 0]);
            assert_eq!(write(&mut wire, &bytes).len(), bytes.len() - room);
            assert_eq!(ledger.close(1).message, message, "with room for {room} of {}", bytes.len());
        }
    }

    #[tokio::test]
    async fn a_message_that_was_withdrawn_is_not_written_and_everything_else_is() {
        let (other, reset) = (frame(DATA, END, 3, b"other"), frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]));
        let heads = [frame(HEADERS, 4, 1, b"head"), frame(HEADERS, 4, 3, b"head")].concat();
        let behind = [frame(DATA, END, 1, b"withdrawn"), other.clone(), reset.clone()].concat();
        for room in 1..40 {
            let (mut wire, ledger) = wire(&[room]);
            assert_eq!(write(&mut wire, &heads), b"");
            assert_eq!(ledger.close(1).message, Message::Withdrawn);
            assert_eq!(write(&mut wire, &behind), b"");
            assert_eq!(wire.socket.written, [&heads[..], &other, &reset].concat(), "{room} bytes at a time");
            assert_eq!(ledger.close(3).message, Message::Left);
            assert!(ledger.is_retired(), "h2 and the peer count the window differently now");
            assert!(ledger.streams().seen.0.is_empty());
        }
    }

    #[tokio::test]
    async fn a_message_that_was_withdrawn_before_its_head_is_not_written_either() {
        let (mut wire, ledger) = wire(&[usize::MAX]);
        assert_eq!(ledger.close(1).message, Message::Withdrawn);
        let head = frame(HEADERS, 4, 1, b"head");
        assert_eq!(write(&mut wire, &[head.clone(), frame(DATA, END, 1, b"withdrawn")].concat()), b"");
        assert_eq!(wire.socket.written, head);
    }

    #[tokio::test]
    async fn streams_that_never_open_are_forgotten() {
        let (mut wire, ledger) = wire(&[usize::MAX]);
        (0..50).for_each(|n| _ = ledger.close(1 + 2 * n));
        write(&mut wire, &frame(HEADERS, 4, 101, b"head"));
        assert_eq!(ledger.streams().seen.0.len(), 1);
    }

    #[tokio::test]
    async fn what_the_peer_answers_is_seen_by_its_frames() {
        let (mut wire, ledger) = wire(&[usize::MAX]);
        let sent: Vec<_> = [1, 3, 5, 7].iter().flat_map(|id| frame(HEADERS, 4, *id, b"head")).collect();
        write(&mut wire, &sent);
        wire.received(&frame(4, 0, 0, &[]));
        wire.received(&frame(HEADERS, 4 | END, 1, RESPONSE));
        wire.received(&[frame(HEADERS, 4, 3, RESPONSE), frame(DATA, 0, 3, b"body")].concat());
        wire.received(&[frame(HEADERS, 4 | END, 3, TRAILERS), frame(RST_STREAM, 0, 5, &[0, 0, 0, 7])].concat());
        wire.received(&frame(GOAWAY, 0, 0, &[0, 0, 0, 5, 0, 0, 0, 0]));
        assert!(ledger.is_retired());
        let [refused, answered, reset, above] = [1, 3, 5, 7].map(|id| ledger.close(id));
        assert_eq!((refused.heads, refused.only_head, refused.body), (1, true, false));
        assert_eq!((answered.heads, answered.only_head, answered.trailers, answered.body), (2, false, true, true));
        assert_eq!((reset.heads, reset.reset, reset.above_goaway), (0, Some(7), false));
        assert_eq!((above.reset, above.above_goaway), (None, true));
    }

    #[tokio::test]
    async fn trailers_that_may_have_a_status_are_none() {
        let (mut wire, ledger) = wire(&[usize::MAX]);
        let mut id = 1;
        let mut answered = |wire: &mut Wire<Socket>, flags: u8, block: &[u8]| {
            id += 2;
            write(wire, &frame(HEADERS, 4, id, b"head"));
            wire.received(&[frame(HEADERS, 4, id, RESPONSE), frame(HEADERS, flags | END, id, block)].concat());
            ledger.close(id).trailers
        };
        let from_table = &[0x80 | 62][..];
        assert!(answered(&mut wire, 4, TRAILERS) && answered(&mut wire, 4, from_table));
        assert!(!answered(&mut wire, 4, RESPONSE) && !answered(&mut wire, 4, &[]));
        // Padded: the fields begin somewhere else.
        assert!(!answered(&mut wire, 4 | 8, TRAILERS));
        // `:status: 503` goes into the table, from where it may come back.
        assert!(!answered(&mut wire, 4, &[0x48, 3, b'5', b'0', b'3']));
        assert!(answered(&mut wire, 4, TRAILERS) && !answered(&mut wire, 4, from_table));
    }

    #[tokio::test]
    async fn an_empty_data_frame_is_a_body() {
        let (mut wire, ledger) = wire(&[usize::MAX]);
        write(&mut wire, &frame(HEADERS, 4, 1, b"head"));
        wire.received(&[frame(HEADERS, 4, 1, RESPONSE), frame(DATA, 0, 1, &[])].concat());
        assert!(ledger.close(1).body);
    }

    #[tokio::test]
    async fn a_goaway_that_covers_more_than_an_earlier_one_proves_nothing() {
        let (mut wire, ledger) = wire(&[usize::MAX]);
        for last in [0, 9] {
            wire.received(&frame(GOAWAY, 0, 0, &[0, 0, 0, last, 0, 0, 0, 0]));
        }
        assert!(!ledger.close(11).above_goaway);
    }

    #[test]
    fn a_whole_frame_head_of_any_type_is_http2() {
        for kind in [4, 6, 7, 0x1f] {
            let head = [0, 0, 8, kind, 0, 0, 0, 0, 0];
            assert_eq!(nature(&head), Nature::Http2);
            (0..HEAD).for_each(|have| assert_eq!(nature(&head[..have]), Nature::Open));
        }
    }

    #[test]
    fn other_first_bytes_say_what_they_are() {
        for (bytes, text) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], "HTTP/1"),
            (&[21, 3, 3, 0, 2, 2, 70], "TLS"),
            (b"220 mail.example.com", "HTTP/2"),
        ] {
            assert!(matches!(nature(bytes), Nature::Foreign(what) if what.contains(text)));
        }
    }
}
