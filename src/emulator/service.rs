//! The gRPC services: messages in, events for the machine, messages out. No rules of their own, but that every request
//! has to be admitted.

mod executions;
mod jobs;
mod operations;
mod page;
mod tasks;

use std::{str::FromStr, sync::Arc};

use tonic::{Request, service::Routes};

use self::{executions::ExecutionsService, jobs::JobsService, operations::OperationsService, tasks::TasksService};
use crate::{
    emulator::{
        engine::Engine,
        iam::{Caller, Needs},
        refusal::Refusal,
    },
    name::NameError,
    proto::{
        longrunning::operations_server::OperationsServer,
        run::v2::{executions_server::ExecutionsServer, jobs_server::JobsServer, tasks_server::TasksServer},
    },
};

pub(crate) use self::jobs::define;

/// Of one request or answer.
pub(crate) const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// All services of the API over one engine.
pub(crate) fn routes(engine: &Arc<Engine>) -> Routes {
    let engine = || Arc::clone(engine);
    let mut routes = Routes::builder();
    routes
        .add_service(JobsServer::new(JobsService(engine())).max_decoding_message_size(MAX_MESSAGE))
        .add_service(ExecutionsServer::new(ExecutionsService(engine())).max_decoding_message_size(MAX_MESSAGE))
        .add_service(TasksServer::new(TasksService(engine())).max_decoding_message_size(MAX_MESSAGE))
        .add_service(OperationsServer::new(OperationsService(engine())).max_decoding_message_size(MAX_MESSAGE));
    routes.routes()
}

/// A request that its caller may make, and that caller. No handler gets at a request in another way.
fn admit<R: Needs>(engine: &Engine, request: Request<R>) -> Result<(Caller, R), Refusal> {
    let (metadata, _, request) = request.into_parts();
    // What is no text is no token either.
    let authorization = metadata.get("authorization").map(|value| value.to_str().unwrap_or_default());
    let caller = engine.read(|machine| machine.authorize(authorization, &request))?;
    Ok((caller, request))
}

/// The resource name in a field of a request. The service is one for each region, and knows none of all regions.
fn name<N: FromStr<Err = NameError>>(field: &str, text: &str) -> Result<N, Refusal> {
    if text.split('/').nth(3) == Some("-") {
        return Err(Refusal::unimplemented());
    }
    text.parse().map_err(|error| Refusal::malformed_name(field, &error))
}
