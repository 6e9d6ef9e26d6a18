//! The one point before every handler and the one after it: here calls are noted, and faults act.
//!
//! Knows of a message only which resource it is about. What a fault does to a connection is left to the call's
//! [`Fate`].

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{self, Body};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Extensions, HeaderMap, Request, Response};
use tokio::time::timeout;
use tonic::{Code, Status};
use tower::Service;

use super::{
    fate::{Ending, Fate},
    gate::ROUTING_HEADER,
};
use crate::{
    emulator::{
        controls::Controls,
        fault::{Action, Lag, Point},
        journal::{CallNumber, JournalEntry},
        rpc::Rpc,
        service::{BODY_LIMIT, MAX_MESSAGE},
    },
    name::JobName,
};

/// Whether it is compressed, and how long it is.
const PREFIX: usize = 5;

/// The handlers, watched.
#[derive(Clone, Debug)]
pub(crate) struct Points<S> {
    inner: S,
    controls: Arc<Controls>,
}

impl<S> Points<S> {
    pub(crate) fn new(inner: S, controls: &Arc<Controls>) -> Self {
        Self { inner, controls: Arc::clone(controls) }
    }
}

impl<S> Service<Request<Body>> for Points<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(rpc) = Rpc::of(request.uri().path()) else {
            return Box::pin(self.inner.call(request));
        };
        // The clone has not been asked whether it is ready, and this one has.
        let waiting = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, waiting);
        let controls = Arc::clone(&self.controls);
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let Ok(Ok(message)) = timeout(BODY_LIMIT, body::to_bytes(body, PREFIX + MAX_MESSAGE)).await else {
                let text = format!("The request is longer than {MAX_MESSAGE} bytes, or did not come in in time.");
                return Ok(Status::out_of_range(text).into_http());
            };
            let fate = head.extensions.get::<Fate>().cloned().unwrap_or_default();
            let call = Watched::open(controls, rpc, &head.headers, &message, fate);
            let answer = match call.before(&mut head.extensions).await {
                Some(answer) => answer,
                None => {
                    let Ok(answer) = inner.call(Request::from_parts(head, Body::from(message))).await;
                    call.after(answer).await
                }
            };
            Ok(answer)
        })
    }
}

/// One call on its way.
struct Watched {
    controls: Arc<Controls>,
    rpc: Rpc,
    resource: String,
    entry: CallNumber,
    fate: Fate,
}

impl Watched {
    fn open(controls: Arc<Controls>, rpc: Rpc, headers: &HeaderMap, message: &Bytes, fate: Fate) -> Self {
        let resource = rpc.resource(message.get(PREFIX..).unwrap_or_default());
        let routing = headers.get(ROUTING_HEADER).map(|params| String::from_utf8_lossy(params.as_bytes()).into_owned());
        let (time, duration) = (controls.engine.now(), Duration::ZERO);
        let call = JournalEntry { time, rpc, resource: resource.clone(), routing, code: None, duration };
        let entry = controls.journal.open(call);
        Self { controls, rpc, resource, entry, fate }
    }

    /// Lets faults act; gives an answer if there is nothing left for the handler to do.
    async fn before(&self, extensions: &mut Extensions) -> Option<Response<Body>> {
        for action in self.controls.faults.strike(Point::Before, self.rpc, &self.resource) {
            match action {
                Action::Delay(time) => self.controls.engine.sleep(time).await,
                Action::Answer(status) => return Some(self.close(status.into_http())),
                Action::Cut => return Some(self.end(Ending::Cut)),
                Action::GoAway(reason) => return Some(self.end(Ending::GoAwayBefore(reason))),
                Action::Reset(reason) => return Some(self.end(Ending::Reset(reason))),
                Action::Lag(time) => _ = extensions.insert(Lag(time)),
                Action::Maintain => self.controls.engine.maintain(job_of(&self.resource)),
                // There is no reply yet, and no way to ask for this here.
                Action::Truncate | Action::Corrupt => {}
            }
        }
        None
    }

    /// Lets faults act on the answer of the handler.
    async fn after(&self, mut answer: Response<Body>) -> Response<Body> {
        for action in self.controls.faults.strike(Point::After, self.rpc, &self.resource) {
            match action {
                Action::Delay(time) => self.controls.engine.sleep(time).await,
                Action::Answer(status) => answer = status.into_http(),
                Action::Cut => return self.end(Ending::Cut),
                Action::Reset(reason) => return self.end(Ending::Reset(reason)),
                Action::GoAway(reason) => self.fate.decide(Ending::GoAway(reason)),
                Action::Truncate => self.fate.decide(Ending::Truncate),
                Action::Corrupt => self.fate.decide(Ending::Corrupt),
                // What lags is made, and there is no way to ask for these here.
                Action::Lag(_) | Action::Maintain => {}
            }
        }
        self.close(answer)
    }

    /// Ends the call without an answer: the one given here is not sent.
    fn end(&self, ending: Ending) -> Response<Body> {
        self.fate.decide(ending);
        Status::unavailable("A fault has ended this call.").into_http()
    }

    /// Notes the answer.
    fn close(&self, answer: Response<Body>) -> Response<Body> {
        // A handler that has failed says so in the head; one that has not says so behind its message.
        let code = Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code());
        self.controls.journal.close(self.entry, code, self.controls.engine.now());
        answer
    }
}

/// The job that a resource is or belongs to; nothing for all jobs of a list, and for operations.
fn job_of(resource: &str) -> Option<JobName> {
    let (location, rest) = resource.split_once("/jobs/")?;
    let job: JobName = format!("{location}/jobs/{}", rest.split('/').next()?).parse().ok()?;
    Some(job).filter(|job| !job.is_wildcard())
}
