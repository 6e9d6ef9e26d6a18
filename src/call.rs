//! The one loop around an RPC: attempt, classify, pause, attempt. Which RPC is none of its business.

use std::{
    fmt::Display,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tonic::{Code, Request, Response, Status, metadata::AsciiMetadataValue};

use crate::{
    error::{Error, ErrorKind, Result},
    retry::{Places, ReadPolicy, StartPolicy, Throttle, Verdict},
    transport::{Exchange, Routing, Transport},
};

/// Makes calls over one transport. Cheap to clone; clones share what they have learned of the service.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) transport: Transport,
    /// The limit of one attempt, connecting included, and of a start with all its attempts.
    pub(crate) rpc_timeout: Duration,
    /// Whether a wait ends at once when the service has never answered, instead of riding that out.
    pub(crate) fail_fast: bool,
    random: Arc<Mutex<fastrand::Rng>>,
    learned: Arc<Learned>,
}

/// What is known of the service from the calls so far.
#[derive(Debug)]
struct Learned {
    throttle: Mutex<Throttle>,
    long_polls: Mutex<Places>,
    /// Whether the service has ever answered, be it with an error: then it is there, and may be waited for.
    answered: AtomicBool,
}

/// A place that a long poll has taken among the calls of a client, until it is dropped.
pub(crate) struct Place<'a>(&'a Mutex<Places>);

/// One RPC to make: what for, about what, and with which message.
pub(crate) struct Call<'a, M> {
    verb: &'static str,
    resource: &'a (dyn Display + Sync),
    routing: Routing,
    message: M,
}

/// A failed attempt, and what is known of its effect.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) verdict: Verdict,
}

impl<'a, M> Call<'a, M> {
    /// `verb` goes on with "could not", as in "could not *read job* NAME".
    pub(crate) fn new(verb: &'static str, resource: &'a (impl Display + Sync), routing: Routing, message: M) -> Self {
        Self { verb, resource, routing, message }
    }
}

impl Caller {
    pub(crate) fn new(transport: Transport, rpc_timeout: Duration, random: fastrand::Rng) -> Self {
        // A quarter of the places is kept for calls that are answered at once.
        let long_polls = Mutex::new(Places::new(transport.places() / 4 * 3));
        let learned = Learned { throttle: Mutex::default(), long_polls, answered: AtomicBool::default() };
        let random = Arc::new(Mutex::new(random));
        Self { transport, rpc_timeout, fail_fast: false, random, learned: Arc::new(learned) }
    }

    /// A random number in `0..1`, for jitter.
    pub(crate) fn random(&self) -> f64 {
        locked(&self.random).f64()
    }

