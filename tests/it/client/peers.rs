//! What a start ends in when the peer is not a healthy Cloud Run: each test plays one peer over a real socket.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, server::SendResponse};
use runjob::{Client, Credentials, Error, ErrorKind, JobName};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

fn job() -> JobName {
    "projects/acme/locations/us-central1/jobs/echo".parse().expect("a job name")
}

/// A peer that treats every connection alike.
struct Peer {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn peer<F, Fut>(connection: F) -> Peer
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let accepting = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(connection(socket));
        }
    });
    Peer { address, accepting }
}

/// A peer that speaks HTTP/2 and answers each request, once it has been read whole, by `answer`.
async fn http2(answer: fn(SendResponse<Bytes>)) -> Peer {
    peer(move |socket| async move {
        let Ok(mut connection) = h2::server::handshake(socket).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::spawn(async move {
                let mut body = request.into_body();
                while let Some(Ok(bytes)) = body.data().await {
                    let _ = body.flow_control().release_capacity(bytes.len());
                }
                answer(respond);
            });
        }
    })
    .await
}

/// How a start at this endpoint ends.
async fn start_at(endpoint: String) -> Error {
    let client = Client::builder()
        .endpoint(endpoint)
        .credentials(Credentials::anonymous())
        .rpc_timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_secs(2))
        .build()
        .await
        .expect("a client");
    client.run(&job()).start().await.expect_err("no peer here starts anything")
}

async fn start(peer: &Peer) -> Error {
    start_at(format!("http://{}", peer.address)).await
}

#[tokio::test]
async fn a_closed_port_has_started_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let error = start_at(format!("http://{address}")).await;
    assert_eq!(error.kind(), ErrorKind::NotStarted, "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert_eq!(error.resource(), Some(job().to_string().as_str()));
}

#[tokio::test]
async fn a_peer_that_closes_at_once_has_started_nothing() {
    let peer = peer(|socket| async move { drop(socket) }).await;
    let error = start(&peer).await;
    // The request may have left before the close was seen, which proves nothing.
    assert!(matches!(error.kind(), ErrorKind::NotStarted | ErrorKind::StartUnknown), "{error}");
}

#[tokio::test]
async fn an_http1_server_is_no_grpc_server_and_has_started_nothing() {
    let peer = peer(|mut socket| async move {
        let mut bytes = [0; 1024];
        let _ = socket.read(&mut bytes).await;
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        let _ = socket.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let error = start(&peer).await;
    assert_eq!(error.kind(), ErrorKind::NotStarted, "{error}");
    assert!(error.to_string().contains("HTTP/1"), "{error}");
}

#[tokio::test]
async fn a_tls_port_spoken_to_in_plaintext_has_started_nothing() {
    let peer = peer(|mut socket| async move {
        let mut bytes = [0; 1024];
        let _ = socket.read(&mut bytes).await;
        // What a TLS server says to a first byte that is no handshake: the alert "unexpected message".
        let _ = socket.write_all(&[21, 3, 3, 0, 2, 2, 10]).await;
        let _ = socket.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let error = start(&peer).await;
    assert_eq!(error.kind(), ErrorKind::NotStarted, "{error}");
    assert!(error.to_string().contains("https://"), "{error}");
}

#[tokio::test]
async fn a_plaintext_port_spoken_to_in_tls_has_started_nothing() {
    let peer = http2(|_| {}).await;
    let error = start_at(format!("https://{}", peer.address)).await;
    assert_eq!(error.kind(), ErrorKind::NotStarted, "{error}");
}

#[tokio::test]
async fn a_refused_stream_has_started_nothing() {
    let peer = http2(|mut respond| respond.send_reset(Reason::REFUSED_STREAM)).await;
    let error = start(&peer).await;
    assert_eq!(error.kind(), ErrorKind::NotStarted, "{error}");
}

/// A peer that refuses the first `refusals` streams, and then answers that there is no such job.
async fn refusing(refusals: usize) -> (Peer, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    let peer = peer(move |socket| {
        let seen = Arc::clone(&seen);
        async move {
            let Ok(mut connection) = h2::server::handshake(socket).await else { return };
            while let Some(Ok((_request, mut respond))) = connection.accept().await {
                if seen.fetch_add(1, Relaxed) < refusals {
                    respond.send_reset(Reason::REFUSED_STREAM);
                } else {
                    status(&mut respond, "5");
                }
            }
        }
    })
    .await;
    (peer, requests)
}

#[tokio::test]
async fn a_start_that_was_refused_unprocessed_is_sent_again() {
    let (peer, requests) = refusing(2).await;
    let error = start(&peer).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Rejected, Some(tonic::Code::NotFound)), "{error}");
    assert_eq!(requests.load(Relaxed), 3);
}

#[tokio::test]
async fn a_peer_that_always_refuses_is_not_asked_for_ever() {
    let (peer, requests) = refusing(usize::MAX).await;
    assert_eq!(start(&peer).await.kind(), ErrorKind::NotStarted);
    assert_eq!(requests.load(Relaxed), 3);
}

#[tokio::test]
async fn a_start_waits_for_a_server_that_comes_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let starting = tokio::spawn(start_at(format!("http://{address}")));
    // The first attempts are refused by the kernel; how many there were does not matter.
    tokio::task::yield_now().await;
    let listener = TcpListener::bind(address).await.expect("the port is still free");
    let (socket, _) = listener.accept().await.expect("a connection");
    let mut connection = h2::server::handshake(socket).await.expect("HTTP/2");
    let (_request, mut respond) = connection.accept().await.expect("a request").expect("a whole one");
    status(&mut respond, "5");
    tokio::spawn(async move { while connection.accept().await.is_some() {} });
    let error = starting.await.expect("no panic");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Rejected, Some(tonic::Code::NotFound)), "{error}");
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted_is_not_tried_again() {
    let peer = peer(|mut socket| async move {
        let mut bytes = [0; 4096];
        let _ = socket.read(&mut bytes).await;
        // A TLS alert: handshake failure.
        let _ = socket.write_all(&[21, 3, 3, 0, 2, 2, 40]).await;
    })
    .await;
    let error = start_at(format!("https://{}", peer.address)).await;
    assert_eq!(error.kind(), ErrorKind::NotStarted, "{error}");
    assert!(!error.is_retryable(), "{error}");
}

