//! The generated stubs, over whatever carries them.

use std::time::Duration;

use runjob::{
    Routing,
    proto::{longrunning::operations_client::OperationsClient, run::v2::jobs_client::JobsClient},
};
use tonic::{
    Request,
    body::Body,
    client::GrpcService,
    codegen::{Body as HttpBody, Bytes, StdError as BoxError},
    metadata::MetadataValue,
};

use super::{API_CLIENT, Lane, expect, poll, start};
use crate::Result;

/// What the verbs give a call by default.
const RPC_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Stubs<T> {
    jobs: JobsClient<T>,
    operations: OperationsClient<T>,
    /// What starts are routed by, where calls have a deadline and a routing header.
    location: Option<Routing>,
    /// Whether they say who calls, which the client's transport does by itself.
    signed: bool,
}

impl<T> Stubs<T>
where
    T: GrpcService<Body> + Clone,
    T::Error: Into<BoxError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<BoxError> + Send,
{
    pub(super) fn new(transport: T, location: Option<Routing>, signed: bool) -> Self {
        let operations = OperationsClient::new(transport.clone());
        Self { jobs: JobsClient::new(transport), operations, location, signed }
    }

    fn request<M>(&self, message: M, routing: impl FnOnce(&Routing) -> Routing) -> Request<M> {
        let Some(location) = &self.location else { return Request::new(message) };
        let mut request = routing(location).request(message);
        request.set_timeout(RPC_TIMEOUT);
        if self.signed {
            request.metadata_mut().insert("x-goog-api-client", MetadataValue::from_static(API_CLIENT));
        }
        request
    }
}

impl<T> Lane for Stubs<T>
where
    T: GrpcService<Body> + Clone + Send + Sync + 'static,
    T::Error: Into<BoxError>,
    T::Future: Send,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<BoxError> + Send,
{
    async fn pair(&mut self) -> Result<()> {
        let request = self.request(start(), Routing::clone);
        let started = self.jobs.run_job(request).await?.into_inner();
        expect(&started)?;
        let request = self.request(poll(&started), |_| Routing::name(&started.name));
        expect(self.operations.get_operation(request).await?.get_ref())
    }
}