    /// A place for a call that the service may hold, if there is one.
    pub(crate) fn place(&self) -> Option<Place<'_>> {
        let long_polls = &self.learned.long_polls;
        locked(long_polls).take().then(|| Place(long_polls))
    }

    /// Makes the call once, within `limit`: it covers the token, the connection, the request and the answer.
    ///
    /// The limit is also sent as `grpc-timeout`, so that the service stops as well.
    async fn attempt<M, T>(&self, call: &Call<'_, M>, limit: Duration, rpc: &impl Rpc<M, T>) -> Result<T, Failure>
    where
        M: Clone + Send + Sync,
    {
        let exchange = Exchange::default();
        let mut request = call.routing.request(call.message.clone());
        // tonic's own `set_timeout` prints up to three numbers for it.
        request.metadata_mut().insert("grpc-timeout", grpc_timeout(limit));
        request.extensions_mut().insert(exchange.clone());
        let (verdict, error) = match tokio::time::timeout(limit, rpc.send(self.transport.clone(), request)).await {
            Ok(Ok(response)) => {
                self.learned.answered.store(true, Relaxed);
                return Ok(response.into_inner());
            }
            Ok(Err(status)) => {
                let (verdict, is_made_up) = (exchange.verdict(&status), exchange.has_other_code(&status));
                let error = Error::from_status(status, exchange.foreign_answer());
                (verdict, if is_made_up { error.made_up() } else { error })
            }
            Err(_) => {
                let error = Error::new(ErrorKind::Deadline, format!("no answer within {:.1} s", limit.as_secs_f32()));
                (exchange.unanswered(), error)
            }
        };
        if error.is_from_peer() {
            self.learned.answered.store(true, Relaxed);
        }
        if error.kind() == ErrorKind::Deadline && !error.is_from_peer() {
            // A connection that has died without a word shows as silence, and reconnects only when it is closed.
            self.transport.replace_connection(&exchange);
        }
        Err(Failure { error: error.doing(call.verb, call.resource), verdict })
    }

    /// Makes a call without effect, again after a failure that may pass.
    pub(crate) async fn read<M, T>(&self, call: &Call<'_, M>, rpc: &impl Rpc<M, T>) -> Result<T>
    where
        M: Clone + Send + Sync,
    {
        let mut failures = 0;
        let mut renewed = false;
        loop {
            let error = match self.attempt(call, self.rpc_timeout, rpc).await {
                Ok(answer) => {
                    self.throttle().succeeded();
                    return Ok(answer);
                }
                Err(failure) => failure.error,
            };
            if self.renewed_token(&error, &mut renewed) {
                continue;
            }
            failures += 1;
            self.throttle().failed();
            let again = is_transient(&error) && self.throttle().allows();
            match ReadPolicy::DEFAULT.next(failures, error.advice(), self.random()) {
                Some(pause) if again => sleep(pause).await,
                _ => return Err(error),
            }
        }
    }

    /// Makes a call once, within `limit`; a token that was not accepted is renewed first.
    pub(crate) async fn once<M, T>(&self, call: &Call<'_, M>, limit: Duration, rpc: &impl Rpc<M, T>) -> Result<T>
    where
        M: Clone + Send + Sync,
    {
        let mut renewed = false;
        loop {
            match self.attempt(call, limit, rpc).await {
                Err(failure) if self.renewed_token(&failure.error, &mut renewed) => {}
                answer => return answer.map_err(|failure| failure.error),
            }
        }
    }

    /// Makes a call that must not happen twice: again only with proof that it was not processed, and all within the
    /// RPC timeout.
    pub(crate) async fn start<M, T>(&self, call: &Call<'_, M>, rpc: &impl Rpc<M, T>) -> Result<T, Failure>
    where
        M: Clone + Send + Sync,
    {
        let deadline = Instant::now() + self.rpc_timeout;
        let (mut failures, mut refused, mut renewed) = (0, 0, false);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let failure = match self.attempt(call, left, rpc).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if failure.verdict == Verdict::Rejected && self.renewed_token(&failure.error, &mut renewed) {
                continue;
            }
            failures += 1;
            refused += u32::from(failure.verdict == Verdict::Unprocessed);
            match StartPolicy::DEFAULT.next(failure.verdict, failures, refused, self.random()) {
                Some(pause) if failure.error.may_reconnect() && Instant::now() + pause < deadline => sleep(pause).await,
                _ => return Err(failure),
            }
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
    fn renewed_token(&self, error: &Error, renewed: &mut bool) -> bool {
        let stale = error.code() == Some(Code::Unauthenticated) && !*renewed && self.transport.renew_token();
        *renewed |= stale;
        stale
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        locked(&self.learned.throttle)
    }
}

impl Place<'_> {
    /// Notes how the call went: whether it had to queue although it had a place.
    pub(crate) fn answered(&self, queued: bool) {
        let mut places = locked(self.0);
        if queued { places.queued() } else { places.answered() }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        locked(self.0).leave();
    }
}

/// The limit as the service is told, in milliseconds: eight digits of them are more than a day
/// (gRPC over HTTP/2, Timeout).
fn grpc_timeout(limit: Duration) -> AsciiMetadataValue {
    let millis = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).min(99_999_999);
    AsciiMetadataValue::try_from(format!("{millis}m")).unwrap_or_else(|_| unreachable!("digits and a letter"))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One method of a generated stub: a closure that makes the stub over the transport and sends the request.
pub(crate) trait Rpc<M, T>: Send + Sync {
    /// Sends the request.
    fn send(
        &self,
        transport: Transport,
        request: Request<M>,
    ) -> impl Future<Output = Result<Response<T>, Status>> + Send;
}

impl<M, T, F, Fut> Rpc<M, T> for F
where
    F: Fn(Transport, Request<M>) -> Fut + Send + Sync,
    Fut: Future<Output = Result<Response<T>, Status>> + Send,
{
    fn send(
        &self,
        transport: Transport,
        request: Request<M>,
    ) -> impl Future<Output = Result<Response<T>, Status>> + Send {
        self(transport, request)
    }
}

/// Whether a read is worth another attempt: a broken connection, a service that is briefly not there (AIP-194), or
/// one that says when to come back.
///
/// A deadline is not: the caller's time is used up.
fn is_transient(error: &Error) -> bool {
    error.may_reconnect() || error.retry_after().is_some() || error.code() == Some(Code::Unavailable)
}
