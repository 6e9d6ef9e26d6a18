//! The peer that carries a script out, on real sockets.
//!
//! It may break every rule but one: it gives no proof that a start was not processed when it was, because nobody can
//! see through that. A step that would be such a lie is left out. What counts as proof stands in one place here:
//! [`Exchange::is_proof`] and [`Connection::go_away`].

use std::{
    collections::BTreeMap,
    iter,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Duration, sleep, timeout},
};

use crate::{
    bytes,
    script::{Body, End, Framing, Head, Last, Method, OpResult, Raw, Reply, Split, Step, Target},
    wire::{self, Frame},
    world::{Request, World},
};

/// Codes of a status by which a service says that it has done nothing.
pub(crate) const REFUSALS: [&str; 9] = ["3", "5", "6", "7", "9", "10", "11", "12", "16"];

const REFUSED_STREAM: u32 = 7;

/// Writes of a few bytes each are not continued forever.
const MOST_WRITES: usize = 256;

/// What the tasks of a conversation share.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) world: Arc<Mutex<World>>,
    /// Whether the caller is gone.
    pub(crate) over: watch::Receiver<bool>,
    /// Grows with each read and write.
    pub(crate) activity: Arc<AtomicU64>,
}

impl Stage {
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections as long as the caller is there.
pub(crate) async fn listen(listener: TcpListener, stage: Stage) {
    let mut connections = tokio::task::JoinSet::new();
    let mut over = stage.over.clone();
    let mut opened = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((socket, _)) = accepted else { break };
                stage.activity.fetch_add(1, Relaxed);
                connections.spawn(Connection::new(socket, stage.clone()).run(opened));
                opened += 1;
            }
            _ = over.wait_for(|over| *over) => break,
        }
    }
    while connections.join_next().await.is_some() {}
}

struct Connection {
    socket: TcpStream,
    stage: Stage,
    decoder: loona_hpack::Decoder<'static>,
    exchanges: BTreeMap<u32, Exchange>,
    /// A header block of which more is to come.
    block: Option<(u32, bool, Vec<u8>)>,
    inbound: Vec<u8>,
    has_preface: bool,
    outbound: Vec<u8>,
    split: Split,
    /// The lowest last stream of a GOAWAY.
    floor: u32,
    is_deaf: bool,
    is_closed: bool,
    has_written: bool,
}

/// One request on its stream.
#[derive(Debug)]
struct Exchange {
    request: Request,
    reply: Reply,
    is_read: bool,
    took_effect: bool,
    /// A head of the answer has been sent.
    is_answered: bool,
    /// Something has been sent that proves that there is no effect, and will be none.
    has_proof: bool,
    /// That head is the only one, and as it should be.
    has_plain_head: bool,
    has_data: bool,
}

impl Exchange {
    /// Whether this head proves that nothing was done: it ends the answer with one status, which is a refusal, and
    /// nothing came before it but a proper head at the most.
    fn is_proof(&self, head: &Head) -> bool {
        let is_refusal = matches!(head.grpc[..], [code] if REFUSALS.contains(&code));
        let is_bare = !self.is_answered || self.has_plain_head && !self.has_data && head.http.is_none();
        head.end && is_refusal && is_bare
    }

    /// Whether a start has taken effect, so that proofs of the contrary would be lies.
    fn is_bound(&self) -> bool {
        self.took_effect && self.request.method.starts()
    }
}

impl Connection {
    fn new(socket: TcpStream, stage: Stage) -> Self {
        _ = socket.set_nodelay(true);
        Self {
            socket,
            stage,
            decoder: loona_hpack::Decoder::new(),
            exchanges: BTreeMap::new(),
            block: None,
            inbound: Vec::new(),
            has_preface: false,
            outbound: Vec::new(),
            split: Split::None,
            floor: u32::MAX,
            is_deaf: false,
            is_closed: false,
            has_written: false,
        }
    }

