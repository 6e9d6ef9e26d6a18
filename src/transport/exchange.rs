//! What is known of one request and its answer: did the message leave, and did gRPC answer?
//!
//! The status code of a failure does not tell whether the request was processed: the same code stands for a refused
//! connection and for a reply that was lost. What tells is whether the request's message was ever handed to the
//! connection, and what the HTTP/2 layer said.

use std::{
    error::Error as StdError,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{Code, Status, body::Body};

use super::pool::Lease;
use crate::{
    error::{chain, foreign_peer, is_refusal},
    retry::Verdict,
};

/// How much of an error page is shown: enough for its title.
const LONGEST_EXCERPT: usize = 200;

/// The record of one exchange. The caller puts it among the request's extensions; the transport fills it in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchange(Arc<Record>);

#[derive(Debug, Default)]
struct Record {
    /// What became of the message. Whoever asks first settles it: a message that was declared not sent stays here,
    /// although a task of the connection may still hold the request.
    message: OnceLock<Fate>,
    /// What the head of the answer was, once it came.
    head: OnceLock<Head>,
    /// How the page began that came instead of gRPC.
    page: OnceLock<Bytes>,
    /// The `grpc-status` that the peer sent. tonic makes up codes of its own for an answer that it cannot read: an
    /// answer that is too large is `OUT_OF_RANGE`, one that is compressed is `UNIMPLEMENTED`.
    code: OnceLock<Code>,
    /// The connection that it was given. Held until the exchange is forgotten, which is when its place is free.
    lease: OnceLock<Lease>,
}

#[derive(Debug, PartialEq)]
enum Fate {
    /// It was handed to the connection.
    Left,
    /// It was given up before that.
    Withdrawn,
}

#[derive(Debug)]
enum Head {
    Grpc,
    Foreign(StatusCode),
}

impl Exchange {
    /// Notes the connection that the request is given to.
    pub(super) fn travels_by(&self, lease: Lease) {
        let _ = self.0.lease.set(lease);
    }

    /// The connection that the request was given to.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.0.lease.get()
    }

    /// The request's body, noting when its message is handed over.
    pub(super) fn sending(&self, body: Body) -> Body {
        let exchange = self.clone();
        let note = move |_: &Frame<Bytes>| match exchange.0.message.get_or_init(|| Fate::Left) {
            Fate::Left => Ok(()),
            Fate::Withdrawn => Err(Status::cancelled("the request was given up before its message left")),
        };
        Body::new(Watched { body, note })
    }

    /// The answer, noting what kind it is and the status that the peer gives.
    pub(super) fn answered(&self, response: Response<Body>) -> Response<Body> {
        let grpc = response.status() == StatusCode::OK && is_grpc(response.headers());
        let _ = self.0.head.set(if grpc { Head::Grpc } else { Head::Foreign(response.status()) });
        self.note_code(response.headers());
        let exchange = self.clone();
        let note = move |frame: &Frame<Bytes>| {
            if let (false, Some(page)) = (grpc, frame.data_ref()) {
                let _ = exchange.0.page.set(page.slice(..page.len().min(LONGEST_EXCERPT)));
            }
            frame.trailers_ref().into_iter().for_each(|trailers| exchange.note_code(trailers));
            Ok(())
        };
        response.map(|body| Body::new(Watched { body, note }))
    }

    fn note_code(&self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            let _ = self.0.code.set(status.code());
        }
    }

    /// What the answer was, where it was no gRPC: the HTTP status and how its page begins, without control characters.
    pub(crate) fn foreign_answer(&self) -> Option<String> {
        let Some(Head::Foreign(status)) = self.0.head.get() else { return None };
        let answer = format!("the server answered with HTTP status {}, not with gRPC", status.as_u16());
        Some(match self.0.page.get() {
            Some(page) => format!("{answer}: \"{}\"", String::from_utf8_lossy(page).trim().escape_debug()),
            None => answer,
        })
    }

    /// Whether tonic made this status up for a gRPC answer that it cannot read, so that it is not the peer's word.
    pub(crate) fn has_other_code(&self, status: &Status) -> bool {
        let is_grpc = matches!(self.0.head.get(), Some(Head::Grpc));
        is_grpc && status.source().is_none() && self.0.code.get() != Some(&status.code())
    }

    /// What is known of the request after no answer came at all. A message that has not left will not.
    pub(crate) fn unanswered(&self) -> Verdict {
        match self.0.message.get_or_init(|| Fate::Withdrawn) {
            Fate::Left => Verdict::Ambiguous,
            Fate::Withdrawn => Verdict::NeverSent,
        }
    }

    /// What is known of the request after it failed with `status`. A message that has not left will not.
    pub(crate) fn verdict(&self, status: &Status) -> Verdict {
        let unanswered = self.unanswered();
        match self.0.head.get() {
            Some(Head::Grpc) if self.0.code.get() == Some(&status.code()) && is_refusal(status.code()) => {
                Verdict::Rejected
            }
            // Once a peer has begun to answer, nothing that it says of the stream is proof any more.
            None if unanswered == Verdict::Ambiguous && status.source().is_some_and(refused_unprocessed) => {
                Verdict::Unprocessed
            }
            _ => unanswered,
        }
    }
}

