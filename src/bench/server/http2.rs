//! HTTP/2 on the h2 crate: gRPC, and REST where the request says nothing of gRPC.

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response, header};

use super::{Counted, Service};

pub(super) async fn serve(socket: Counted, service: Service) {
    let mut settings = h2::server::Builder::new();
    settings
        .initial_window_size(2 << 20)
        .initial_connection_window_size(16 << 20)
        .max_send_buffer_size(4 << 20)
        .max_concurrent_streams(4_096);
    let Ok(mut connection) = settings.handshake(socket).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(request, respond, service.clone()));
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    service: Service,
) -> Result<(), h2::Error> {
    let _open = service.tally.open();
    let (head, mut body) = request.into_parts();
    while let Some(chunk) = body.data().await {
        body.flow_control().release_capacity(chunk?.len())?;
    }
    // What has come in with it is counted before it is answered.
    tokio::task::yield_now().await;
    let content = head.headers.get(header::CONTENT_TYPE);
    let is_grpc = content.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    let canned = service.answer(head.uri.path());
    let mut head = Response::new(());
    let kind = if is_grpc { "application/grpc" } else { "application/json" };
    head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if !is_grpc {
        head.headers_mut().insert(header::CONTENT_LENGTH, canned.json.len().into());
        return respond.send_response(head, false)?.send_data(canned.json.clone(), true);
    }
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(framed(&canned.protobuf), false)?;
    stream.send_trailers(HeaderMap::from_iter([(
        header::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]))
}

/// A message with the five bytes before it.
fn framed(message: &Bytes) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.extend_from_slice(message);
    frame.freeze()
}
