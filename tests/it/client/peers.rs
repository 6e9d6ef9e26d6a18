//! What a start ends in when the peer is not a healthy Cloud Run: each test plays one peer over a real socket.
//!
//! Run twice: here, and by `tests/bare` with a tonic without its server half, which reads h2's errors otherwise.
//! With `--nocapture` each test prints what it measured; `docs/reliability.md` has the table.

use std::{
    io,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use prost::Message as _;
use runjob::{
    Client, ClientBuilder, Credentials, Error, ErrorKind, JobName, Run,
    proto::{longrunning::Operation, run::v2::Execution},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
};
use tonic::Code;

use super::frames::{
    CANCEL, ENHANCE_YOUR_CALM, INITIAL_WINDOW_SIZE, INTERNAL_ERROR, LAST_STREAM, MAX_CONCURRENT_STREAMS, NO_ERROR,
    Peer, REFUSED_STREAM, http2, prefixed, raw,
};

fn job() -> JobName {
    "projects/acme/locations/us-central1/jobs/echo".parse().expect("a job name")
}

fn at(endpoint: impl Into<String>) -> ClientBuilder {
    Client::builder()
        .endpoint(endpoint)
        .credentials(Credentials::anonymous())
        .rpc_timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_secs(2))
}

pub(crate) fn to(peer: &Peer) -> ClientBuilder {
    at(format!("http://{}", peer.address))
}

pub(crate) async fn start(client: &Client) -> Result<Run, Error> {
    let result = client.run(&job()).start().await;
    let row = thread::current().name().unwrap_or_default().to_owned();
    match &result {
        Ok(_) => println!("{row}: started"),
        Err(error) => println!("{row}: {:?}, {:?}: {error}", error.kind(), error.code()),
    }
    result
}

/// A start by this client ends as this kind of error.
pub(crate) async fn ends(builder: ClientBuilder, kind: ErrorKind) -> Error {
    let error = start(&builder.build().await.expect("a client")).await.expect_err("no peer here starts anything");
    assert_eq!(error.kind(), kind, "{error}");
    error
}

/// A start at this peer ends unknown, and so was sent only once.
pub(crate) async fn unknown(peer: &Peer) -> Error {
    let error = ends(to(peer), ErrorKind::StartUnknown).await;
    assert!(!error.is_retryable());
    assert_eq!(peer.requests(), 1, "sent again");
    error
}

/// A client whose connection is up, because the peer has answered a read with NOT_FOUND.
async fn connected(peer: &Peer) -> Client {
    let client = to(peer).rpc_timeout(Duration::from_secs(1)).build().await.expect("a client");
    let execution = job().execution("echo-abcde").expect("a name");
    assert_eq!(client.execution(&execution).await.expect_err("as told").kind(), ErrorKind::NotFound);
    client
}

/// A listener that accepts nothing.
async fn deaf() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

// The request never left.