    async fn run(mut self, nth: usize) {
        let opening = self.stage.world().script.opens.get(nth).cloned();
        self.play(opening.unwrap_or_else(|| vec![Step::Settings(Vec::new())]), 0).await;
        let mut over = self.stage.over.clone();
        while !self.is_closed {
            if self.is_deaf {
                _ = over.wait_for(|over| *over).await;
            }
            let is_over = *over.borrow();
            let patience = Duration::from_secs(if is_over { 1 } else { 3600 });
            let reading = timeout(patience, self.socket.read_buf(&mut self.inbound));
            let read = tokio::select! {
                read = reading => read,
                _ = over.wait_for(|over| *over), if !is_over => continue,
            };
            self.stage.activity.fetch_add(1, Relaxed);
            if !matches!(read, Ok(Ok(1..))) {
                break;
            }
            self.take_frames().await;
        }
        self.settle();
        // A reset leaves no socket behind that waits for its last packet.
        _ = self.socket.set_zero_linger();
    }

    /// What was read and not refused takes effect after all, if the script wants it.
    fn settle(&mut self) {
        let mut world = self.stage.world();
        if world.script.late {
            for exchange in self.exchanges.values_mut().filter(|e| e.is_read && !e.took_effect && !e.has_proof) {
                exchange.took_effect = world.process(&exchange.request);
            }
        }
    }

    async fn take_frames(&mut self) {
        if !self.has_preface {
            if self.inbound.len() < wire::PREFACE.len() {
                return;
            }
            let preface: Vec<u8> = self.inbound.drain(..wire::PREFACE.len()).collect();
            assert_eq!(preface, wire::PREFACE, "the client's preface");
            self.has_preface = true;
        }
        while let Some(frame) = Frame::take(&mut self.inbound) {
            self.take(frame).await;
        }
    }

    async fn take(&mut self, frame: Frame) {
        match frame.kind {
            wire::HEADERS | wire::CONTINUATION => {
                let (stream, end, mut block) =
                    self.block.take().unwrap_or_else(|| (frame.stream, frame.has(wire::END_STREAM), Vec::new()));
                block.extend_from_slice(frame.content());
                if frame.has(wire::END_HEADERS) {
                    self.take_head(stream, &block).await;
                } else {
                    self.block = Some((stream, end, block));
                }
            }
            wire::DATA => {
                let is_last = frame.has(wire::END_STREAM);
                let Some(exchange) = self.exchanges.get_mut(&frame.stream) else { return };
                exchange.request.message.extend_from_slice(frame.content());
                if is_last {
                    self.take_message(frame.stream).await;
                }
            }
            wire::SETTINGS | wire::PING
                if !frame.has(wire::ACK) && !self.stage.world().script.rude && !self.is_over() =>
            {
                wire::frame(&mut self.outbound, frame.kind, wire::ACK, 0, &if_ping(&frame));
                if self.has_written {
                    self.flush().await;
                }
            }
            _ => {}
        }
    }

    fn is_over(&self) -> bool {
        *self.stage.over.borrow()
    }

    async fn take_head(&mut self, stream: u32, block: &[u8]) {
        let fields = self.decoder.decode(block).expect("the client's header block");
        let path = fields.iter().find(|(name, _)| name == b":path").map(|(_, value)| value.clone());
        let path = String::from_utf8(path.unwrap_or_default()).unwrap_or_default();
        let Some(method) = Method::of(&path) else { return };
        let reply = {
            let mut world = self.stage.world();
            if self.is_over() { Reply::default() } else { world.next_reply(method) }
        };
        let request = Request { method, message: Vec::new() };
        let early = reply.early.clone();
        self.split = reply.split;
        let exchange = Exchange {
            request,
            reply,
            is_read: false,
            took_effect: false,
            is_answered: false,
            has_proof: stream > self.floor,
            has_plain_head: false,
            has_data: false,
        };
        self.exchanges.insert(stream, exchange);
        self.play(early, stream).await;
    }

    async fn take_message(&mut self, stream: u32) {
        let Some(exchange) = self.exchanges.get_mut(&stream) else { return };
        exchange.is_read = true;
        exchange.request.message.drain(..5.min(exchange.request.message.len()));
        let steps = exchange.reply.steps.clone();
        self.split = exchange.reply.split;
        self.play(steps, stream).await;
    }

