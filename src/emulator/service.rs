//! The gRPC services: messages in, events for the machine, messages out. No rules of their own.

mod executions;
mod jobs;
mod operations;
mod page;
mod tasks;

use std::{str::FromStr, sync::Arc};

use tonic::service::Routes;

use self::{executions::ExecutionsService, jobs::JobsService, operations::OperationsService, tasks::TasksService};
use crate::{
    emulator::{engine::Engine, refusal::Refusal},
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

/// The resource name in a field of a request.
fn name<N: FromStr<Err = NameError>>(field: &str, text: &str) -> Result<N, Refusal> {
    text.parse().map_err(|error| Refusal::malformed_name(field, &error))
}
