//! A caller's tower layers around the transport, and what is known of a verb's request that went through them.
//!
//! A layer may hold a request, repeat it, keep it or answer it, and turn one end into another. So what a start may claim
//! is not read off what comes out of the layers: inside of them a [`Witness`] notes what the connection has shown.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use h2::{SendStream, client::ResponseFuture};
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::timeout;
use tonic::{Status, body::Body, codegen::StdError as BoxError};
use tower::{Layer, Service, ServiceExt as _, util::BoxCloneSyncService};

use super::{
    Transport,
    answer::{self, Answer, Chunks},
    exchange::{self, Exchange, ExchangeFailure, FailedAttempt},
    pool::Lease,
};
use crate::{
    error::{Error, ErrorKind},
    retry::Evidence,
};

/// A transport with layers around it.
pub(super) type Layered = BoxCloneSyncService<Request<Body>, Response<Answer>, BoxError>;

/// Puts a layer around a transport, whatever its type.
pub(crate) type Wrap = Box<dyn FnOnce(Transport) -> Transport + Send>;

/// The layer as a function.
pub(crate) fn wrap<L, B>(layer: L) -> Wrap
where
    L: Layer<Transport> + Send + 'static,
    L::Service: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    <L::Service as Service<Request<Body>>>::Error: Into<BoxError> + 'static,
    <L::Service as Service<Request<Body>>>::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Box::new(move |transport| {
        let shared = Arc::clone(&transport.shared);
        let layered = layer.layer(transport).map_response(Answer::of_layer).map_err(Into::into);
        Transport { shared, layered: Some(BoxCloneSyncService::new(layered)) }
    })
}

/// Sends a verb's request through the layers, which have this long to answer.
pub(super) async fn send(
    layered: Layered,
    mut request: Request<Bytes>,
    most: usize,
    limit: Duration,
) -> Result<Chunks, FailedAttempt> {
    let witness = Witness::new(most);
    request.extensions_mut().insert(witness.clone());
    let request = request.map(|message| Body::new(Full::new(message)));
    let answered = timeout(limit, async {
        let answer = layered.oneshot(request).await.map_err(error)?;
        answer::message(answer, most).await.map_err(Error::from)
    });
    let answered = answered.await.ok();
    witness.settle(answered, limit)
}

/// The error that came out of the layers.
fn error(cause: BoxError) -> Error {
    match cause.downcast::<Status>() {
        Ok(status) => Error::from_peer(&status),
        Err(cause) => {
            Error::new(ErrorKind::Unreachable, format!("a layer around the transport gave no answer: {cause}"))
        }
    }
}

/// What is known of a request that goes through layers, in its extensions.
#[derive(Clone)]
pub(super) struct Witness(Arc<Mutex<Testimony>>);

/// The same, as far as it has come.
struct Testimony {
    /// The largest answer that is read, in bytes.
    most: usize,
    /// Whether the request came out of the layers.
    has_passed: bool,
    /// Whether its caller has stopped waiting for the answer.
    is_over: bool,
    exchange: Exchange,
    /// How the exchange ended; a message went back through the layers.
    ended: Option<Result<(), ExchangeFailure>>,
}

impl Testimony {
    /// What was reported of a request stands: it is not sent afterwards.
    fn check(&self) -> Result<(), Error> {
        let late =
            || Error::new(ErrorKind::Deadline, "a layer around the transport held a request until after its end");
        if self.is_over { Err(late()) } else { Ok(()) }
    }
}

impl Witness {
    fn new(most: usize) -> Self {
        let exchange = Exchange::default();
        Self(Arc::new(Mutex::new(Testimony { most, has_passed: false, is_over: false, exchange, ended: None })))
    }

    /// Lets the request pass, once: what is sent again, and when, is not for a layer to decide. Returns the largest answer
    /// that is read of it, in bytes.
    pub(super) fn pass(&self) -> Result<usize, Error> {
        let mut testimony = self.testimony();
        testimony.check()?;
        if mem::replace(&mut testimony.has_passed, true) {
            return Err(Error::new(ErrorKind::Protocol, "a layer around the transport sent a request again"));
        }
        Ok(testimony.most)
    }

    /// Sends the request, unless its outcome has been reported.
    pub(super) fn begin(
        &self,
        lease: Lease,
        request: Request<()>,
        message: Bytes,
        token: Option<u64>,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), Error> {
        let mut testimony = self.testimony();
        testimony.check()?;
        testimony.exchange.token = token;
        testimony.exchange.begin(lease, request, message)
    }

    /// Notes how the exchange ended, and makes of that what goes back through the layers.
    pub(super) fn ended(&self, outcome: Result<Chunks, ExchangeFailure>) -> Result<Response<Answer>, Status> {
        let (ended, back) = match outcome {
            Ok(message) => (Ok(()), Ok(Answer::of_message(message))),
            Err(trouble) => {
                let back = trouble.told().map(Answer::of_status);
                (Err(trouble), back)
            }
        };
        self.testimony().ended = Some(ended);
        back
    }

    /// What it came to, with what that proves of the request. `answered` is what came out of the layers in time.
    fn settle(&self, answered: Option<Result<Chunks, Error>>, limit: Duration) -> Result<Chunks, FailedAttempt> {
        let mut testimony = self.testimony();
        testimony.is_over = true;
        let exchange = mem::take(&mut testimony.exchange);
        match (testimony.has_passed, testimony.ended.take(), answered) {
            // A message is what it is, wherever it came from.
            (_, _, Some(Ok(message))) => Ok(message),
            // The connection's own account of what went wrong on it.
            (true, Some(Err(trouble)), _) => exchange.settle(Some(Err(trouble)), limit),
            // The layers gave up, or were given up, before there was an answer.
            (true, None, Some(Err(error))) => exchange.settle(Some(Err(error.into())), limit),
            (true, None, None) => exchange.settle(None, limit),
            // Kept by a layer, or answered by the service and refused afterwards.
            (_, _, answered) => {
                let error = answered.and_then(Result::err).unwrap_or_else(|| exchange::late(limit));
                Err(FailedAttempt { error, evidence: Evidence::Ambiguous, token: exchange.token })
            }
        }
    }

    fn testimony(&self) -> MutexGuard<'_, Testimony> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
