//! The same services as REST: an HTTP request with JSON in, one gRPC call of this process, JSON out.
//!
//! A request is transcoded by the HTTP rules in the descriptors, so that an RPC has its route by being in a proto, and goes
//! through everything that a gRPC call goes through: the two can never differ. Knows HTTP and JSON, and no message.
//!
//! On prost-reflect, which has the JSON of any message and expands `Any`: `rest_over_grpc` needs a newer Rust than this
//! crate and a second set of generated types, and the proxies that can be had answer errors in words of their own.

mod ahead;
mod answer;
mod call;
mod fields;
mod json;
mod query;
mod request;
mod route;
mod template;

use std::{
    convert::Infallible,
    error::Error as StdError,
    mem,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use prost_types::FileDescriptorSet;
use tokio::time::timeout;
use tonic::{Status, body::Body};
use tower::Service;

pub(crate) use self::{answer::name as code_name, call::Handler};
use self::{
    answer::{Answerer, RestError},
    fields::Fields,
    query::Query,
    route::Routes,
};
use crate::{
    emulator::{EmulatorError, server::gate::Rules, service::BODY_LIMIT},
    proto::DESCRIPTORS,
};

/// Bytes in the body of one request, as for a gRPC message.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Where the emulator's own pages are, which are no part of the API.
const OWN_PAGES: &str = "/emulator/";

/// What the descriptors say of the API over HTTP.
#[derive(Debug)]
pub(crate) struct Api {
    routes: Routes,
    answerer: Answerer,
}

impl Api {
    pub(crate) fn new() -> Result<Self, EmulatorError> {
        let mut pool = DescriptorPool::decode(DESCRIPTORS).map_err(EmulatorError::descriptors)?;
        pool.add_file_descriptor_set(details()).map_err(EmulatorError::descriptors)?;
        Ok(Self { routes: Routes::new(&pool), answerer: Answerer::new(pool) })
    }
}

/// What the details of an error can be. `google.rpc.Status` beside them is in the API's own protos already.
pub(crate) fn details() -> FileDescriptorSet {
    let mut set = FileDescriptorSet::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).unwrap_or_default();
    set.file.retain(|file| file.name() == "error_details.proto");
    set
}

/// Answers REST requests by calls to `inner`, and leaves gRPC calls to it.
#[derive(Clone, Debug)]
pub(crate) struct Rest<S> {
    inner: S,
    api: Arc<Api>,
    rules: Arc<Rules>,
}

impl<S> Rest<S> {
    pub(crate) fn new(inner: S, api: Arc<Api>, rules: Arc<Rules>) -> Self {
        Self { inner, api, rules }
    }
}

impl<S: Handler<Future: 'static>> Service<Request<Body>> for Rest<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if is_grpc(request.headers()) || request.uri().path().starts_with(OWN_PAGES) {
            return Box::pin(self.inner.call(request));
        }
        // The clone has not been asked whether it is ready, and this one has.
        let waiting = self.inner.clone();
        let inner = mem::replace(&mut self.inner, waiting);
        let (api, rules) = (Arc::clone(&self.api), Arc::clone(&self.rules));
        Box::pin(async move { Ok(answer(inner, &api, &rules, request).await) })
    }
}

async fn answer(inner: impl Handler, api: &Api, rules: &Rules, request: Request<Body>) -> Response<Body> {
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let style = query.style();
    match transcode(inner, api, rules, request, query).await {
        Ok((message, wanted)) => api.answerer.message(&message, style, |answer| {
            ahead::restore(answer, &|name| rules.engine.read(|machine| machine.rest_only(name)));
            wanted.select(answer);
        }),
        Err(failure) => api.answerer.failure(&failure, style),
    }
}

/// The answer of the RPC that the request stands for, and which parts of it are wanted.
async fn transcode(
    inner: impl Handler,
    api: &Api,
    rules: &Rules,
    request: Request<Body>,
    query: Query,
) -> Result<(DynamicMessage, Fields), RestError> {
    if let Some(status) = rules.foreign(&request) {
        return Err(RestError::of(status));
    }
    let (head, body) = request.into_parts();
    query.check()?;
    let wanted = query.wanted()?;
    let (binding, variables) = api.routes.find(&head.method, head.uri.path())?;
    let body = read(&head.headers, body).await?;
    let message = request::message(binding, &variables, query, &body)?;
    Ok((call::unary(inner, binding, binding.routing(&variables), head, message).await?, wanted))
}

/// The bytes of a body, which can only be JSON: a page can send other types without asking anybody.
async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, RestError> {
    let kind = headers.get(header::CONTENT_TYPE);
    let late = |_| RestError::new(StatusCode::REQUEST_TIMEOUT, Status::deadline_exceeded("The body did not come in."));
    let body = timeout(BODY_LIMIT, Limited::new(body, MAX_BODY).collect()).await.map_err(late)?;
    let body = body.map_err(unreadable)?.to_bytes();
    if !kind.map_or(body.is_empty(), is_json) {
        let text = "A body must come with the header `Content-Type: application/json`.";
        return Err(RestError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Status::invalid_argument(text)));
    }
    Ok(body)
}

fn unreadable(error: Box<dyn StdError + Send + Sync>) -> RestError {
    if error.is::<LengthLimitError>() {
        let text = format!("The body of a request must not be longer than {MAX_BODY} bytes.");
        return RestError::new(StatusCode::PAYLOAD_TOO_LARGE, Status::invalid_argument(text));
    }
    RestError::of(Status::invalid_argument(format!("The body of the request cannot be read: {error}")))
}

fn is_json(kind: &HeaderValue) -> bool {
    let essence = kind.to_str().ok().and_then(|kind| kind.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/grpc"))
}
