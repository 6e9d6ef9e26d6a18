//! The floor: the h2 crate, prost, and the headers that the client sends. No pool, no deadline, no second try.

use std::{future::poll_fn, sync::LazyLock};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::client::{self, SendRequest};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prost::Message;
use tokio::net::TcpStream;

use super::{API_CLIENT, Ask, CallResult, PAGE, REQUEST_PARAMS, USER_AGENT, Worker};
use crate::proto::{
    longrunning::{GetOperationRequest, Operation},
    run::v2::{Execution, GetExecutionRequest, ListExecutionsRequest, ListExecutionsResponse},
};

/// Calls in flight on one connection, as the client's pool has it.
const PER_CONNECTION: usize = 100;

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The headers that are the same for every call.
static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    HeaderMap::from_iter([
        (header::TE, HeaderValue::from_static("trailers")),
        (header::CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
        (HeaderName::from_static("grpc-timeout"), HeaderValue::from_static("60S")),
        (HeaderName::from_static("x-goog-api-client"), HeaderValue::from_static(API_CLIENT)),
        (header::USER_AGENT, HeaderValue::from_static(USER_AGENT)),
    ])
});

/// A lane; its clones share a connection.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    connection: SendRequest<Bytes>,
    paths: Paths,
}

#[derive(Clone, Debug)]
struct Paths {
    run_job: Uri,
    get_operation: Uri,
    get_execution: Uri,
    list_executions: Uri,
}

impl Raw {
    pub(super) async fn lanes(address: &str, width: usize) -> CallResult<Vec<Self>> {
        let mut lanes = Vec::new();
        while lanes.len() < width {
            let connection = Self::connect(address).await?;
            lanes.resize(width.min(lanes.len() + PER_CONNECTION), connection);
        }
        Ok(lanes)
    }

    async fn connect(address: &str) -> CallResult<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        // The windows of hyper, so that no arm waits for window updates more often than another.
        let mut settings = client::Builder::new();
        settings.initial_window_size(2 << 20).initial_connection_window_size(5 << 20);
        let (connection, driver) = settings.handshake(socket).await?;
        tokio::spawn(driver);
        let uri = |path| format!("http://{address}/{path}").parse::<Uri>();
        let paths = Paths {
            run_job: uri("google.cloud.run.v2.Jobs/RunJob")?,
            get_operation: uri("google.longrunning.Operations/GetOperation")?,
            get_execution: uri("google.cloud.run.v2.Executions/GetExecution")?,
            list_executions: uri("google.cloud.run.v2.Executions/ListExecutions")?,
        };
        Ok(Self { connection, paths })
    }

    async fn unary<T: Message + Default>(
        &mut self,
        uri: Uri,
        params: HeaderValue,
        message: &impl Message,
    ) -> CallResult<T> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = uri;
        request.headers_mut().clone_from(&HEADERS);
        request.headers_mut().insert(REQUEST_PARAMS, params);
        // The handle of the lane itself stays ready; a clone would have to wait for its turn anew.
        poll_fn(|cx| self.connection.poll_ready(cx)).await?;
        let (response, mut body) = self.connection.send_request(request, false)?;
        body.send_data(framed(message), true)?;
        let mut answer = response.await?.into_body();
        let mut bytes = BytesMut::new();
        while let Some(chunk) = answer.data().await {
            let chunk = chunk?;
            answer.flow_control().release_capacity(chunk.len())?;
            bytes.extend_from_slice(&chunk);
        }
        let trailers = answer.trailers().await?.unwrap_or_default();
        if trailers.get("grpc-status").is_none_or(|status| status != "0") || bytes.len() < 5 {
            return Err(format!("the trailers are {trailers:?}").into());
        }
        bytes.advance(5);
        Ok(T::decode(bytes)?)
    }
}

impl Worker for Raw {
    async fn start(&mut self, ask: &Ask) -> CallResult<String> {
        let region = ask.names.job.split('/').nth(3).unwrap_or_default();
        let params = HeaderValue::try_from(format!("location={region}"))?;
        let answer: Operation = self.unary(self.paths.run_job.clone(), params, &ask.start).await?;
        Ok(answer.name)
    }

    async fn poll(&mut self, operation: &str) -> CallResult<String> {
        let message = GetOperationRequest { name: operation.to_owned() };
        let answer: Operation =
            self.unary(self.paths.get_operation.clone(), params("name", operation)?, &message).await?;
        Ok(answer.name)
    }

    async fn get(&mut self, execution: &str) -> CallResult<String> {
        let message = GetExecutionRequest { name: execution.to_owned() };
        let answer: Execution =
            self.unary(self.paths.get_execution.clone(), params("name", execution)?, &message).await?;
        Ok(answer.name)
    }

    async fn list(&mut self, job: &str) -> CallResult<usize> {
        let message = ListExecutionsRequest {
            parent: job.to_owned(),
            page_size: PAGE as i32,
            ..ListExecutionsRequest::default()
        };
        let answer: ListExecutionsResponse =
            self.unary(self.paths.list_executions.clone(), params("parent", job)?, &message).await?;
        Ok(answer.executions.len())
    }
}

fn params(field: &str, name: &str) -> CallResult<HeaderValue> {
    Ok(HeaderValue::try_from(format!("{field}={}", utf8_percent_encode(name, RESERVED)))?)
}

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(length as u32);
    message.encode_raw(&mut frame);
    frame.freeze()
}
