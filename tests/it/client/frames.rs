//! A peer that plays its part in single HTTP/2 frames (RFC 9113), so that it can do what no HTTP/2 library would.
//!
//! Knows frames, and gRPC as far as an answer needs it. Knows nothing of the client under test.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Error codes (RFC 9113 7).
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// Settings (RFC 9113 6.5.2).
pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

/// The id of a GOAWAY that covers every stream.
pub(crate) const LAST_STREAM: u32 = (1 << 31) - 1;

/// A server that plays the same part on each connection, until it is dropped.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Peer {
    /// How many whole requests it has read.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Relaxed)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A peer that does this with each socket. An error ends the connection: the client has gone.
pub(crate) async fn raw<F, Fut>(part: F) -> Peer
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = io::Result<()>> + Send + 'static,
{
    accept(listener().await, Arc::default(), part)
}

/// A peer that plays this part on each connection after both sides have opened it.
pub(crate) async fn http2<F, Fut>(part: F) -> Peer
where
    F: Fn(Wire) -> Fut + Send + Clone + 'static,
    Fut: Future<Output = io::Result<()>> + Send + 'static,
{
    serve(listener().await, part)
}

/// The same at this listener.
fn serve<F, Fut>(listener: TcpListener, part: F) -> Peer
where
    F: Fn(Wire) -> Fut + Send + Clone + 'static,
    Fut: Future<Output = io::Result<()>> + Send + 'static,
{
    let requests = Arc::new(AtomicUsize::new(0));
    accept(listener, Arc::clone(&requests), move |socket| {
        let (part, requests) = (part.clone(), Arc::clone(&requests));
        async move {
            let wire = Wire::open(socket, requests).await?;
            part(wire).await
        }
    })
}

fn accept<F, Fut>(listener: TcpListener, requests: Arc<AtomicUsize>, part: F) -> Peer
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = io::Result<()>> + Send + 'static,
{
    let address = listener.local_addr().expect("an address");
    let accepting = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(part(socket));
        }
    });
    Peer { address, requests, accepting }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

/// The server's end of one HTTP/2 connection.
pub(crate) struct Wire {
    socket: TcpStream,
    requests: Arc<AtomicUsize>,
    /// Whether even what the protocol wants acknowledged is not.
    is_mute: bool,
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn ends_request(&self) -> bool {
        matches!(self.kind, HEADERS | DATA) && self.flags & END_STREAM != 0
    }
}

