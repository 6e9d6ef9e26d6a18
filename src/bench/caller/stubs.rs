//! The generated stubs, over whatever carries them.

use std::time::Duration;

use tonic::{
    Request,
    body::Body,
    client::GrpcService,
    codegen::{Body as HttpBody, Bytes, StdError as BoxError},
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};

use super::{API_CLIENT, Ask, CallResult, PAGE, USER_AGENT, Worker};
use crate::{
    name::JobName,
    proto::{
        longrunning::{GetOperationRequest, operations_client::OperationsClient},
        run::v2::{
            GetExecutionRequest, ListExecutionsRequest, executions_client::ExecutionsClient, jobs_client::JobsClient,
        },
    },
    transport::Routing,
};

/// What the verbs give a call by default.
const RPC_TIMEOUT: Duration = Duration::from_secs(60);

/// Pages of 100 executions may pass the limit of tonic.
const PAGE_BYTES: usize = 64 << 20;

/// What the stubs send beside the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Headers {
    /// Nothing.
    None,
    /// A deadline and the routing header: over a transport that adds the rest.
    Routing,
    /// A deadline and all headers of the client.
    All,
}

#[derive(Clone, Debug)]
pub(super) struct Stubs<T> {
    jobs: JobsClient<T>,
    operations: OperationsClient<T>,
    executions: ExecutionsClient<T>,
    headers: Headers,
    /// What starts are routed by, once it is known.
    location: Option<Routing>,
}

impl Stubs<Channel> {
    pub(super) async fn over_channel(address: &str, headers: Headers) -> CallResult<Self> {
        let mut endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        if headers == Headers::All {
            endpoint = endpoint.user_agent(USER_AGENT)?;
        }
        Ok(Self::new(endpoint.connect().await?, headers))
    }
}

impl<T> Stubs<T>
where
    T: GrpcService<Body> + Clone,
    T::Error: Into<BoxError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<BoxError> + Send,
{
    pub(super) fn new(transport: T, headers: Headers) -> Self {
        Self {
            jobs: JobsClient::new(transport.clone()),
            operations: OperationsClient::new(transport.clone()),
            executions: ExecutionsClient::new(transport).max_decoding_message_size(PAGE_BYTES),
            headers,
            location: None,
        }
    }

    fn request<M>(&self, message: M, routing: impl FnOnce() -> Routing) -> Request<M> {
        if self.headers == Headers::None {
            return Request::new(message);
        }
        let mut request = routing().request(message);
        request.set_timeout(RPC_TIMEOUT);
        if self.headers == Headers::All {
            request.metadata_mut().insert("x-goog-api-client", MetadataValue::from_static(API_CLIENT));
        }
        request
    }

    /// A backend knows its location; so the name is read once.
    fn location(&mut self, job: &str) -> CallResult<Routing> {
        if self.location.is_none() {
            self.location = Some(Routing::location(job.parse::<JobName>()?.location()));
        }
        self.location.clone().ok_or_else(|| "it has just been set".into())
    }
}

impl<T> Worker for Stubs<T>
where
    T: GrpcService<Body> + Clone + Send + Sync + 'static,
    T::Error: Into<BoxError>,
    T::Future: Send,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<BoxError> + Send,
{
    async fn start(&mut self, ask: &Ask) -> CallResult<String> {
        let location = self.location(&ask.names.job)?;
        let request = self.request(ask.start.clone(), || location);
        Ok(self.jobs.run_job(request).await?.into_inner().name)
    }

    async fn poll(&mut self, operation: &str) -> CallResult<String> {
        let message = GetOperationRequest { name: operation.to_owned() };
        let request = self.request(message, || Routing::name(&operation));
        Ok(self.operations.get_operation(request).await?.into_inner().name)
    }

    async fn get(&mut self, execution: &str) -> CallResult<String> {
        let message = GetExecutionRequest { name: execution.to_owned() };
        let request = self.request(message, || Routing::name(&execution));
        Ok(self.executions.get_execution(request).await?.into_inner().name)
    }

    async fn list(&mut self, job: &str) -> CallResult<usize> {
        let message = ListExecutionsRequest {
            parent: job.to_owned(),
            page_size: PAGE as i32,
            ..ListExecutionsRequest::default()
        };
        let request = self.request(message, || Routing::parent(&job));
        Ok(self.executions.list_executions(request).await?.into_inner().executions.len())
    }
}
