//! HTTP/1.1 on hyper: REST.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;

use super::{Counted, Service};

pub(super) async fn serve(socket: Counted, service: Service) {
    let answer = service_fn(|request: Request<Incoming>| {
        let service = service.clone();
        async move {
            let _open = service.tally.open();
            let (head, body) = request.into_parts();
            // A client that has disconnected gets no answer.
            let _ = body.collect().await;
            // What has come in at the same time is counted before it is answered.
            tokio::task::yield_now().await;
            let mut response = Response::new(Full::<Bytes>::new(service.answer(head.uri.path()).json.clone()));
            let kind = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            Ok::<_, Infallible>(response)
        }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
}
