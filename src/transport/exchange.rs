//! What is known of one request and its answer: did the message leave, and did gRPC answer?
//!
//! The status code of a failure does not tell whether the request was processed: the same code stands for a refused
//! connection and for a reply that was lost. What tells is whether the request's message was ever handed to the
//! connection, and what the HTTP/2 layer said.

use std::{
    error::Error as StdError,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header::CONTENT_TYPE};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{Code, Status, body::Body};

use crate::{
    error::{chain, foreign_peer},
    retry::Verdict,
};

/// The record of one exchange. The caller puts it among the request's extensions; the transport fills it in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchange(Arc<Record>);

#[derive(Debug, Default)]
struct Record {
    left: AtomicBool,
    /// The HTTP status of an answer that is not gRPC; 0 for none.
    foreign_status: AtomicU16,
}

impl Exchange {
    /// The body, noting when its message is handed over.
    pub(super) fn watch(&self, body: Body) -> Body {
        Body::new(Watched { body, exchange: self.clone() })
    }

    /// Notes what kind of answer came.
    pub(super) fn answered(&self, response: &Response<Body>) {
        let grpc = response.status() == StatusCode::OK && is_grpc(response.headers());
        if !grpc {
            self.0.foreign_status.store(response.status().as_u16(), Relaxed);
        }
    }

    /// The HTTP status of an answer that was no gRPC.
    pub(crate) fn foreign_status(&self) -> Option<u16> {
        match self.0.foreign_status.load(Relaxed) {
            0 => None,
            status => Some(status),
        }
    }

    /// What is known of the request after no answer came at all.
    pub(crate) fn unanswered(&self) -> Verdict {
        if self.0.left.load(Relaxed) { Verdict::Ambiguous } else { Verdict::NeverSent }
    }

    /// What is known of the request after it failed with `status`.
    pub(crate) fn verdict(&self, status: &Status) -> Verdict {
        if self.unanswered() == Verdict::NeverSent {
            return Verdict::NeverSent;
        }
        match status.source() {
            Some(cause) if refused_unprocessed(cause) => Verdict::Unprocessed,
            Some(_) => Verdict::Ambiguous,
            None if self.foreign_status().is_none() && is_rejection(status.code()) => Verdict::Rejected,
            None => Verdict::Ambiguous,
        }
    }
}

/// Whether the peer proved that it did not process the request.
///
/// h2 gives the remote GOAWAY as the error only to streams above its last id, which RFC 9113 6.8 says were not
/// processed; a stream that it covers fails otherwise. hyper reports "canceled" only for a request that it never
/// handed to a connection.
fn refused_unprocessed(cause: &(dyn StdError + 'static)) -> bool {
    foreign_peer(cause).is_some()
        || chain(cause).any(|e| {
            let refused = e.downcast_ref::<h2::Error>().is_some_and(|e| {
                e.is_remote() && (e.is_go_away() || e.is_reset() && e.reason() == Some(h2::Reason::REFUSED_STREAM))
            });
            refused || e.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
        })
}

/// The codes by which the service says that it has done nothing. `RESOURCE_EXHAUSTED` is not among them: that quota
/// is checked before the effect is usual and not promised.
fn is_rejection(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
    )
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// A request body that notes when it yields its first frame.
struct Watched {
    body: Body,
    exchange: Exchange,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if matches!(frame, Some(Ok(_))) {
            self.exchange.0.left.store(true, Relaxed);
        }
        Poll::Ready(frame)
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
        exchange.0.left.store(true, Relaxed);
        exchange
    }

    #[test]
    fn a_message_that_never_left_is_never_sent_whatever_the_code() {
        let exchange = Exchange::default();
        assert_eq!(exchange.verdict(&Status::not_found("")), Verdict::NeverSent);
        assert_eq!(exchange.unanswered(), Verdict::NeverSent);
    }

    #[test]
    fn only_a_code_that_means_no_effect_is_a_rejection() {
        assert_eq!(sent().verdict(&Status::not_found("")), Verdict::Rejected);
        for status in
            [Status::unavailable(""), Status::resource_exhausted(""), Status::internal(""), Status::unknown("")]
        {
            assert_eq!(sent().verdict(&status), Verdict::Ambiguous, "{status}");
        }
    }

    #[test]
    fn an_error_page_proves_nothing() {
        let exchange = sent();
        exchange.answered(&Response::builder().status(404).body(Body::empty()).expect("a response"));
        assert_eq!(exchange.verdict(&Status::unimplemented("")), Verdict::Ambiguous);
        assert_eq!(exchange.foreign_status(), Some(404));
    }

    #[test]
    fn a_refused_stream_was_not_processed_and_an_internal_reset_may_have_been() {
        // What the peer sent cannot be made here (`is_remote`): tests/it plays it over a socket. Ours is ambiguous.
        let local = h2::Error::from(h2::Reason::REFUSED_STREAM);
        assert_eq!(sent().verdict(&Status::from_error(Box::new(local))), Verdict::Ambiguous);
    }
}
