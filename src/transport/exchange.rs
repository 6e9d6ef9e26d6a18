//! One request and its answer over a connection, and what is known of it afterwards.

use std::{
    fmt::{self, Debug, Formatter},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, SendStream, client::ResponseFuture};
use http::Request;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::{
    answer::Chunks,
    connection::Opened,
    evidence::{Broken, Record, Told, evidence},
    pool::Lease,
    wire::{Ledger, Message, Seen},
};
use crate::{
    error::{Error, ErrorKind},
    retry::Evidence,
};

/// A failed attempt, and what is known of its effect.
#[derive(Debug)]
pub(crate) struct FailedAttempt {
    pub(crate) error: Error,
    pub(crate) evidence: Evidence,
    /// The generation of the token that it carried.
    pub(crate) token: Option<u64>,
}

/// Why an exchange did not end with a message.
#[derive(Debug)]
pub(super) struct ExchangeFailure {
    error: Error,
    broken: Option<Broken>,
    status: Option<Told>,
}

impl ExchangeFailure {
    /// The head of the answer has this status.
    pub(super) fn in_head(status: &Status) -> Self {
        Self { error: Error::from_peer(status), broken: None, status: Some(Told::InHead(status.code())) }
    }

    /// The answer's trailers have this status, and its head has none.
    pub(super) fn in_trailers(status: &Status) -> Self {
        Self { error: Error::from_peer(status), broken: None, status: Some(Told::InTrailers(status.code())) }
    }

    /// The same for a layer around the transport: a status that the peer sent, else an error.
    pub(super) fn told(&self) -> Result<Status, Status> {
        let status = self.error.status();
        if self.status.is_some() { Ok(status) } else { Err(status) }
    }
}

impl From<Error> for ExchangeFailure {
    fn from(error: Error) -> Self {
        Self { error, broken: Some(Broken::Otherwise), status: None }
    }
}

impl From<ExchangeFailure> for Error {
    fn from(trouble: ExchangeFailure) -> Self {
        trouble.error
    }
}

impl From<Status> for ExchangeFailure {
    fn from(status: Status) -> Self {
        Error::from_peer(&status).into()
    }
}

impl From<h2::Error> for ExchangeFailure {
    fn from(cause: h2::Error) -> Self {
        Self { broken: Some(Broken::from(&cause)), error: broken(&cause), status: None }
    }
}

/// A request on its way over a connection, on which it holds a slot.
pub(super) struct Flight {
    ledger: Arc<Ledger>,
    stream: u32,
    is_closed: bool,
    _lease: Lease,
}

impl Flight {
    /// Sends the head of a request and the beginning of its body, so that they leave in one write.
    pub(super) fn begin(
        lease: Lease,
        request: Request<()>,
        body: Bytes,
        is_whole: bool,
    ) -> Result<(Self, ResponseFuture, SendStream<Bytes>), Error> {
        let Some(Opened { requests, ledger, .. }) = lease.opened() else {
            return Err(Error::new(ErrorKind::Unreachable, "no connection to the service: it was closed"));
        };
        let ledger = Arc::clone(ledger);
        let (answer, mut sending) = requests.clone().send_request(request, false).map_err(|cause| {
            ledger.retire();
            explained(broken(&cause), &ledger)
        })?;
        // Where the stream is gone already, the answer tells why.
        let _ = sending.send_data(body, is_whole);
        let stream = answer.stream_id().as_u32();
        Ok((Self { ledger, stream, is_closed: false, _lease: lease }, answer, sending))
    }

    /// What was seen of it. A message that has not left will not.
    pub(super) fn close(&mut self) -> Seen {
        self.is_closed = true;
        self.ledger.close(self.stream)
    }

    /// Gives the connection up for calls to come if the peer has said nothing on it for this long: one that has died
    /// without a word shows as silence.
    pub(super) fn suspect(&self, limit: Duration) {
        if self.ledger.heard() + limit <= Instant::now() {
            self.ledger.retire();
        }
    }

