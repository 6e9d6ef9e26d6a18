//! What becomes of a call's answer on its way out, when a fault has decided so: here it is carried out on the connection.
//!
//! The outermost layer, around gRPC and REST alike; it knows neither.

use std::{
    convert::Infallible,
    error::Error as StdError,
    fmt,
    future::pending,
    mem,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::{future::BoxFuture, stream};
use http::{HeaderValue, Request, Response, Version, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tonic::body::Body;
use tower::Service;

use super::line::{Line, Place};
use crate::emulator::fault::Reason;

/// The five bytes before a gRPC message.
const PREFIX: usize = 5;
/// Health and reflection answer with streams, message by message as they are taken.
const STREAMS: &str = "/grpc.";
/// A byte that no varint ends with and no JSON has.
const GARBAGE: u8 = 0xff;

/// What a fault has decided, in the extensions of the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate(Arc<Mutex<Vec<Ending>>>);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// The connection breaks.
    Cut,
    /// The connection is closed by a GOAWAY that covers the call.
    GoAway(Reason),
    /// The connection is closed by a GOAWAY that does not cover the call, which had no effect.
    GoAwayBefore(Reason),
    /// The stream is reset.
    Reset(Reason),
    /// Half of the answer is missing.
    Truncate,
    /// The answer is garbage.
    Corrupt,
}

impl Fate {
    pub(crate) fn decide(&self, ending: Ending) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ending);
    }

    fn take(&self) -> Vec<Ending> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Resets a stream: hyper looks for the reason among the sources of a service's error. It must not be that error itself,
/// of which tonic would make an answer.
#[derive(Debug)]
pub(crate) struct Reset(h2::Error);

impl Reset {
    fn new(reason: Reason) -> Self {
        Self(code(reason).into())
    }
}

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream is reset by a fault")
    }
}

impl StdError for Reset {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

/// Carries out what is decided about the calls to `inner`.
#[derive(Clone, Debug)]
pub(crate) struct Fates<S>(pub(crate) S);

impl<S> Service<Request<Body>> for Fates<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Reset;
    type Future = BoxFuture<'static, Result<Self::Response, Reset>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Reset>> {
        self.0.poll_ready(context).map_err(|never| match never {})
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let line = request.extensions().get::<Line>().cloned().unwrap_or_default();
        let Some(place) = line.enter() else {
            return Box::pin(async { Err(Reset::new(Reason::RefusedStream)) });
        };
        let busy = line.busy();
        let way = CallRoute { line, place, is_http2: request.version() == Version::HTTP_2 };
        let fate = Fate::default();
        request.extensions_mut().insert(fate.clone());
        let has_end = !request.uri().path().starts_with(STREAMS);
        // The clone has not been asked whether it is ready, and this one has.
        let waiting = self.0.clone();
        let mut inner = mem::replace(&mut self.0, waiting);
        Box::pin(async move {
            way.line.room().await;
            let Ok(mut response) = inner.call(request).await;
            for ending in fate.take() {
                response = way.carry_out(ending, response).await?;
            }
            if has_end {
                response = rewrite(response, |bytes, _| way.line.hold(bytes)).await;
            }
            drop(busy);
            Ok(response)
        })
    }
}

/// On which way a call has come in, and its answer goes out.
struct CallRoute {
    line: Line,
    place: Place,
    is_http2: bool,
}

impl CallRoute {
    async fn carry_out(&self, ending: Ending, mut response: Response<Body>) -> Result<Response<Body>, Reset> {
        match ending {
            Ending::Truncate => Ok(rewrite(response, |bytes, _| bytes.slice(..bytes.len() / 2)).await),
            Ending::Corrupt => Ok(rewrite(response, corrupt).await),
            Ending::GoAway(_) if !self.is_http2 => {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                Ok(response)
            }
            Ending::GoAway(reason) => {
                self.line.go_away(code(reason).into()).await;
                Ok(response)
            }
            Ending::GoAwayBefore(reason) if self.is_http2 => {
                if !self.line.go_away_before(self.place, code(reason).into()).await {
                    self.line.go_away(code(reason).into()).await;
                }
                // The same proof once more, for this one stream.
                Err(Reset::new(Reason::RefusedStream))
            }
            Ending::Reset(reason) if self.is_http2 => Err(Reset::new(reason)),
            Ending::Cut | Ending::GoAwayBefore(_) | Ending::Reset(_) => {
                self.line.cut();
                pending().await
            }
        }
    }
}

fn corrupt(bytes: Bytes, message: usize) -> Bytes {
    let mut bytes = BytesMut::from(bytes);
    bytes[message..].fill(GARBAGE);
    bytes.freeze()
}

/// Makes other bytes of those of an answer, knowing where its message begins. Headers and trailers stay.
async fn rewrite(response: Response<Body>, change: impl FnOnce(Bytes, usize) -> Bytes) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let is_grpc =
        head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    // An answer of this process that breaks off is as broken as it should be.
    let Ok(body) = body.collect().await else { return Response::from_parts(head, Body::empty()) };
    let trailers = body.trailers().cloned();
    let bytes = body.to_bytes();
    let message = if is_grpc { PREFIX.min(bytes.len()) } else { 0 };
    let length = bytes.len();
    let bytes = change(bytes, message);
    if bytes.len() != length {
        head.headers.remove(header::CONTENT_LENGTH);
    }
    let body = match trailers {
        // Without a length, as gRPC servers answer.
        Some(trailers) => {
            let frames = [Frame::data(bytes), Frame::trailers(trailers)].map(Ok::<_, Infallible>);
            Body::new(StreamBody::new(stream::iter(frames)))
        }
        None => Body::new(Full::new(bytes)),
    };
    Response::from_parts(head, body)
}

fn code(reason: Reason) -> h2::Reason {
    match reason {
        Reason::NoError => h2::Reason::NO_ERROR,
        Reason::ProtocolError => h2::Reason::PROTOCOL_ERROR,
        Reason::InternalError => h2::Reason::INTERNAL_ERROR,
        Reason::RefusedStream => h2::Reason::REFUSED_STREAM,
        Reason::Cancel => h2::Reason::CANCEL,
        Reason::EnhanceYourCalm => h2::Reason::ENHANCE_YOUR_CALM,
    }
}