/// Whether the peer proved that it did not process the request.
///
/// h2 gives the remote GOAWAY as the error only to streams above its last id, which RFC 9113 6.8 says were not
/// processed; a stream that it covers fails otherwise. Only what the peer sent counts: h2 makes the same two errors
/// of its own for a connection that it gives up.
fn refused_unprocessed(cause: &(dyn StdError + 'static)) -> bool {
    foreign_peer(cause).is_some()
        || chain(cause).filter_map(|e| e.downcast_ref::<h2::Error>()).any(|e| {
            e.is_remote() && (e.is_go_away() || e.is_reset() && e.reason() == Some(h2::Reason::REFUSED_STREAM))
        })
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// A body whose frames are noted as they pass, or kept back.
struct Watched<F> {
    body: Body,
    note: F,
}

impl<F: FnMut(&Frame<Bytes>) -> Result<(), Status> + Unpin> HttpBody for Watched<F> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.and_then(|frame| (self.note)(&frame).map(|()| frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Exchange {
        let exchange = Exchange::default();
        assert!(hand_over(&exchange).is_ok());
        exchange
    }

    /// Does with the request's body what a connection does.
    fn hand_over(exchange: &Exchange) -> Result<Frame<Bytes>, Status> {
        let mut body = exchange.sending(Body::new("message".to_owned()));
        let mut context = Context::from_waker(std::task::Waker::noop());
        match Pin::new(&mut body).poll_frame(&mut context) {
            Poll::Ready(Some(frame)) => frame,
            _ => panic!("one frame"),
        }
    }

    /// An exchange whose answer had this HTTP status and these headers.
    fn answered(status: u16, headers: &[(&str, &str)]) -> Exchange {
        let head = headers.iter().fold(Response::builder().status(status), |head, (k, v)| head.header(*k, *v));
        let exchange = sent();
        let _ = exchange.answered(head.body(Body::empty()).expect("a response"));
        exchange
    }

    fn refused_by_peer(code: &str) -> Exchange {
        answered(200, &[("content-type", "application/grpc"), ("grpc-status", code)])
    }

    #[test]
    fn a_message_that_never_left_is_never_sent_whatever_the_code() {
        let exchange = Exchange::default();
        assert_eq!(exchange.verdict(&Status::not_found("")), Verdict::NeverSent);
        assert_eq!(exchange.unanswered(), Verdict::NeverSent);
    }

    #[test]
    fn a_message_that_was_declared_not_sent_is_not_sent_later() {
        let exchange = Exchange::default();
        assert_eq!(exchange.unanswered(), Verdict::NeverSent);
        assert!(hand_over(&exchange).is_err());
        assert_eq!(sent().unanswered(), Verdict::Ambiguous);
    }

    #[test]
    fn only_a_code_that_means_no_effect_is_a_rejection() {
        assert_eq!(refused_by_peer("5").verdict(&Status::not_found("")), Verdict::Rejected);
        for status in
            [Status::unavailable(""), Status::resource_exhausted(""), Status::internal(""), Status::unknown("")]
        {
            let exchange = refused_by_peer(&i32::from(status.code()).to_string());
            assert_eq!(exchange.verdict(&status), Verdict::Ambiguous, "{status}");
        }
    }

    #[test]
    fn a_code_that_the_peer_did_not_send_is_no_rejection() {
        assert_eq!(sent().verdict(&Status::not_found("")), Verdict::Ambiguous);
        assert_eq!(refused_by_peer("0").verdict(&Status::out_of_range("")), Verdict::Ambiguous);
    }

    #[test]
    fn an_error_page_proves_nothing() {
        let exchange = answered(404, &[]);
        assert_eq!(exchange.verdict(&Status::unimplemented("")), Verdict::Ambiguous);
        let told = "the server answered with HTTP status 404, not with gRPC";
        assert_eq!(exchange.foreign_answer().as_deref(), Some(told));
    }

    #[test]
    fn a_refused_stream_that_the_peer_did_not_send_proves_nothing() {
        // What the peer sent cannot be made here (`is_remote`): tests/it plays it over a socket.
        let local = h2::Error::from(h2::Reason::REFUSED_STREAM);
        assert_eq!(sent().verdict(&Status::from_error(Box::new(local))), Verdict::Ambiguous);
    }
}
