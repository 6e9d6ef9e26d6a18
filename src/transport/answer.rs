//! An answer: one message and a status out of the pieces that h2 hands over, or the body of a generated stub's answer.
//!
//! Knows gRPC over HTTP/2 as far as an answer needs it. tonic's own parser is not used for what a peer controls: it panics
//! on details that are no base64.

use std::{
    collections::VecDeque,
    future::{poll_fn, ready},
    mem,
    pin::{Pin, pin},
    task::{self, Context, Poll},
};

use base64::{Engine as _, alphabet, engine};
use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use h2::RecvStream;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use percent_encoding::percent_decode;
use tonic::{Code, Status, codegen::StdError as BoxError, metadata::MetadataMap};

use super::exchange::{ExchangeFailure, Flight};
use crate::error::{Error, ErrorKind};

/// Whether compressed, and the length of the message (4 bytes).
const PREFIX: usize = 5;

/// How much of an error page is shown: enough for its title.
const LONGEST_EXCERPT: usize = 200;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// gRPC peers send binary values with padding or without.
const BASE64: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new().with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
);

/// The message of a successful answer, which may have this many bytes.
pub(super) async fn message<B>(answer: Response<B>, most: usize) -> Result<Chunks, ExchangeFailure>
where
    B: Body<Data = Bytes>,
    ExchangeFailure: From<B::Error>,
{
    let (mut head, body) = answer.into_parts();
    let mut body = pin!(body);
    if head.status != StatusCode::OK || !is_grpc(&head.headers) {
        return Err(foreign(head.status, body).await.into());
    }
    if let Some(status) = status(&mut head.headers) {
        return Err(ExchangeFailure::in_head(&status));
    }
    let (mut chunks, mut trailers) = (Chunks::default(), HeaderMap::new());
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame?.into_data() {
            Ok(chunk) => {
                chunks.push(chunk);
                chunks.check(most)?;
            }
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    if is_ok(&trailers) {
        return Ok(chunks.into_message()?);
    }
    match status(&mut trailers) {
        // A status split between head and trailers proves nothing.
        Some(status) if begins_status(&head.headers) => Err(Error::from_peer(&status).into()),
        Some(status) => Err(ExchangeFailure::in_trailers(&status)),
        None => Err(protocol("the answer ends without a gRPC status").into()),
    }
}

/// Whether there is one status, and it is OK.
fn is_ok(headers: &HeaderMap) -> bool {
    let mut codes = headers.get_all(GRPC_STATUS).iter();
    codes.next().is_some_and(|code| code == "0") && codes.next().is_none()
}

/// Whether a head without a status has another part of one.
fn begins_status(head: &HeaderMap) -> bool {
    [GRPC_MESSAGE, GRPC_DETAILS].iter().any(|name| head.contains_key(name))
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// What came instead of gRPC: the HTTP status and how its page begins.
async fn foreign<B: Body<Data = Bytes>>(status: StatusCode, mut body: Pin<&mut B>) -> Error {
    let answer = format!("the server answered with HTTP status {}, not with gRPC", status.as_u16());
    let frame = poll_fn(|cx| body.as_mut().poll_frame(cx)).await;
    let page = frame.and_then(Result::ok).and_then(|frame| frame.into_data().ok()).unwrap_or_default();
    let page = page.slice(..page.len().min(LONGEST_EXCERPT));
    let text = String::from_utf8_lossy(&page);
    let message = match text.trim() {
        "" => answer,
        text => format!("{answer}: \"{}\"", text.escape_debug()),
    };
    Error::new(ErrorKind::NotGrpc, message)
}

fn protocol(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Protocol, message)
}

/// Takes the status out of a head or of trailers, and all other fields with it. Two `grpc-status` fields make it `UNKNOWN`.
fn status(headers: &mut HeaderMap) -> Option<Status> {
    let mut codes = headers.get_all(GRPC_STATUS).iter();
    let code = codes.next()?;
    let code = if codes.next().is_some() { Code::Unknown } else { Code::from_bytes(code.as_bytes()) };
    let text = headers.get(GRPC_MESSAGE).map_or(&[][..], |text| text.as_bytes());
    let text = percent_decode(text).decode_utf8_lossy().into_owned();
    // Details that cannot be read are dropped; the code counts.
    let details = headers.get(GRPC_DETAILS).and_then(|details| BASE64.decode(details).ok()).unwrap_or_default();
    [GRPC_STATUS, GRPC_MESSAGE, GRPC_DETAILS].iter().for_each(|name| _ = headers.remove(name));
    drop_unreadable(headers);
    let metadata = MetadataMap::from_headers(mem::take(headers));
    Some(Status::with_details_and_metadata(code, text, details.into(), metadata))
}

/// Drops binary values that are no base64.
fn drop_unreadable(headers: &mut HeaderMap) {
    let is_unreadable = |value: &http::HeaderValue| {
        // Several values may stand in one line (gRPC over HTTP/2, Custom-Metadata).
        value.as_bytes().split(|byte| *byte == b',').any(|value| BASE64.decode(value.trim_ascii()).is_err())
    };
    let unreadable: Vec<_> = headers
        .iter()
        .filter(|(name, value)| name.as_str().ends_with("-bin") && is_unreadable(value))
        .map(|(name, _)| name.clone())
        .collect();
    unreadable.iter().for_each(|name| _ = headers.remove(name));
}

/// A message in the pieces that it came in, so that a large one is not gathered in one place to be decoded.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    /// The first piece, which is mostly the only one.
    first: Bytes,
    rest: VecDeque<Bytes>,
    length: usize,
}

