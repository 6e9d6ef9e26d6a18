//! The one loop around an RPC: attempt, classify, pause, attempt. It does not know which RPC it makes.

use std::{
    fmt::Display,
    marker::PhantomData,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::HeaderValue;
use prost::{DecodeError, Message};
use tokio::time::{Instant, sleep};
use tonic::Code;
use tracing::Instrument as _;

pub(crate) use crate::transport::FailedAttempt;
use crate::{
    error::{Error, ErrorKind, Result},
    proto::Method,
    retry::{Evidence, Policies, Slots, Throttle},
    trace,
    transport::{Chunks, Routing, Transport, Unary, grpc_timeout},
};

/// The largest answer that is read unless a call says otherwise: what gRPC clients read by default.
const ANSWER_BYTES: usize = 4 << 20;

/// What gcloud asks for; the service's own default and maximum are not published.
pub(crate) const PAGE_SIZE: i32 = 100;

/// No call is longer; a deadline that is further away than a clock can tell would be none.
const LONGEST_RPC: Duration = Duration::from_secs(24 * 3600);

/// Makes calls over one transport. Cheap to clone; clones share what they have learned of the service.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) transport: Transport,
    /// The limit of one attempt, connecting included, and of a start with all its attempts.
    pub(crate) rpc_timeout: Duration,
    /// The most items that a page of a list is asked for.
    pub(crate) page_size: i32,
    /// Whether a wait ends at once when the service has never answered, instead of riding that out.
    pub(crate) fail_fast: bool,
    pub(crate) policies: Policies,
    random: Arc<Mutex<fastrand::Rng>>,
    /// The RPC timeout as a header has it.
    told: HeaderValue,
    learned: Arc<Learned>,
}

/// What is known of the service from the calls so far.
#[derive(Debug)]
struct Learned {
    throttle: Mutex<Throttle>,
    long_polls: Mutex<Slots>,
    /// Whether the service has ever answered, be it with an error: then it is there, and may be waited for.
    answered: AtomicBool,
}

/// A slot that a long poll has taken among the calls of a client, until it is dropped.
pub(crate) struct Slot<'a>(&'a Mutex<Slots>);

/// One RPC to make: what for, about what, and with which message.
pub(crate) struct Call<'a, A> {
    verb: &'static str,
    resource: &'a (dyn Display + Sync),
    request: Unary,
    answer: PhantomData<fn() -> A>,
}

impl<'a, A> Call<'a, A> {
    /// `verb` goes on with "could not", as in "could not *read job* NAME". The message is encoded here, once for all
    /// attempts.
    pub(crate) fn new<Q: Message>(
        verb: &'static str,
        resource: &'a (impl Display + Sync),
        method: &Method<Q, A>,
        routing: Routing,
        message: &Q,
    ) -> Self {
        let message = framed(message);
        let request = Unary { path: method.path.clone(), params: routing.into_value(), message, most: ANSWER_BYTES };
        Self { verb, resource, request, answer: PhantomData }
    }

    /// Reads an answer of this many bytes.
    pub(crate) fn reading(mut self, most: usize) -> Self {
        self.request.most = most;
        self
    }
}

/// What an answer's message is read as.
pub(crate) trait Reply: Sized {
    fn read_from(bytes: Chunks) -> Result<Self, DecodeError>;
}

impl<M: Message + Default> Reply for M {
    fn read_from(bytes: Chunks) -> Result<Self, DecodeError> {
        match bytes.as_one() {
            // Most answers are in one piece, and prost reads slices fastest.
            Some(bytes) => Self::decode(&bytes[..]),
            None => Self::decode(bytes),
        }
    }
}

