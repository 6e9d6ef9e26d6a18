//! The one loop around an RPC: attempt, classify, pause, attempt. Which RPC is none of its business.

use std::{fmt::Display, time::Duration};

use tonic::{Request, Response, Status};

use crate::{
    error::{Error, ErrorKind, Result},
    retry::{ReadPolicy, Verdict},
    transport::{Exchange, Routing, Transport},
};

/// Makes calls over one transport. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) transport: Transport,
    /// The limit of one attempt, connecting included.
    pub(crate) rpc_timeout: Duration,
}

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
    /// Makes the call once, within `limit`: it covers the token, the connection, the request and the answer.
    ///
    /// The limit is also sent as `grpc-timeout`, so that the service stops as well.
    pub(crate) async fn attempt<M, T>(
        &self,
        call: &Call<'_, M>,
        limit: Duration,
        rpc: &impl Rpc<M, T>,
    ) -> Result<T, Failure>
    where
        M: Clone + Send + Sync,
    {
        let exchange = Exchange::default();
        let mut request = call.routing.request(call.message.clone());
        request.set_timeout(limit);
        request.extensions_mut().insert(exchange.clone());
        let (verdict, error) = match tokio::time::timeout(limit, rpc.send(self.transport.clone(), request)).await {
            Ok(Ok(response)) => return Ok(response.into_inner()),
            Ok(Err(status)) => (exchange.verdict(&status), Error::from_status(status, exchange.foreign_status())),
            Err(_) => {
                let error = Error::new(ErrorKind::Deadline, format!("no answer within {} s", limit.as_secs_f32()));
                (exchange.unanswered(), error)
            }
        };
        Err(Failure { error: error.doing(call.verb, call.resource), verdict })
    }

    /// Makes a call without effect, again after a failure that may pass.
    pub(crate) async fn read<M, T>(&self, call: &Call<'_, M>, rpc: &impl Rpc<M, T>) -> Result<T>
    where
        M: Clone + Send + Sync,
    {
        let mut failures = 0;
        loop {
            let error = match self.attempt(call, self.rpc_timeout, rpc).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure.error,
            };
            failures += 1;
            match ReadPolicy::DEFAULT.next(failures, fastrand::f64()) {
                Some(pause) if is_transient(&error) => tokio::time::sleep(pause).await,
                _ => return Err(error),
            }
        }
    }

    /// Makes a call with an effect, once.
    pub(crate) async fn write<M, T>(&self, call: &Call<'_, M>, rpc: &impl Rpc<M, T>) -> Result<T>
    where
        M: Clone + Send + Sync,
    {
        self.attempt(call, self.rpc_timeout, rpc).await.map_err(|failure| failure.error)
    }
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

/// Whether a read is worth another attempt: a broken connection, or a service that is briefly not there (AIP-194).
///
/// A deadline is not: the caller's time is used up. Neither is a quota: more requests would make it worse.
fn is_transient(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Unreachable => true,
        ErrorKind::Service => error.code() == Some(tonic::Code::Unavailable),
        _ => false,
    }
}