impl Chunks {
    /// The message, if it is in one piece.
    pub(crate) fn as_one(&self) -> Option<&Bytes> {
        self.rest.is_empty().then_some(&self.first)
    }

    fn push(&mut self, chunk: Bytes) {
        self.length += chunk.len();
        if self.first.is_empty() {
            self.first = chunk;
        } else if !chunk.is_empty() {
            self.rest.push_back(chunk);
        }
    }

    /// Checks what is there of a message and its prefix.
    fn check(&self, most: usize) -> Result<(), Error> {
        let Some((compressed, length)) = self.prefix() else { return Ok(()) };
        if compressed != 0 {
            return Err(protocol("the answer is compressed, which was not asked for"));
        }
        if length > most {
            return Err(protocol(format!("the answer has {length} bytes; {most} are read at the most")));
        }
        if self.length > PREFIX + length {
            return Err(protocol("the answer has more than one message"));
        }
        Ok(())
    }

    fn prefix(&self) -> Option<(u8, usize)> {
        if let Some(&[compressed, a, b, c, d]) = self.first.first_chunk() {
            return Some((compressed, u32::from_be_bytes([a, b, c, d]) as usize));
        }
        let mut bytes = std::iter::once(&self.first).chain(&self.rest).flatten();
        let mut next = || bytes.next().copied();
        let (compressed, length) = (next()?, [next()?, next()?, next()?, next()?]);
        Some((compressed, u32::from_be_bytes(length) as usize))
    }

    /// The message without its prefix.
    fn into_message(mut self) -> Result<Self, Error> {
        match self.prefix() {
            Some((_, length)) if self.length == PREFIX + length => {
                self.advance(PREFIX);
                Ok(self)
            }
            None if self.length == 0 => Err(protocol("the answer has no message")),
            _ => Err(protocol("the answer's message is cut off")),
        }
    }
}

impl Chunks {
    /// The message behind its prefix again.
    fn into_framed(mut self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(PREFIX + self.length);
        bytes.put_u8(0);
        bytes.put_u32(u32::try_from(self.length).unwrap_or(u32::MAX));
        bytes.put(&mut self);
        bytes.freeze()
    }
}

impl Buf for Chunks {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        &self.first
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.length, "advanced beyond the end");
        self.length -= count;
        while count >= self.first.len() && !self.first.is_empty() {
            count -= self.first.len();
            self.first = self.rest.pop_front().unwrap_or_default();
        }
        self.first.advance(count);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        if length <= self.first.len() {
            let bytes = self.first.slice(..length);
            self.advance(length);
            return bytes;
        }
        let mut bytes = BytesMut::with_capacity(length);
        bytes.put(self.take(length));
        bytes.freeze()
    }
}

/// The body of an answer as h2 hands it over. What is read is stored within a limit, so the peer may send on.
#[derive(Debug)]
pub(super) struct Received {
    body: RecvStream,
    is_read: bool,
}