/// A message behind its gRPC prefix: not compressed, and its length.
fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(5 + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

impl Caller {
    pub(crate) fn new(transport: Transport, rpc_timeout: Duration, random: fastrand::Rng) -> Self {
        // A quarter of the slots is kept for calls that are answered at once.
        let long_polls = Mutex::new(Slots::new(transport.slots() / 4 * 3));
        let learned = Learned { throttle: Mutex::default(), long_polls, answered: AtomicBool::default() };
        let random = Arc::new(Mutex::new(random));
        let rpc_timeout = rpc_timeout.min(LONGEST_RPC);
        let told = grpc_timeout(rpc_timeout);
        let (policies, learned) = (Policies::DEFAULT, Arc::new(learned));
        Self { transport, rpc_timeout, page_size: PAGE_SIZE, told, fail_fast: false, policies, random, learned }
    }

    /// The same with another RPC timeout.
    pub(crate) fn with_rpc_timeout(self, rpc_timeout: Duration) -> Self {
        let rpc_timeout = rpc_timeout.min(LONGEST_RPC);
        Self { rpc_timeout, told: grpc_timeout(rpc_timeout), ..self }
    }

    /// The same with pages of this many items.
    pub(crate) fn with_page_size(self, page_size: i32) -> Self {
        Self { page_size, ..self }
    }

    /// A random number in `0..1`, for jitter.
    pub(crate) fn random(&self) -> f64 {
        locked(&self.random).f64()
    }

    /// A slot for a call that the service may hold, if there is one.
    pub(crate) fn slot(&self) -> Option<Slot<'_>> {
        let long_polls = &self.learned.long_polls;
        locked(long_polls).take().then(|| Slot(long_polls))
    }

    /// Makes the call once, within `limit`: it covers the token, the connection, the request and the answer.
    ///
    /// The limit is also sent as `grpc-timeout`, so that the service stops as well.
    async fn attempt<A: Reply>(&self, call: &Call<'_, A>, limit: Duration) -> Result<A, FailedAttempt> {
        let told = if limit == self.rpc_timeout { self.told.clone() } else { grpc_timeout(limit) };
        let span = trace::attempt(&call.request.path, self.transport.authority());
        // Pinned here, so that a large future is not moved from wrapper to wrapper.
        let exchange = pin!(self.transport.unary(&call.request, limit, told));
        let answer = match exchange.instrument(span.clone()).await {
            Ok(bytes) => A::read_from(bytes).map_err(|cause| {
                let error = Error::new(ErrorKind::Protocol, "the answer is not the message that belongs here");
                FailedAttempt { error: error.with_source(cause), evidence: Evidence::Ambiguous, token: None }
            }),
            Err(failure) => Err(failure),
        };
        trace::ended(&span, answer.as_ref().err().map(|failure| &failure.error));
        let is_from_peer = answer.as_ref().map_or_else(|failure| failure.error.is_from_peer(), |_| true);
        if is_from_peer && !self.learned.answered.load(Relaxed) {
            self.learned.answered.store(true, Relaxed);
        }
        answer.map_err(|failure| FailedAttempt { error: failure.error.doing(call.verb, call.resource), ..failure })
    }

    /// Makes a call without effect, again after a failure that may pass.
    pub(crate) async fn read<A: Reply>(&self, call: &Call<'_, A>) -> Result<A> {
        let mut failures = 0;
        let mut renewed = false;
        loop {
            let failure = match self.attempt(call, self.rpc_timeout).await {
                Ok(answer) => {
                    self.throttle().succeeded();
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            if self.renewed_token(&failure, &mut renewed) {
                continue;
            }
            let error = failure.error;
            failures += 1;
            self.throttle().failed();
            let again = is_transient(&error) && self.throttle().allows();
            match self.policies.read.next(failures, error.advice(), self.random()) {
                Some(pause) if again => {
                    trace::retry(&call.request.path, pause, &error);
                    sleep(pause).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// Makes a call once, within `limit`; a token that was not accepted is renewed first.
    pub(crate) async fn once<A: Reply>(&self, call: &Call<'_, A>, limit: Duration) -> Result<A> {
        let mut renewed = false;
        loop {
            match self.attempt(call, limit).await {
                Err(failure) if self.renewed_token(&failure, &mut renewed) => {}
                answer => return answer.map_err(|failure| failure.error),
            }
        }
    }

    /// Makes a call that must not happen twice: again only with proof that it was not processed, and all within the
    /// RPC timeout.
    pub(crate) async fn start<A: Reply>(&self, call: &Call<'_, A>) -> Result<A, FailedAttempt> {
        let deadline = Instant::now() + self.rpc_timeout;
        let mut left = self.rpc_timeout;
        let (mut failures, mut refused, mut renewed) = (0, 0, false);
        loop {
            let failure = match self.attempt(call, left).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if failure.evidence != Evidence::Rejected || !self.renewed_token(&failure, &mut renewed) {
                failures += 1;
                refused += u32::from(failure.evidence == Evidence::Unprocessed);
                match self.policies.start.next(failure.evidence, failures, refused, self.random()) {
                    Some(pause) if failure.error.may_reconnect() && Instant::now() + pause < deadline => {
                        trace::retry(&call.request.path, pause, &failure.error);
                        sleep(pause).await;
                    }
                    _ => return Err(failure),
                }
            }
            left = deadline.saturating_duration_since(Instant::now());
        }
    }

    /// Whether a wait goes on after this error: it may pass.
    ///
    /// A service that has never answered this client may be absent for a while. It may also be the wrong one, where the
    /// host does not resolve, TLS fails, or the peer speaks something else: no wait goes on after those.
    pub(crate) fn rides_out(&self, error: &Error) -> bool {
        let may_pass = match error.kind() {
            ErrorKind::Protocol => return true,
            ErrorKind::Unreachable
            | ErrorKind::NotGrpc
            | ErrorKind::Deadline
            | ErrorKind::Exhausted
            | ErrorKind::Service
            | ErrorKind::Credentials => true,
            _ => false,
        };
        let is_known = self.learned.answered.load(Relaxed);
        may_pass && (is_known || !self.fail_fast && error.is_absence())
    }

    /// Whether a token that the service did not accept was given up for a new one, which happens once a call.
    fn renewed_token(&self, failure: &FailedAttempt, renewed: &mut bool) -> bool {
        let refused = failure.token.filter(|_| failure.error.code() == Some(Code::Unauthenticated) && !*renewed);
        let stale = refused.is_some_and(|generation| self.transport.renew_token(generation));
        *renewed |= stale;
        stale
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        locked(&self.learned.throttle)
    }
}

impl Slot<'_> {
    /// Notes how the call went: whether it had to queue although it had a slot.
    pub(crate) fn answered(&self, queued: bool) {
        let mut slots = locked(self.0);
        if queued { slots.queued() } else { slots.answered() }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        locked(self.0).leave();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a read is worth another attempt: a broken connection, a service that is briefly not there (AIP-194), or
/// one that says when to come back.
///
/// A deadline is not: the caller's time is used up.
fn is_transient(error: &Error) -> bool {
    error.may_reconnect() || error.retry_after().is_some() || error.code() == Some(Code::Unavailable)
}