    /// Carries steps out, about this stream.
    async fn play(&mut self, steps: Vec<Step>, stream: u32) {
        for step in steps {
            if self.is_closed {
                return;
            }
            match step {
                Step::Pause(ms) => {
                    self.flush().await;
                    sleep(Duration::from_millis(ms)).await;
                }
                Step::Deaf => self.is_deaf = true,
                Step::HalfClose => {
                    self.flush().await;
                    _ = self.socket.shutdown().await;
                }
                Step::Close => {
                    self.flush().await;
                    self.is_closed = true;
                }
                Step::Abort => {
                    self.flush().await;
                    _ = self.socket.set_zero_linger();
                    self.is_closed = true;
                }
                step => self.put(step, stream),
            }
            if self.split == Split::Steps {
                self.flush().await;
            }
        }
        self.flush().await;
    }

    /// Adds the bytes of a step to what is to be written.
    fn put(&mut self, step: Step, stream: u32) {
        let first = self.outbound.is_empty() && !self.has_written;
        if first && stream != 0 && !matches!(step, Step::Settings(_) | Step::Process | Step::Honest) {
            self.stage.world().seen.first_is_odd = true;
        }
        match step {
            Step::Process => self.process(stream),
            Step::Honest => self.honest(stream),
            Step::Head(head) => self.head(&head, stream),
            Step::Message { body, framing, frames, end } => self.message(&body, framing, frames, end, stream),
            Step::Data { length, end } => {
                if let Some(exchange) = self.exchanges.get_mut(&stream) {
                    exchange.has_data = true;
                }
                wire::frame(&mut self.outbound, wire::DATA, u8::from(end), stream, &vec![b'<'; length]);
            }
            Step::GoAway { last, code } => self.go_away(last, code, stream),
            Step::Reset { target, code } => self.reset(target, code, stream),
            Step::Interim(status) => {
                let mut block = Vec::new();
                wire::field(&mut block, wire::Literal::Plain, b":status", status.to_string().as_bytes());
                wire::headers(&mut self.outbound, stream, false, &block, 0);
            }
            Step::Raw(raw) => self.raw(raw, stream),
            other => bytes::put(&mut self.outbound, &other, stream),
        }
    }

    fn process(&mut self, stream: u32) {
        let Some(exchange) = self.exchanges.get_mut(&stream) else { return };
        if exchange.is_read && !exchange.took_effect && !exchange.has_proof {
            exchange.took_effect = self.stage.world().process(&exchange.request);
        }
    }

    fn honest(&mut self, stream: u32) {
        self.process(stream);
        let Some(exchange) = self.exchanges.get_mut(&stream) else { return };
        if !exchange.is_read || exchange.has_proof && exchange.request.method.starts() {
            return;
        }
        let answer = self.stage.world().honest(&exchange.request, exchange.took_effect);
        match answer {
            Ok(message) => {
                exchange.is_answered = true;
                let message = wire::message(&message, false, message.len());
                bytes::put_head(&mut self.outbound, &Head { http: Some(200), ..Head::default() }, stream);
                wire::frame(&mut self.outbound, wire::DATA, 0, stream, &message);
                bytes::put_head(&mut self.outbound, &Head { grpc: vec!["0"], end: true, ..Head::default() }, stream);
            }
            Err(code) => {
                let grpc = vec![if code == 5 { "5" } else { "10" }];
                exchange.is_answered = true;
                let head = Head { http: Some(200), grpc, end: true, ..Head::default() };
                bytes::put_head(&mut self.outbound, &head, stream);
            }
        }
    }

    fn head(&mut self, head: &Head, stream: u32) {
        let Some(exchange) = self.exchanges.get_mut(&stream) else { return };
        let mut head = head.clone();
        {
            // That the execution is gone is a lie that nobody can see through, once it must be seen.
            let world = self.stage.world();
            let exists = world.ended() != Some(End::Deleted) && !world.may_be_unseen();
            if exchange.request.method == Method::GetExecution && exists {
                head.grpc.iter_mut().filter(|code| **code == "5").for_each(|code| *code = "14");
            }
        }
        if exchange.is_proof(&head) {
            if exchange.is_bound() {
                return;
            }
            exchange.has_proof = true;
        }
        let is_refusal = head.grpc.first().is_some_and(|code| REFUSALS.contains(code));
        if exchange.request.method.starts() {
            let seen = &mut self.stage.world().seen;
            seen.refused_in_open_head |= is_refusal && !exchange.is_answered && !head.end;
            seen.refused_after_message |= is_refusal && exchange.has_data && head.end;
        }
        self.stage.world().seen.bad_details |= head.extras.contains(&crate::script::Extra::BadDetails);
        exchange.has_plain_head = !exchange.is_answered && head.is_plain();
        exchange.is_answered = true;
        bytes::put_head(&mut self.outbound, &head, stream);
    }

