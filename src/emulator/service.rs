//! The gRPC services: messages in, events for the machine, messages out. No rules of their own, but that every request
//! has to be admitted.

mod executions;
mod jobs;
mod operations;
mod page;
mod tasks;

use std::{
    str::FromStr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use prost_types::Timestamp;
use tonic::{Request, service::Routes};

use self::{executions::ExecutionsService, jobs::JobsService, operations::OperationsService, tasks::TasksService};
use crate::{
    emulator::{
        engine::Engine,
        fault::Lag,
        iam::{Needs, Principal},
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
/// How long the body of a request may take to come in: that is 4 MiB at 1 Mbit/s.
pub(crate) const BODY_LIMIT: Duration = Duration::from_secs(30);

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
fn admit<R: Needs>(engine: &Engine, request: Request<R>) -> Result<(Principal, R), Refusal> {
    let (metadata, _, request) = request.into_parts();
    // What is no text is no token either.
    let authorization = metadata.get("authorization").map(|value| value.to_str().unwrap_or_default());
    let caller = engine.read(|machine| machine.authorize(authorization, &request))?;
    Ok((caller, request))
}

/// What a call sees when a fault makes its answer lag behind: only what is old enough.
#[derive(Clone, Copy, Debug)]
struct Visible(Option<SystemTime>);

impl Visible {
    fn by<R>(engine: &Engine, request: &Request<R>) -> Self {
        let lag = request.extensions().get::<Lag>();
        Self(lag.and_then(|Lag(time)| engine.now().checked_sub(*time)))
    }

    fn lags(self) -> bool {
        self.0.is_some()
    }

    fn has(self, created: Option<Timestamp>) -> bool {
        let created = created.and_then(|time| SystemTime::try_from(time).ok());
        self.0.is_none_or(|until| created.is_some_and(|created| created <= until))
    }
}

/// The resource name in a field of a request, with the id of its project also where that was named by its number. The
/// service is one for each region, and knows no wildcard for it.
fn name<N: FromStr<Err = NameError>>(engine: &Engine, field: &str, text: &str) -> Result<N, Refusal> {
    let mut segments: Vec<_> = text.split('/').collect();
    if segments.get(3) == Some(&"-") {
        return Err(Refusal::unimplemented());
    }
    let number = segments.get(1).filter(|project| project.starts_with(|first: char| first.is_ascii_digit()));
    let id = number.and_then(|number| engine.read(|machine| machine.project_id(number).map(str::to_owned)));
    if let Some(id) = &id {
        segments[1] = id;
    }
    segments.join("/").parse().map_err(|error| Refusal::malformed_name(field, &error))
}