impl Wire {
    async fn open(mut socket: TcpStream, requests: Arc<AtomicUsize>) -> io::Result<Self> {
        socket.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()]).await?;
        let mut wire = Self { socket, requests, is_mute: false };
        wire.settings(&[]).await?;
        Ok(wire)
    }

    /// The server's end of a connection on which it has not said anything yet, not even its SETTINGS.
    pub(crate) async fn mute(mut socket: TcpStream) -> io::Result<Self> {
        socket.read_exact(&mut [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()]).await?;
        Ok(Self { socket, requests: Arc::default(), is_mute: true })
    }

    /// Says these bytes, whatever they are.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.is_mute = false;
        self.socket.write_all(bytes).await
    }

    /// A PING, which wants an answer.
    pub(crate) async fn ping(&mut self) -> io::Result<()> {
        self.is_mute = false;
        self.write(PING, 0, 0, &[7; 8]).await
    }

    /// A HEADERS frame with these fields and flags.
    pub(crate) async fn headers(&mut self, stream: u32, flags: u8, head: &[(&str, &str)]) -> io::Result<()> {
        self.write(HEADERS, END_HEADERS | flags, stream, &fields(head)).await
    }

    /// Reads up to the head of a request and returns its stream.
    pub(crate) async fn head(&mut self) -> io::Result<u32> {
        loop {
            let frame = self.read().await?;
            if frame.kind == HEADERS {
                return Ok(frame.stream);
            }
        }
    }

    /// Reads a whole request and returns its stream, and how many requests there have been on all connections.
    pub(crate) async fn counted_request(&mut self) -> io::Result<(u32, usize)> {
        let stream = self.request().await?;
        Ok((stream, self.requests.load(Relaxed)))
    }

    /// Reads a whole request and returns its stream.
    pub(crate) async fn request(&mut self) -> io::Result<u32> {
        loop {
            let frame = self.read().await?;
            if frame.ends_request() {
                return Ok(frame.stream);
            }
        }
    }

    /// Reads on until the client closes the connection, and answers nothing any more, not even a PING.
    pub(crate) async fn fall_silent(mut self) -> io::Result<()> {
        self.socket.read_to_end(&mut Vec::new()).await.map(drop)
    }

    /// Reads on until the client closes the connection, as a healthy peer does.
    pub(crate) async fn until_closed(mut self) -> io::Result<()> {
        loop {
            self.read().await?;
        }
    }

    pub(crate) async fn settings(&mut self, settings: &[(u16, u32)]) -> io::Result<()> {
        let bytes = settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
        self.write(SETTINGS, 0, 0, &bytes.collect::<Vec<_>>()).await
    }

    pub(crate) async fn goaway(&mut self, last: u32, reason: u32) -> io::Result<()> {
        self.write(GOAWAY, 0, 0, &[last.to_be_bytes(), reason.to_be_bytes()].concat()).await
    }

    pub(crate) async fn reset(&mut self, stream: u32, reason: u32) -> io::Result<()> {
        self.write(RST_STREAM, 0, stream, &reason.to_be_bytes()).await
    }

    /// What no HTTP/2 peer may send: a reset of no stream.
    pub(crate) async fn nonsense(&mut self) -> io::Result<()> {
        self.reset(0, REFUSED_STREAM).await
    }

    /// The head of a gRPC answer.
    pub(crate) async fn accept(&mut self, stream: u32, more: &[(&str, &str)]) -> io::Result<()> {
        let head = [&[(":status", "200"), ("content-type", "application/grpc")], more].concat();
        self.write(HEADERS, END_HEADERS, stream, &fields(&head)).await
    }

    /// Bytes of an answer's body.
    pub(crate) async fn body(&mut self, stream: u32, bytes: &[u8]) -> io::Result<()> {
        self.write(DATA, 0, stream, bytes).await
    }

    /// The end of a gRPC answer.
    pub(crate) async fn trailers(&mut self, stream: u32, code: &str) -> io::Result<()> {
        self.write(HEADERS, END_HEADERS | END_STREAM, stream, &fields(&[("grpc-status", code)])).await
    }

    /// A gRPC answer with one message.
    pub(crate) async fn reply(&mut self, stream: u32, message: &[u8]) -> io::Result<()> {
        self.accept(stream, &[]).await?;
        self.body(stream, &prefixed(0, message.len(), message)).await?;
        self.trailers(stream, "0").await
    }

    /// A gRPC answer that is only a status, in one frame, as a service refuses.
    pub(crate) async fn refuse(&mut self, stream: u32, code: &str) -> io::Result<()> {
        let head = [
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", code),
            ("grpc-message", "as%20told"),
        ];
        self.write(HEADERS, END_HEADERS | END_STREAM, stream, &fields(&head)).await
    }

    /// An error page, as the front end of a service has them.
    pub(crate) async fn page(&mut self, stream: u32, status: &str, text: &[u8]) -> io::Result<()> {
        let head = fields(&[(":status", status), ("content-type", "text/html")]);
        self.write(HEADERS, END_HEADERS, stream, &head).await?;
        self.write(DATA, END_STREAM, stream, text).await
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.socket.write_all(&[&head, payload].concat()).await
    }

    /// The next frame; what the protocol wants acknowledged is acknowledged.
    async fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).await?;
        let [l0, l1, l2, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize];
        self.socket.read_exact(&mut payload).await?;
        let frame = Frame { kind, flags, stream: u32::from_be_bytes(stream), payload };
        if frame.ends_request() {
            self.requests.fetch_add(1, Relaxed);
        }
        if frame.flags & ACK == 0 && !self.is_mute {
            match frame.kind {
                SETTINGS => self.write(SETTINGS, ACK, 0, &[]).await?,
                PING => self.write(PING, ACK, 0, &frame.payload).await?,
                _ => {}
            }
        }
        Ok(frame)
    }
}

/// A gRPC message as it says it is: whether compressed, and how long.
pub(crate) fn prefixed(compressed: u8, length: usize, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).expect("a message").to_be_bytes();
    [&[compressed], &length[..], message].concat()
}

/// Header fields in HPACK, each as a literal with a new name and no index (RFC 7541 6.2.2), all shorter than 127.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}