    /// The status of a broken stream, for a stub.
    pub(super) fn broken(&self, cause: &h2::Error) -> Status {
        explained(broken(cause), &self.ledger).into_status()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.is_closed {
            self.close();
        }
    }
}

impl Debug for Flight {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// An exchange from its beginning to its end, whatever it comes to.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    flight: Option<Flight>,
    /// The generation of the token that the request carries.
    pub(super) token: Option<u64>,
}

impl Exchange {
    /// Sends a request. Dropping the stream before the answer is there resets it.
    pub(super) fn begin(
        &mut self,
        lease: Lease,
        request: Request<()>,
        message: Bytes,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), Error> {
        let (flight, answer, sending) = Flight::begin(lease, request, message, true)?;
        self.flight = Some(flight);
        Ok((answer, sending))
    }

    /// What it came to, with what that proves of the request. `limit` is the time that it was given.
    pub(super) fn settle(
        mut self,
        outcome: Option<Result<Chunks, ExchangeFailure>>,
        limit: Duration,
    ) -> Result<Chunks, FailedAttempt> {
        let seen = self.flight.as_mut().map(Flight::close).unwrap_or_default();
        let (error, broken, status) = match outcome {
            Some(Ok(message)) if seen.message == Message::Left => return Ok(message),
            Some(Ok(_)) => {
                let message = "the server answered before the request was sent to it";
                (Error::new(ErrorKind::Protocol, message), Some(Broken::Otherwise), None)
            }
            Some(Err(ExchangeFailure { error, broken, status })) => (error, broken, status),
            None => {
                self.flight.iter().for_each(|flight| flight.suspect(limit));
                (late(limit), Some(Broken::Otherwise), None)
            }
        };
        let error = match &self.flight {
            Some(flight) if broken.is_some() => explained(error, &flight.ledger),
            _ => error,
        };
        Err(FailedAttempt { error, evidence: evidence(&Record { seen, broken, status }), token: self.token })
    }
}

/// The error when there was no answer in time.
pub(super) fn late(limit: Duration) -> Error {
    Error::new(ErrorKind::Deadline, format!("no answer within {:.1} s", limit.as_secs_f32()))
}

/// The error of a broken stream.
fn broken(cause: &h2::Error) -> Error {
    let message = match (cause.reason(), cause.get_io()) {
        (Some(reason), _) if cause.is_remote() && cause.is_reset() => {
            format!("the server reset the stream: {reason:?}")
        }
        (Some(reason), _) if cause.is_remote() => format!("the server closed the connection: {reason:?}"),
        (Some(reason), _) => format!("the server broke HTTP/2: {reason:?}"),
        (None, Some(cause)) => format!("the connection broke: {cause}"),
        (None, None) => format!("the connection broke: {cause}"),
    };
    let error = Error::new(ErrorKind::Unreachable, message);
    error.with_code(code(cause))
}

/// The code that gRPC gives to a broken stream (gRPC over HTTP/2, HTTP2 Transport Mapping).
fn code(cause: &h2::Error) -> Code {
    match cause.reason() {
        Some(Reason::REFUSED_STREAM) => Code::Unavailable,
        Some(Reason::CANCEL) => Code::Cancelled,
        Some(Reason::ENHANCE_YOUR_CALM) => Code::ResourceExhausted,
        Some(Reason::INADEQUATE_SECURITY) => Code::PermissionDenied,
        Some(_) if cause.is_reset() => Code::Internal,
        _ => Code::Unavailable,
    }
}

/// The error with what the connection knows better than h2 does.
fn explained(error: Error, ledger: &Ledger) -> Error {
    match (ledger.foreign(), ledger.given_up()) {
        (Some(foreign), _) => Error::new(ErrorKind::NotGrpc, foreign),
        (None, Some(why)) if error.kind() == ErrorKind::Unreachable => {
            Error::new(ErrorKind::Unreachable, why).with_code(Code::Unavailable)
        }
        _ => error,
    }
}