#[tokio::test]
async fn a_refused_connection_has_started_nothing() {
    let (listener, address) = deaf().await;
    drop(listener);
    let error = ends(at(format!("http://{address}")), ErrorKind::NotStarted).await;
    assert!(error.to_string().contains("refused"), "{error}");
    assert_eq!(error.resource(), Some(job().to_string().as_str()));
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_name_that_does_not_resolve_has_started_nothing() {
    ends(at("http://nothing.invalid:1"), ErrorKind::NotStarted).await;
}

#[tokio::test]
async fn a_connection_that_never_comes_about_has_started_nothing() {
    // Where the queue of the listener is full, the kernel answers no SYN.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(0).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let _fills_the_queue = TcpStream::connect(address).await.expect("the first is queued");

    let limit = Duration::from_millis(100);
    ends(at(format!("http://{address}")).connect_timeout(limit), ErrorKind::NotStarted).await;
    ends(at(format!("http://{address}")).rpc_timeout(limit), ErrorKind::NotStarted).await;
}

#[tokio::test]
async fn a_tls_handshake_that_stalls_has_started_nothing() {
    let (_listener, address) = deaf().await;
    let limit = Duration::from_millis(100);
    let began = Instant::now();
    ends(at(format!("https://{address}")).connect_timeout(limit).rpc_timeout(2 * limit), ErrorKind::NotStarted).await;
    ends(at(format!("https://{address}")).rpc_timeout(limit), ErrorKind::NotStarted).await;
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted_is_not_tried_again() {
    // The TLS alert "handshake failure".
    let peer = raw(|socket| says(socket, &[21, 3, 3, 0, 2, 2, 40])).await;
    let error = ends(at(format!("https://{}", peer.address)), ErrorKind::NotStarted).await;
    assert!(!error.is_retryable(), "{error}");
}

#[tokio::test]
async fn a_plaintext_port_spoken_to_in_tls_has_started_nothing() {
    let peer = http2(|wire| wire.until_closed()).await;
    ends(at(format!("https://{}", peer.address)), ErrorKind::NotStarted).await;
}

#[tokio::test]
async fn a_peer_that_closes_at_once_proves_nothing_if_the_request_has_left() {
    let peer = raw(|socket| async move {
        drop(socket);
        Ok(())
    })
    .await;
    let client = to(&peer).build().await.expect("a client");
    let error = start(&client).await.expect_err("closed");
    // Whether the message left before the close was seen is a race, and the answer follows it.
    assert!(matches!(error.kind(), ErrorKind::NotStarted | ErrorKind::StartUnknown), "{error}");
}

#[tokio::test]
async fn a_request_that_waits_for_a_stream_until_the_deadline_has_started_nothing() {
    let peer = http2(|mut wire| async move {
        let read = wire.request().await?;
        wire.settings(&[(MAX_CONCURRENT_STREAMS, 0)]).await?;
        wire.refuse(read, "5").await?;
        wire.until_closed().await
    })
    .await;
    let error = start(&connected(&peer).await).await.expect_err("no stream");
    assert_eq!(error.kind(), ErrorKind::NotStarted, "{error}");
}

// The request left, and the peer proves that it did nothing.

#[tokio::test]
async fn an_http1_server_is_no_grpc_server_and_has_started_nothing() {
    let peer = raw(|socket| says(socket, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")).await;
    let error = ends(to(&peer), ErrorKind::NotStarted).await;
    assert!(error.to_string().contains("HTTP/1"), "{error}");
}

#[tokio::test]
async fn a_tls_port_spoken_to_in_plaintext_has_started_nothing() {
    // What a TLS server says to a first byte that is no handshake: the alert "unexpected message".
    let peer = raw(|socket| says(socket, &[21, 3, 3, 0, 2, 2, 10])).await;
    let error = ends(to(&peer), ErrorKind::NotStarted).await;
    assert!(error.to_string().contains("https://"), "{error}");
}

async fn says(mut socket: TcpStream, bytes: &[u8]) -> io::Result<()> {
    socket.read_u8().await?;
    socket.write_all(bytes).await?;
    socket.read_to_end(&mut Vec::new()).await.map(drop)
}

/// A peer that refuses the first streams, and then says that there is no such job.
async fn refusing(streams: usize) -> Peer {
    http2(move |mut wire| async move {
        loop {
            match wire.counted_request().await? {
                (stream, count) if count <= streams => wire.reset(stream, REFUSED_STREAM).await?,
                (stream, _) => wire.refuse(stream, "5").await?,
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_stream_that_is_always_refused_has_started_nothing() {
    let peer = refusing(usize::MAX).await;
    let error = ends(to(&peer), ErrorKind::NotStarted).await;
    assert_eq!(error.code(), Some(Code::Unavailable));
    assert_eq!(peer.requests(), 3, "asked for ever");
}

#[tokio::test]
async fn a_start_that_was_refused_unprocessed_is_sent_again() {
    let peer = refusing(2).await;
    assert_eq!(ends(to(&peer), ErrorKind::Rejected).await.code(), Some(Code::NotFound));
    assert_eq!(peer.requests(), 3);
}

#[tokio::test]
async fn a_goodbye_that_excludes_the_request_has_started_nothing() {
    for reason in [NO_ERROR, ENHANCE_YOUR_CALM, INTERNAL_ERROR] {
        let peer = http2(move |mut wire| async move {
            wire.request().await?;
            wire.goaway(0, reason).await?;
            wire.until_closed().await
        })
        .await;
        ends(to(&peer), ErrorKind::NotStarted).await;
    }
}

#[tokio::test]
async fn a_goodbye_that_comes_to_exclude_the_request_has_started_nothing() {
    let peer = http2(|mut wire| async move {
        wire.request().await?;
        wire.goaway(LAST_STREAM, NO_ERROR).await?;
        wire.goaway(0, NO_ERROR).await?;
        wire.until_closed().await
    })
    .await;
    ends(to(&peer), ErrorKind::NotStarted).await;
}

#[tokio::test]
async fn a_goodbye_before_the_request_has_started_nothing() {
    // Whether the request leaves before the goodbye is read is a race; neither end of it is a start.
    let peer = http2(|mut wire| async move {
        wire.goaway(0, NO_ERROR).await?;
        wire.until_closed().await
    })
    .await;
    ends(to(&peer), ErrorKind::NotStarted).await;
}

// The service says that it did nothing.

#[tokio::test]
async fn a_refusal_by_the_service_is_told_with_its_code() {
    for (status, code) in [
        ("3", Code::InvalidArgument),
        ("5", Code::NotFound),
        ("6", Code::AlreadyExists),
        ("7", Code::PermissionDenied),
        ("9", Code::FailedPrecondition),
        ("10", Code::Aborted),
        ("11", Code::OutOfRange),
        ("12", Code::Unimplemented),
        ("16", Code::Unauthenticated),
    ] {
        let peer = answers(status).await;
        let error = ends(to(&peer), ErrorKind::Rejected).await;
        assert_eq!(error.code(), Some(code));
        assert!(error.to_string().starts_with(&format!("could not start {}: ", job())), "{error}");
        assert!(error.to_string().ends_with(": as told"), "{error}");
    }
}

#[tokio::test]
async fn a_refusal_in_trailers_is_a_refusal() {
    let peer = http2(|mut wire| async move {
        let stream = wire.request().await?;
        wire.accept(stream, &[]).await?;
        wire.trailers(stream, "7").await?;
        wire.until_closed().await
    })
    .await;
    let error = ends(to(&peer), ErrorKind::Rejected).await;
    assert_eq!(error.code(), Some(Code::PermissionDenied));
}

async fn answers(status: &'static str) -> Peer {
    http2(move |mut wire| async move {
        let stream = wire.request().await?;
        wire.refuse(stream, status).await?;
        wire.until_closed().await
    })
    .await
}

// Nobody can tell.

#[tokio::test]
async fn a_status_that_may_come_after_the_effect_leaves_the_start_unknown() {
    for status in ["1", "2", "4", "8", "13", "14", "15", "99"] {
        let peer = answers(status).await;
        unknown(&peer).await;
    }
}

#[tokio::test]
async fn a_refusal_behind_a_head_with_another_part_of_a_status_leaves_the_start_unknown() {
    for part in [("grpc-message", "done"), ("grpc-status-details-bin", "AQI")] {
        let peer = http2(move |mut wire| async move {
            let stream = wire.request().await?;
            wire.accept(stream, &[part]).await?;
            wire.trailers(stream, "10").await?;
            wire.until_closed().await
        })
        .await;
        unknown(&peer).await;
    }
}

#[tokio::test]
async fn a_goodbye_that_covers_the_request_and_a_close_leave_the_start_unknown() {
    for reason in [NO_ERROR, ENHANCE_YOUR_CALM, INTERNAL_ERROR] {
        let peer = http2(move |mut wire| async move {
            let stream = wire.request().await?;
            wire.goaway(stream, reason).await
        })
        .await;
        unknown(&peer).await;
    }
}

#[tokio::test]
async fn a_close_after_the_request_was_read_leaves_the_start_unknown() {
    let peer = http2(|mut wire| async move { wire.request().await.map(drop) }).await;
    unknown(&peer).await;
}

#[tokio::test]
async fn a_message_that_the_peer_left_no_room_for_is_sent_again() {
    let peer = http2(|mut wire| async move {
        let read = wire.request().await?;
        wire.settings(&[(INITIAL_WINDOW_SIZE, 0)]).await?;
        wire.refuse(read, "5").await?;
        // The head of the start comes, and its message cannot.
        wire.head().await.map(drop)
    })
    .await;
    // The next connection has room, and refuses the first request that it reads.
    let error = start(&connected(&peer).await).await.expect_err("refused");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Rejected, Some(Code::NotFound)), "{error}");
    assert_eq!(peer.requests(), 2, "the read and one start");
}

#[tokio::test]
async fn a_stream_that_is_reset_otherwise_leaves_the_start_unknown() {
    for reason in [NO_ERROR, INTERNAL_ERROR, CANCEL, ENHANCE_YOUR_CALM] {
        let peer = http2(move |mut wire| async move {
            let stream = wire.request().await?;
            wire.reset(stream, reason).await?;
            wire.until_closed().await
        })
        .await;
        unknown(&peer).await;
    }
}

#[tokio::test]
async fn a_connection_that_the_client_gives_up_leaves_the_start_unknown() {
    let peer = http2(|mut wire| async move {
        wire.request().await?;
        wire.nonsense().await?;
        wire.until_closed().await
    })
    .await;
    unknown(&peer).await;
}

#[tokio::test]
async fn an_unprocessed_stream_that_has_been_answered_leaves_the_start_unknown() {
    let reset = http2(|mut wire| async move {
        let stream = wire.request().await?;
        wire.accept(stream, &[]).await?;
        wire.reset(stream, REFUSED_STREAM).await?;
        wire.until_closed().await
    });
    let goodbye = http2(|mut wire| async move {
        let stream = wire.request().await?;
        wire.accept(stream, &[]).await?;
        wire.goaway(0, NO_ERROR).await?;
        wire.until_closed().await
    });
    unknown(&reset.await).await;
    unknown(&goodbye.await).await;
}

#[tokio::test]
async fn a_silent_peer_leaves_the_start_unknown_after_the_deadline() {
    let peer = http2(|mut wire| async move {
        wire.request().await?;
        wire.until_closed().await
    })
    .await;
    ends(to(&peer).rpc_timeout(Duration::from_millis(500)), ErrorKind::StartUnknown).await;
}

#[tokio::test]
async fn after_silence_the_next_call_has_a_connection_of_its_own() {
    let (seen, mut connections) = mpsc::unbounded_channel();
    let peer = http2(move |wire| {
        let _ = seen.send(());
        wire.until_closed()
    })
    .await;
    let client = to(&peer).rpc_timeout(Duration::from_millis(100)).build().await.expect("a client");
    for _ in 0..2 {
        let error = client.job(&job()).await.expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
        connections.recv().await.expect("a connection");
    }
}

#[tokio::test]
async fn a_dead_peer_is_noticed_by_its_unanswered_ping_and_leaves_the_start_unknown() {
    let peer = http2(|mut wire| async move {
        wire.request().await?;
        // From here on the only thing to wait for is time: 60 s to the ping, 20 s for its answer.
        tokio::time::pause();
        wire.fall_silent().await
    })
    .await;
    let error = ends(to(&peer).rpc_timeout(Duration::from_secs(300)), ErrorKind::StartUnknown).await;
    assert!(error.to_string().contains("timed out"), "{error}");
}

#[tokio::test]
async fn an_error_page_of_a_front_end_leaves_the_start_unknown() {
    for status in ["200", "403", "404", "429", "502", "503"] {
        let peer = http2(move |mut wire| async move {
            let stream = wire.request().await?;
            wire.page(stream, status, b"<html>not\x1bnow</html>").await?;
            wire.until_closed().await
        })
        .await;
        let error = unknown(&peer).await;
        let told = format!("HTTP status {status}, not with gRPC: \"<html>not\\u{{1b}}now</html>\"");
        assert!(error.to_string().ends_with(&told), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_leaves_the_start_unknown() {
    let garbage = prefixed(0, 3, &[0xff; 3]);
    for (head, body) in [
        // Larger than what is read: tonic calls it OUT_OF_RANGE, which the service means as a refusal.
        (&[][..], prefixed(0, 5 << 20, &[])),
        // Compressed, which was not asked for: tonic calls it UNIMPLEMENTED.
        (&[("grpc-encoding", "gzip")][..], prefixed(1, 3, &[0; 3])),
        (&[][..], garbage[..5].to_vec()),
        (&[][..], garbage),
        // An Operation without a name, and no message at all.
        (&[][..], prefixed(0, 0, &[])),
        (&[][..], Vec::new()),
    ] {
        let peer = http2(move |mut wire| {
            let body = body.clone();
            async move {
                let stream = wire.request().await?;
                wire.accept(stream, head).await?;
                wire.body(stream, &body).await?;
                wire.trailers(stream, "0").await?;
                wire.until_closed().await
            }
        })
        .await;
        unknown(&peer).await;
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_leaves_the_start_unknown() {
    let message = prefixed(0, accepted().len(), &accepted());
    for part in [3, message.len() / 2] {
        let message = message.clone();
        let peer = http2(move |mut wire| {
            let message = message.clone();
            async move {
                let stream = wire.request().await?;
                wire.accept(stream, &[]).await?;
                wire.body(stream, &message[..part]).await
            }
        })
        .await;
        unknown(&peer).await;
    }
}

// The request was processed.

#[tokio::test]
async fn a_goodbye_that_covers_the_request_lets_its_answer_through() {
    for reason in [NO_ERROR, ENHANCE_YOUR_CALM] {
        let peer = http2(move |mut wire| async move {
            let stream = wire.request().await?;
            wire.goaway(stream, reason).await?;
            wire.reply(stream, &accepted()).await?;
            wire.until_closed().await
        })
        .await;
        let client = to(&peer).build().await.expect("a client");
        let run = start(&client).await.expect("started");
        assert_eq!(run.execution().id(), "echo-abcde");
    }
}

/// The service's answer to a start that it has accepted.
pub(crate) fn accepted() -> Vec<u8> {
    let execution = Execution { name: format!("{}/executions/echo-abcde", job()), ..Execution::default() };
    let operation = Operation {
        name: "projects/acme/locations/us-central1/operations/1".to_owned(),
        metadata: Some(prost_types::Any::from_msg(&execution).expect("an Any")),
        ..Operation::default()
    };
    operation.encode_to_vec()
}