#[tokio::test]
async fn after_silence_the_next_call_has_a_connection_of_its_own() {
    let (seen, mut connections) = tokio::sync::mpsc::unbounded_channel();
    let peer = peer(move |socket| {
        let seen = seen.clone();
        async move {
            let _ = seen.send(());
            let Ok(mut connection) = h2::server::handshake(socket).await else { return };
            let mut held = Vec::new();
            while let Some(Ok((_request, respond))) = connection.accept().await {
                held.push(respond);
            }
        }
    })
    .await;
    let client = Client::builder()
        .endpoint(format!("http://{}", peer.address))
        .credentials(Credentials::anonymous())
        .rpc_timeout(Duration::from_millis(100))
        .build()
        .await
        .expect("a client");
    for _ in 0..2 {
        let error = client.job(&job()).await.expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
        connections.recv().await.expect("a connection");
    }
}

#[tokio::test]
async fn a_stream_that_breaks_otherwise_may_have_started_something() {
    for answer in [
        (|mut respond| respond.send_reset(Reason::INTERNAL_ERROR)) as fn(SendResponse<Bytes>),
        |mut respond| respond.send_reset(Reason::CANCEL),
        |mut respond| respond.send_reset(Reason::ENHANCE_YOUR_CALM),
    ] {
        let peer = http2(answer).await;
        let error = start(&peer).await;
        assert_eq!(error.kind(), ErrorKind::StartUnknown, "{error}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn an_error_page_of_a_front_end_leaves_the_start_unknown() {
    let peer = http2(|mut respond| {
        let page = http::Response::builder().status(503).header("content-type", "text/html").body(());
        if let Ok(mut body) = respond.send_response(page.expect("a page"), false) {
            let _ = body.send_data(Bytes::from_static(b"<html>try later</html>"), true);
        }
    })
    .await;
    let error = start(&peer).await;
    assert_eq!(error.kind(), ErrorKind::StartUnknown, "{error}");
    assert!(error.to_string().contains("HTTP status 503"), "{error}");
}

/// A gRPC answer without a message: only a status.
fn status(respond: &mut SendResponse<Bytes>, code: &'static str) {
    let head = http::Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", code)
        .header("grpc-message", "as%20told");
    let _ = respond.send_response(head.body(()).expect("a head"), true);
}

#[tokio::test]
async fn a_refusal_by_the_service_is_told_with_its_code() {
    let peer = http2(|mut respond| status(&mut respond, "7")).await;
    let error = start(&peer).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Rejected, Some(tonic::Code::PermissionDenied)), "{error}");
    assert_eq!(error.to_string(), format!("could not start {}: PERMISSION_DENIED: as told", job()));
}