    fn message(&mut self, body: &Body, framing: Framing, frames: usize, end: bool, stream: u32) {
        let Some(exchange) = self.exchanges.get_mut(&stream) else { return };
        // A done operation with a refusal and without metadata is as good a refusal as a status.
        if let Body::Operation { done: true, metadata: None, result: OpResult::Error(code), .. } = body
            && REFUSALS.contains(&&*code.to_string())
            && exchange.request.method.starts()
        {
            if exchange.is_bound() {
                return;
            }
            exchange.has_proof = true;
        }
        if let Body::Operation { metadata: None, result: OpResult::Error(_), .. } = body {
            self.stage.world().seen.failed_operation |= exchange.request.method == Method::RunJob;
        }
        exchange.has_data = true;
        let message = self.stage.world().message(&exchange.request, body);
        let message = match framing {
            Framing::True => wire::message(&message, false, message.len()),
            Framing::Compressed => wire::message(&message, true, message.len()),
            Framing::Longer(by) => wire::message(&message, false, message.len() + by),
            Framing::Shorter(by) => wire::message(&message, false, message.len().saturating_sub(by)),
            Framing::Bare => message,
        };
        let size = message.len().div_ceil(frames.max(1)).max(1);
        // What is empty goes into one frame all the same.
        let (first, rest) = message.split_at(size.min(message.len()));
        let mut parts = iter::once(first).chain(rest.chunks(size)).peekable();
        while let Some(part) = parts.next() {
            let flags = u8::from(end && parts.peek().is_none());
            wire::frame(&mut self.outbound, wire::DATA, flags, stream, part);
        }
    }

    /// A GOAWAY below a stream proves that it was not processed, as long as no answer has begun.
    fn go_away(&mut self, last: Last, code: u32, stream: u32) {
        let last = match last {
            Last::Zero => 0,
            Last::Below => stream.saturating_sub(2),
            Last::Ours => stream,
            Last::Most => 0x7fff_ffff,
        };
        let mut above = self.exchanges.range_mut(last.saturating_add(1)..).map(|(_, exchange)| exchange);
        if above.any(|exchange| exchange.is_bound() && !exchange.is_answered) {
            return;
        }
        for (_, exchange) in self.exchanges.range_mut(last.saturating_add(1)..) {
            exchange.has_proof |= !exchange.is_answered;
        }
        self.floor = self.floor.min(last);
        bytes::put_go_away(&mut self.outbound, last, code);
    }

    fn reset(&mut self, target: Target, code: u32, stream: u32) {
        let id = match target {
            Target::Ours => stream,
            Target::Connection => 0,
            Target::Next => stream + if stream == 0 { 1 } else { 2 },
        };
        if code == REFUSED_STREAM {
            match self.exchanges.get_mut(&id) {
                Some(exchange) if !exchange.is_answered && exchange.is_bound() => return,
                Some(exchange) => exchange.has_proof |= !exchange.is_answered,
                // A stream that is yet to come has been refused.
                None => self.floor = self.floor.min(id.saturating_sub(1)),
            }
        }
        wire::frame(&mut self.outbound, wire::RST_STREAM, 0, id, &code.to_be_bytes());
    }

    fn raw(&mut self, raw: Raw, stream: u32) {
        bytes::put_raw(&mut self.outbound, raw, stream);
    }

    async fn flush(&mut self) {
        if self.outbound.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.outbound);
        self.has_written = true;
        let size = match self.split {
            Split::Bytes(size) => size.max(1).max(bytes.len() / MOST_WRITES),
            _ => bytes.len(),
        };
        for part in bytes.chunks(size) {
            self.stage.activity.fetch_add(1, Relaxed);
            // The other side may be gone or deaf; then the bytes are lost.
            let writing = timeout(Duration::from_secs(1), self.socket.write_all(part));
            if !matches!(writing.await, Ok(Ok(()))) {
                return;
            }
            if self.split != Split::None {
                sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

fn if_ping(frame: &Frame) -> Vec<u8> {
    if frame.kind == wire::PING { frame.payload.clone() } else { Vec::new() }
}
