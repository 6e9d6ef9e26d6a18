//! HTTP/2 and gRPC as bytes: frames out, frames in, header blocks. Knows no meaning, and refuses to send nothing.
//!
//! Written from RFC 9113 and RFC 7541 alone: it shares no code with the client under test.

/// What a client sends first on a connection.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// END_STREAM of DATA and HEADERS, ACK of SETTINGS and PING.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITIZED: u8 = 0x20;

/// One frame, read or to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The first whole frame in these bytes, taken off them.
    pub(crate) fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        let head = bytes.first_chunk::<9>()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if bytes.len() < 9 + length {
            return None;
        }
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let (kind, flags) = (head[3], head[4]);
        let payload = bytes.drain(..9 + length).skip(9).collect();
        Some(Self { kind, flags, stream, payload })
    }

    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The header block or data, without padding and priority.
    pub(crate) fn content(&self) -> &[u8] {
        let mut content = &self.payload[..];
        if self.has(PADDED) && !content.is_empty() {
            let padding = usize::from(content[0]);
            content = content.get(1..content.len().saturating_sub(padding)).unwrap_or_default();
        }
        if self.kind == HEADERS && self.has(PRIORITIZED) {
            content = content.get(5..).unwrap_or_default();
        }
        content
    }
}

/// Appends a frame; nothing keeps it from being wrong.
pub(crate) fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A header block in one HEADERS frame and as many CONTINUATION frames as asked for.
pub(crate) fn headers(out: &mut Vec<u8>, stream: u32, end: bool, block: &[u8], continuations: usize) {
    let size = block.len().div_ceil(continuations + 1).max(1);
    let mut parts = block.chunks(size).peekable();
    let (mut kind, mut flags) = (HEADERS, if end { END_STREAM } else { 0 });
    loop {
        let part = parts.next().unwrap_or_default();
        let is_last = parts.peek().is_none();
        frame(out, kind, flags | if is_last { END_HEADERS } else { 0 }, stream, part);
        if is_last {
            return;
        }
        (kind, flags) = (CONTINUATION, 0);
    }
}

/// How a header field is written down (RFC 7541 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Literal {
    Plain,
    Indexed,
}

/// Appends a header field with a literal name, in no Huffman code.
pub(crate) fn field(out: &mut Vec<u8>, literal: Literal, name: &[u8], value: &[u8]) {
    out.push(match literal {
        Literal::Plain => 0x00,
        Literal::Indexed => 0x40,
    });
    for text in [name, value] {
        length(out, text.len());
        out.extend_from_slice(text);
    }
}

/// An integer of RFC 7541 5.1 with a prefix of 7 bits and no Huffman flag.
fn length(out: &mut Vec<u8>, value: usize) {
    const PREFIX: usize = 127;
    let low = |value: usize| u8::try_from(value & 0x7f).unwrap_or(0);
    if value < PREFIX {
        out.push(low(value));
        return;
    }
    out.push(127);
    let mut rest = value - PREFIX;
    while rest >= 128 {
        out.push(low(rest) | 0x80);
        rest >>= 7;
    }
    out.push(low(rest));
}

/// A gRPC message with its prefix, whose length and flag need not be true.
pub(crate) fn message(payload: &[u8], compressed: bool, claimed: usize) -> Vec<u8> {
    let mut message = vec![u8::from(compressed)];
    message.extend_from_slice(&u32::try_from(claimed).unwrap_or(u32::MAX).to_be_bytes());
    message.extend_from_slice(payload);
    message
}
