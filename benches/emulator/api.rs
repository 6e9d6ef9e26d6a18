//! Callers of the emulator: the bare stubs, and REST over connections that are made and kept by hand.

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use runjob::{
    emulator::Emulator,
    proto::{
        longrunning::{GetOperationRequest, Operation, operations_client::OperationsClient},
        run::v2::{RunJobRequest, jobs_client::JobsClient},
    },
};
use tokio::net::TcpStream;
use tonic::{
    Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::Result;

pub(crate) const LOCATION: &str = "projects/demo/locations/us-central1";
/// Calls in flight on one connection of HTTP/2; the emulator allows twice as many.
const WIDTH: usize = 128;

/// What a caller asks for.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// RunJob of this job.
    Run(String),
    /// GetOperation of this operation.
    Poll(String),
}

/// A caller, who waits for each answer.
pub(crate) trait Caller: Send + Sized + 'static {
    /// So many callers, over as few connections as they need.
    fn many(emulator: &Emulator, count: usize) -> impl Future<Output = Result<Vec<Self>>>;

    /// Fails unless the answer is the operation that was asked for.
    fn call(&mut self, ask: &Ask) -> impl Future<Output = Result<()>> + Send;
}

/// Adds the header without which nothing is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routed;

impl Interceptor for Routed {
    fn call(&mut self, mut request: tonic::Request<()>) -> std::result::Result<tonic::Request<()>, Status> {
        let params = MetadataValue::from_static("location=us-central1");
        request.metadata_mut().insert("x-goog-request-params", params);
        Ok(request)
    }
}

pub(crate) type Wire = InterceptedService<Channel, Routed>;

/// A connection that is ready.
pub(crate) async fn connect(emulator: &Emulator) -> Result<Channel> {
    Ok(Endpoint::from_shared(format!("http://{}", address(emulator)?))?.tcp_nodelay(true).connect().await?)
}

/// By gRPC.
#[derive(Clone, Debug)]
pub(crate) struct Grpc {
    pub(crate) jobs: JobsClient<Wire>,
    pub(crate) operations: OperationsClient<Wire>,
}

impl Grpc {
    pub(crate) async fn connect(emulator: &Emulator) -> Result<Self> {
        let channel = connect(emulator).await?;
        let jobs = JobsClient::with_interceptor(channel.clone(), Routed);
        Ok(Self { jobs, operations: OperationsClient::with_interceptor(channel, Routed) })
    }

    pub(crate) async fn run(&mut self, job: &str) -> Result<Operation> {
        let request = RunJobRequest { name: job.to_owned(), ..RunJobRequest::default() };
        Ok(self.jobs.run_job(request).await?.into_inner())
    }
}

impl Caller for Grpc {
    async fn many(emulator: &Emulator, count: usize) -> Result<Vec<Self>> {
        let mut connections = Vec::new();
        for _ in 0..count.div_ceil(WIDTH) {
            connections.push(Self::connect(emulator).await?);
        }
        Ok(connections.into_iter().cycle().take(count).collect())
    }

    async fn call(&mut self, ask: &Ask) -> Result<()> {
        let operation = match ask {
            Ask::Run(job) => self.run(job).await?,
            Ask::Poll(name) => {
                let request = GetOperationRequest { name: name.clone() };
                self.operations.get_operation(request).await?.into_inner()
            }
        };
        expect(ask, &operation.name)
    }
}

/// By REST over HTTP/1.1: a connection for each caller.
#[derive(Debug)]
pub(crate) struct Http1 {
    connection: http1::SendRequest<Full<Bytes>>,
    host: String,
}

impl Caller for Http1 {
    async fn many(emulator: &Emulator, count: usize) -> Result<Vec<Self>> {
        let mut callers = Vec::new();
        for _ in 0..count {
            let (connection, driver) = http1::handshake(dial(emulator).await?).await?;
            tokio::spawn(driver);
            callers.push(Self { connection, host: address(emulator)? });
        }
        Ok(callers)
    }

    async fn call(&mut self, ask: &Ask) -> Result<()> {
        self.connection.ready().await?;
        let mut request = request(ask, "")?;
        request.headers_mut().insert(header::HOST, self.host.parse()?);
        read(ask, self.connection.send_request(request).await?).await
    }
}

/// By REST over HTTP/2 without TLS.
#[derive(Clone, Debug)]
pub(crate) struct Http2 {
    connection: http2::SendRequest<Full<Bytes>>,
    origin: String,
}

impl Caller for Http2 {
    async fn many(emulator: &Emulator, count: usize) -> Result<Vec<Self>> {
        let mut connections = Vec::new();
        for _ in 0..count.div_ceil(WIDTH) {
            let (connection, driver) = http2::handshake(TokioExecutor::new(), dial(emulator).await?).await?;
            tokio::spawn(driver);
            connections.push(Self { connection, origin: format!("http://{}", address(emulator)?) });
        }
        Ok(connections.into_iter().cycle().take(count).collect())
    }

    async fn call(&mut self, ask: &Ask) -> Result<()> {
        self.connection.ready().await?;
        read(ask, self.connection.send_request(request(ask, &self.origin)?).await?).await
    }
}

fn address(emulator: &Emulator) -> Result<String> {
    Ok(emulator.addr().ok_or("an emulator with a listener has an address")?.to_string())
}

async fn dial(emulator: &Emulator) -> Result<TokioIo<TcpStream>> {
    let socket = TcpStream::connect(address(emulator)?).await?;
    socket.set_nodelay(true)?;
    Ok(TokioIo::new(socket))
}

fn request(ask: &Ask, origin: &str) -> Result<Request<Full<Bytes>>> {
    let (method, uri, body) = match ask {
        Ask::Run(job) => (Method::POST, format!("{origin}/v2/{job}:run"), "{}"),
        Ask::Poll(operation) => (Method::GET, format!("{origin}/v2/{operation}"), ""),
    };
    let mut request = Request::new(Full::from(body));
    (*request.method_mut(), *request.uri_mut()) = (method, uri.parse()?);
    if !body.is_empty() {
        request.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse()?);
    }
    Ok(request)
}

/// Reads the JSON, as the stubs read the message.
async fn read(ask: &Ask, response: Response<Incoming>) -> Result<()> {
    let body = response.into_body().collect().await?.to_bytes();
    let operation: serde_json::Value = serde_json::from_slice(&body)?;
    expect(ask, operation["name"].as_str().unwrap_or_default())
}

fn expect(ask: &Ask, name: &str) -> Result<()> {
    let expected = match ask {
        Ask::Run(_) => name.starts_with(LOCATION),
        Ask::Poll(operation) => name == operation,
    };
    if expected { Ok(()) } else { Err(format!("{ask:?} was answered with the operation \"{name}\"").into()) }
}