impl From<RecvStream> for Received {
    fn from(body: RecvStream) -> Self {
        Self { body, is_read: false }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.is_read {
            if let Some(chunk) = task::ready!(self.body.poll_data(cx)?) {
                let _ = self.body.flow_control().release_capacity(chunk.len());
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            self.is_read = true;
        }
        self.body.poll_trailers(cx).map(|trailers| trailers.transpose().map(|trailers| trailers.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// The body of an answer to a generated stub.
#[derive(Debug)]
pub struct Answer(Content);

#[derive(Debug)]
enum Content {
    /// From the connection. The flight holds the call's slot on it.
    Received(Received, Flight),
    /// From the caller's layers, or for them.
    Layer(tonic::body::Body),
}

impl Answer {
    /// The answer for a stub.
    pub(super) fn of(answer: Response<RecvStream>, flight: Flight) -> Response<Self> {
        let mut answer = answer.map(|body| Self(Content::Received(body.into(), flight)));
        drop_unreadable(answer.headers_mut());
        answer
    }

    /// What came out of a layer.
    pub(super) fn of_layer<B>(answer: Response<B>) -> Response<Self>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut answer = answer.map(|body| Self(Content::Layer(tonic::body::Body::new(body))));
        drop_unreadable(answer.headers_mut());
        answer
    }

    /// An answer that is a status, as it would come from the connection.
    pub(super) fn of_status(status: Status) -> Response<Self> {
        Self::of_layer(status.into_http::<tonic::body::Body>())
    }

    /// A successful answer with this message, as it would come from the connection.
    pub(super) fn of_message(message: Chunks) -> Response<Self> {
        let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
        let body = Full::new(message.into_framed()).with_trailers(ready(Some(Ok(trailers))));
        let mut answer = Self::of_layer(Response::new(body));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        answer
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut frame = match &mut self.0 {
            Content::Received(body, flight) => {
                let frame = task::ready!(Pin::new(body).poll_frame(cx));
                frame.map(|frame| frame.map_err(|cause| flight.broken(&cause)))
            }
            Content::Layer(body) => task::ready!(Pin::new(body).poll_frame(cx)),
        };
        // They would make tonic panic.
        if let Some(trailers) = frame.as_mut().and_then(|frame| frame.as_mut().ok()?.trailers_mut()) {
            drop_unreadable(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Received(body, _) => body.is_end_stream(),
            Content::Layer(body) => body.is_end_stream(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn chunks(pieces: &[&'static [u8]]) -> Chunks {
        let mut chunks = Chunks::default();
        pieces.iter().for_each(|piece| chunks.push(Bytes::from_static(piece)));
        chunks
    }

    fn headers(fields: &[(&'static str, &'static [u8])]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_bytes(value).expect("a value")))
            .collect()
    }

    #[test]
    fn a_message_may_come_in_any_pieces() {
        for pieces in [&[&b"\0\0\0\0\x03abc"[..]][..], &[b"\0\0", b"\0\0\x03a", b"", b"bc"], &[b"\0\0\0\0\x03", b"abc"]]
        {
            let whole = chunks(pieces);
            assert!(whole.check(3).is_ok());
            let mut message = whole.into_message().expect("whole");
            assert_eq!(message.remaining(), 3);
            assert_eq!(message.copy_to_bytes(3), "abc");
            assert_eq!((message.remaining(), message.chunk().len()), (0, 0));
        }
    }

    #[test]
    fn a_message_that_is_not_as_its_prefix_says_is_an_error() {
        for (pieces, most, text) in [
            (&b"\0\0\0\0\x04abcd"[..], 3, "has 4 bytes; 3 are read"),
            (b"\x01\0\0\0\x02ab", 9, "compressed"),
            (b"\0\0\0\0\x02abc", 9, "more than one"),
            (b"\0\0\0\0\x02a", 9, "cut off"),
            (b"\0\0", 9, "cut off"),
            (b"", 9, "no message"),
        ] {
            let whole = chunks(&[pieces]);
            let error = whole.check(most).and_then(|()| whole.into_message()).expect_err(text);
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn a_status_has_a_code_a_text_and_details() {
        let status = status(&mut headers(&[
            ("grpc-status", b"5"),
            ("grpc-message", b"no%20such%20job"),
            ("grpc-status-details-bin", b"AQI"),
            ("x-id", b"7"),
        ]));
        let status = status.expect("a status");
        assert_eq!((status.code(), status.message(), status.details()), (Code::NotFound, "no such job", &[1, 2][..]));
        assert_eq!(status.metadata().get("x-id").expect("kept"), "7");
    }

    #[test]
    fn what_cannot_be_read_of_a_status_is_dropped() {
        let mut odd = headers(&[
            ("grpc-status", b"9"),
            ("grpc-message", b"\xff%zz"),
            ("grpc-status-details-bin", b"!!!"),
            ("x-a-bin", b"###"),
            ("x-b-bin", b"AQI=, AQI"),
        ]);
        let status = status(&mut odd).expect("a status");
        assert_eq!((status.code(), status.details()), (Code::FailedPrecondition, &[][..]));
        assert!(status.metadata().get_bin("x-a-bin").is_none());
        assert!(status.metadata().get_bin("x-b-bin").is_some());
    }

    #[test]
    fn a_code_counts_when_it_is_one() {
        let code = |fields: &[(&'static str, &'static [u8])]| super::status(&mut headers(fields)).map(|s| s.code());
        assert_eq!(code(&[]), None);
        assert_eq!(code(&[("grpc-status", b"5"), ("grpc-status", b"5")]), Some(Code::Unknown));
        for odd in [&b""[..], b"05", b"17", b"-1", b"5 ", b"5, 5"] {
            assert_eq!(
                super::status(&mut HeaderMap::from_iter([(
                    "grpc-status".parse().expect("a name"),
                    HeaderValue::from_bytes(odd).expect("a value")
                )]))
                .map(|s| s.code()),
                Some(Code::Unknown)
            );
        }
    }
}
