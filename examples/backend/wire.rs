//! What `tonic-prost-build` generates from this file, written out so that the example needs no build script:
//!
//! ```proto
//! package demo;
//!
//! service Screenshots {
//!   // Starts to take one. Taking the same order again takes nothing: it answers with the same ticket.
//!   rpc Take(Order) returns (Ticket);
//!   // How far it is, and how it ends.
//!   rpc Follow(Ticket) returns (stream News);
//! }
//!
//! message Order { string id = 1; string url = 2; }
//! message Ticket { string ticket = 1; }
//! message News { string phase = 1; uint32 succeeded = 2; uint32 tasks = 3; string outcome = 4; }
//! ```

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use http::uri::PathAndQuery;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    client,
    server::{self, NamedService},
    transport::Channel,
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

use super::Backend;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Order {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) url: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Ticket {
    #[prost(string, tag = "1")]
    pub(crate) ticket: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct News {
    #[prost(string, tag = "1")]
    pub(crate) phase: String,
    #[prost(uint32, tag = "2")]
    pub(crate) succeeded: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) tasks: u32,
    /// Empty until the end.
    #[prost(string, tag = "4")]
    pub(crate) outcome: String,
}

const TAKE: &str = "/demo.Screenshots/Take";
const FOLLOW: &str = "/demo.Screenshots/Follow";

#[derive(Clone)]
pub(crate) struct ScreenshotsServer(pub(crate) Arc<Backend>);

impl NamedService for ScreenshotsServer {
    const NAME: &'static str = "demo.Screenshots";
}

impl Service<http::Request<Body>> for ScreenshotsServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let backend = Arc::clone(&self.0);
        Box::pin(async move {
            Ok(match request.uri().path() {
                TAKE => {
                    let take = service_fn(|order| {
                        let backend = Arc::clone(&backend);
                        async move { backend.take(order).await }
                    });
                    server::Grpc::new(ProstCodec::default()).unary(take, request).await
                }
                FOLLOW => {
                    let follow = service_fn(|ticket| {
                        let backend = Arc::clone(&backend);
                        async move { backend.follow(ticket).await }
                    });
                    server::Grpc::new(ProstCodec::default()).server_streaming(follow, request).await
                }
                _ => Status::unimplemented("there is no such method").into_http(),
            })
        })
    }
}

pub(crate) struct ScreenshotsClient(client::Grpc<Channel>);

impl ScreenshotsClient {
    pub(crate) fn new(channel: Channel) -> Self {
        Self(client::Grpc::new(channel))
    }

    pub(crate) async fn take(&mut self, order: Order) -> Result<Response<Ticket>, Status> {
        self.ready().await?;
        self.0.unary(Request::new(order), PathAndQuery::from_static(TAKE), ProstCodec::default()).await
    }

    pub(crate) async fn follow(&mut self, ticket: Ticket) -> Result<Response<Streaming<News>>, Status> {
        self.ready().await?;
        self.0.server_streaming(Request::new(ticket), PathAndQuery::from_static(FOLLOW), ProstCodec::default()).await
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.0.ready().await.map_err(|error| Status::unavailable(error.to_string()))
    }
}
