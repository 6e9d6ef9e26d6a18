//! One gRPC call within this process, of a message that only its descriptor knows.

use std::convert::Infallible;

use http::{HeaderMap, Request, Response, Uri, header, request::Parts};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tonic::{
    Status,
    body::Body,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::{AsciiMetadataValue, MetadataMap},
};
use tower::Service;

use super::route::Binding;
use crate::emulator::{rest_only::RestOnly, server::gate::ROUTING_HEADER};

/// Headers of an HTTP request that mean the same in gRPC, beside all that begin with `x-goog-`.
const KEPT: [header::HeaderName; 3] = [header::AUTHORIZATION, header::HOST, header::USER_AGENT];

/// What answers gRPC calls of this process.
pub(crate) trait Handler:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Handler for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// The answer of `handler`, for the request whose head is given. What only REST has goes beside the message.
pub(super) async fn unary(
    handler: impl Handler,
    binding: &Binding,
    routing: Option<AsciiMetadataValue>,
    mut head: Parts,
    (message, rest_only): (DynamicMessage, RestOnly),
) -> Result<DynamicMessage, Status> {
    let mut metadata = MetadataMap::from_headers(kept(&head.headers));
    metadata.remove(ROUTING_HEADER);
    if let Some(routing) = routing {
        metadata.insert(ROUTING_HEADER, routing);
    }
    head.extensions.insert(rest_only);
    let request = tonic::Request::from_parts(metadata, head.extensions, message);
    // HTTP has no limit for answers.
    let mut grpc = Grpc::with_origin(handler, origin(head.uri)).max_decoding_message_size(usize::MAX);
    let Ok(()) = grpc.ready().await;
    let answer = grpc.unary(request, binding.rpc.clone(), Dynamic(binding.response.clone())).await?;
    Ok(answer.into_inner())
}

fn kept(headers: &HeaderMap) -> HeaderMap {
    let kept = headers.iter().filter(|(name, _)| KEPT.contains(name) || name.as_str().starts_with("x-goog-"));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// To whom the request was addressed, where HTTP/2 says it.
fn origin(uri: Uri) -> Uri {
    let mut parts = uri.into_parts();
    parts.path_and_query = parts.authority.as_ref().map(|_| http::uri::PathAndQuery::from_static("/"));
    Uri::from_parts(parts).unwrap_or_default()
}

/// Messages of one type in answers, of any in requests.
#[derive(Debug)]
struct Dynamic(MessageDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        Self(self.0.clone())
    }

    fn decoder(&mut self) -> Self::Decoder {
        Self(self.0.clone())
    }
}

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.clone(), buffer);
        message.map(Some).map_err(|error| Status::internal(format!("The answer is not a message: {error}")))
    }
}
