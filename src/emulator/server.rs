//! One port, and connections without one, in front of the services. Knows no message.

mod accept;
pub(crate) mod connector;
mod crowd;
mod deadline;
mod fate;
pub(crate) mod gate;
mod line;
mod point;

use std::{io, sync::Arc};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tonic::{service::Routes, transport::server::Server};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::layer::layer_fn;

use self::{
    deadline::Deadlines,
    fate::Fates,
    gate::{Gate, Rules},
    line::Tapped,
    point::Points,
};
use crate::{
    emulator::{
        EmulatorError, admin,
        controls::Controls,
        logs::Logs,
        rest::{self, Rest},
        service,
        v1::V1,
    },
    proto::{
        DESCRIPTORS,
        longrunning::operations_server,
        run::v2::{executions_server, jobs_server, tasks_server},
    },
};

pub(crate) use self::{
    accept::{accept, bind},
    crowd::Crowd,
};

/// The services that reflection lists; its own come by themselves.
const SERVED: [&str; 5] = [
    jobs_server::SERVICE_NAME,
    executions_server::SERVICE_NAME,
    tasks_server::SERVICE_NAME,
    operations_server::SERVICE_NAME,
    "grpc.health.v1.Health",
];

/// Calls in flight on one connection; more wait at the client.
const MAX_STREAMS: u32 = 256;
/// All headers of one call.
const MAX_HEADERS: u32 = 16 * 1024;

/// The API, watched, with health, reflection and the emulator's own pages.
pub(crate) async fn routes(controls: &Arc<Controls>) -> Result<Routes, EmulatorError> {
    let (health, health_service) = tonic_health::server::health_reporter();
    for name in [
        "",
        jobs_server::SERVICE_NAME,
        executions_server::SERVICE_NAME,
        tasks_server::SERVICE_NAME,
        operations_server::SERVICE_NAME,
    ] {
        report_serving(&health, name).await;
    }
    let reflection = || {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_file_descriptor_set(rest::details());
        // Services that the protos define but the emulator does not serve are not listed.
        SERVED.into_iter().fold(builder, |builder, name| builder.with_service_name(name))
    };
    let v1 = reflection().build_v1().map_err(EmulatorError::reflection)?;
    // Older tools ask for nothing else.
    let v1alpha = reflection().build_v1alpha().map_err(EmulatorError::reflection)?;
    let watch = {
        let controls = Arc::clone(controls);
        layer_fn(move |inner| Points::new(inner, &controls))
    };
    let api = service::routes(&controls.engine).into_axum_router().layer(watch);
    let routes = Routes::from(api.merge(admin::router(controls)));
    Ok(routes.add_service(health_service).add_service(v1).add_service(v1alpha))
}

/// Serves connections until `stop` turns true.
pub(crate) async fn serve<I>(
    connections: impl Stream<Item = io::Result<I>>,
    crowd: Arc<Crowd>,
    routes: Routes,
    api: Arc<rest::Api>,
    rules: Arc<Rules>,
    logs: Arc<Logs>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), EmulatorError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stopped = async move {
        // A stopper that is gone wants the same.
        _ = stop.wait_for(|stop| *stop).await;
    };
    Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADERS)
        .accept_http1(true)
        .layer(layer_fn(move |inner| {
            let v2 = Rest::new(Gate::new(inner, Arc::clone(&rules)), Arc::clone(&api), Arc::clone(&rules));
            Deadlines(Fates(V1::new(v2, Arc::clone(&rules), Arc::clone(&logs))))
        }))
        .add_routes(routes)
        .serve_with_incoming_shutdown(
            connections.map(|socket| socket.map(|socket| Tapped::new(socket, crowd.enter()))),
            stopped,
        )
        .await
        .map_err(EmulatorError::serve)
}

/// What comes in by [`connector::Connector`].
pub(crate) fn dialled(mut calls: connector::Calls) -> impl Stream<Item = io::Result<tokio::io::DuplexStream>> {
    stream::poll_fn(move |context| calls.poll_recv(context).map(|call| call.map(Ok)))
}

async fn report_serving(health: &HealthReporter, name: &str) {
    health.set_service_status(name, ServingStatus::Serving).await;
}