#[tokio::test]
async fn an_unavailable_service_leaves_the_start_unknown() {
    let peer = http2(|mut respond| status(&mut respond, "14")).await;
    assert_eq!(start(&peer).await.kind(), ErrorKind::StartUnknown);
}

#[tokio::test]
async fn an_answer_that_names_no_execution_leaves_the_start_unknown() {
    let peer = http2(|mut respond| {
        let head = http::Response::builder().header("content-type", "application/grpc");
        if let Ok(mut body) = respond.send_response(head.body(()).expect("a head"), false) {
            // An empty Operation.
            let _ = body.send_data(Bytes::from_static(&[0, 0, 0, 0, 0]), false);
            let trailers = http::HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static("0"),
            )]);
            let _ = body.send_trailers(trailers);
        }
    })
    .await;
    assert_eq!(start(&peer).await.kind(), ErrorKind::StartUnknown);
}

#[tokio::test]
async fn the_deadline_covers_connecting() {
    // Accepts nothing: the connection stays in the kernel's queue, and TLS waits for a hello that never comes.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let client = Client::builder()
        .endpoint(format!("https://{address}"))
        .credentials(Credentials::anonymous())
        .rpc_timeout(Duration::from_millis(100))
        .build()
        .await
        .expect("a client");
    let error = client.run(&job()).start().await.expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::NotStarted, "{error}");
}

#[tokio::test]
async fn a_silent_peer_leaves_the_start_unknown_after_the_deadline() {
    let peer = http2(std::mem::forget).await;
    let client = Client::builder()
        .endpoint(format!("http://{}", peer.address))
        .credentials(Credentials::anonymous())
        .rpc_timeout(Duration::from_millis(200))
        .build()
        .await
        .expect("a client");
    let error = client.run(&job()).start().await.expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::StartUnknown, "{error}");
}

#[tokio::test]
async fn a_token_is_not_sent_in_plaintext_to_another_machine() {
    let token = Credentials::access_token("canary").expect("a token");
    let build = |endpoint: &str| Client::builder().endpoint(endpoint).credentials(token.clone()).build();
    let error = build("http://192.0.2.1:80").await.expect_err("plaintext");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(!error.to_string().contains("canary"));
    assert!(build("http://127.0.0.1:1").await.is_ok());
    assert!(build("https://192.0.2.1").await.is_ok());
}

#[tokio::test]
async fn every_request_carries_the_headers_that_google_wants_and_a_token_none_can_see() {
    let (seen, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let peer = peer(move |socket| {
        let seen = seen.clone();
        async move {
            let Ok(mut connection) = h2::server::handshake(socket).await else { return };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let _ = seen.send(request.headers().clone());
                status(&mut respond, "5");
            }
        }
    })
    .await;
    let client = Client::builder()
        .endpoint(format!("http://{}", peer.address))
        .credentials(Credentials::access_token("canary").expect("a token"))
        .quota_project("payer")
        .build()
        .await
        .expect("a client");
    let execution = job().execution("echo-abcde").expect("a name");
    let _ = client.run(&job()).start().await;
    let _ = client.execution(&execution).await;

    let start = requests.recv().await.expect("a start");
    assert_eq!(start["x-goog-request-params"], "location=us-central1");
    assert_eq!(start["authorization"], "Bearer canary");
    assert_eq!(start["x-goog-user-project"], "payer");
    assert!(start["user-agent"].to_str().expect("text").starts_with("runjob/"));
    assert!(start["x-goog-api-client"].to_str().expect("text").starts_with("gccl/"));
    assert!(start.contains_key("grpc-timeout"));
    let read = requests.recv().await.expect("a read");
    assert_eq!(
        read["x-goog-request-params"],
        "name=projects%2Facme%2Flocations%2Fus-central1%2Fjobs%2Fecho%2Fexecutions%2Fecho-abcde"
    );
    assert!(!format!("{client:?}").contains("canary"));
}
