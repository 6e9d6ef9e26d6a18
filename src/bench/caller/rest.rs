//! REST as a good client does it: kept connections and typed JSON from the same protos. What is packed in an operation stays
//! packed, as it does with the stubs.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{API_CLIENT, Ask, CallResult, PAGE, USER_AGENT, Worker};
use crate::proto::rest::google::cloud::run::v2::{Execution, ListExecutionsResponse};

/// Which HTTP.
#[derive(Clone, Copy, Debug)]
pub(super) enum HttpVersion {
    /// HTTP/1.1: a kept connection for each call in flight.
    One { width: usize },
    /// HTTP/2: all calls on one connection.
    Two,
}

#[derive(Clone, Debug)]
pub(super) struct RestWorker {
    client: Client<HttpConnector, Full<Bytes>>,
    origin: String,
}

/// As much of `google.longrunning.Operation` as a start or a poll is about.
#[derive(Debug, Deserialize)]
struct RestOperation {
    name: String,
    #[serde(default)]
    #[expect(dead_code, reason = "kept for the caller, as the stubs keep it")]
    metadata: Option<Box<RawValue>>,
}

impl RestWorker {
    pub(super) fn new(address: &str, http: HttpVersion) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new());
        match http {
            HttpVersion::One { width } => builder.pool_max_idle_per_host(width),
            // The windows of the other arms.
            HttpVersion::Two => builder
                .http2_only(true)
                .http2_initial_stream_window_size(2 << 20)
                .http2_initial_connection_window_size(5 << 20),
        };
        Self { client: builder.build(connector), origin: format!("http://{address}/v2/") }
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> CallResult<T> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", self.origin).parse()?;
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert("x-goog-api-client", HeaderValue::from_static(API_CLIENT));
        let response = self.client.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            return Err(format!("the status is {status}").into());
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

impl Worker for RestWorker {
    async fn start(&mut self, ask: &Ask) -> CallResult<String> {
        let body = serde_json::to_vec(&ask.start_in_json)?;
        let answer: RestOperation = self.ask(Method::POST, &format!("{}:run", ask.names.job), body.into()).await?;
        Ok(answer.name)
    }

    async fn poll(&mut self, operation: &str) -> CallResult<String> {
        let answer: RestOperation = self.ask(Method::GET, operation, Bytes::new()).await?;
        Ok(answer.name)
    }

    async fn get(&mut self, execution: &str) -> CallResult<String> {
        let answer: Execution = self.ask(Method::GET, execution, Bytes::new()).await?;
        Ok(answer.name)
    }

    async fn list(&mut self, job: &str) -> CallResult<usize> {
        let path = format!("{job}/executions?pageSize={PAGE}");
        let answer: ListExecutionsResponse = self.ask(Method::GET, &path, Bytes::new()).await?;
        Ok(answer.executions.len())
    }
}
