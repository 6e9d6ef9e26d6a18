//! The numbered cases of a start and of a wait that meet trouble. Each is told once and looked at three ways: what the
//! library says, what the program ends with, and how many starts the emulator's ledger has.
//!
//! docs/cases.md has the table of all of them; the cases that are tested elsewhere are named there.

mod claims;
mod ends;
pub(crate) mod metadata;
mod shared_server;
mod starts;
mod state_files;
pub(crate) mod tls;
mod tokens;
mod waits;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use runjob::{Client, ClientBuilder, Error, ErrorKind, JobName, Run, emulator::Fault};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    cli::{JOBS, Ran, place::Place},
    client::frames::{self, Peer},
};

/// What becomes of a start, whoever makes it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct End {
    /// How the library calls it; none when it has started.
    kind: Option<ErrorKind>,
    /// What the program ends with.
    status: i32,
    /// How many starts the ledger has.
    starts: usize,
}

const STARTED: End = End { kind: None, status: 0, starts: 1 };
const NOT_STARTED: End = End { kind: Some(ErrorKind::NotStarted), status: 3, starts: 0 };
/// Unknown, and nothing has started.
const UNKNOWN_0: End = End { kind: Some(ErrorKind::StartUnknown), status: 4, starts: 0 };
/// Unknown, and it has started.
const UNKNOWN_1: End = End { kind: Some(ErrorKind::StartUnknown), status: 4, starts: 1 };

/// Refused by the service, and so with this status.
const fn rejected(status: i32) -> End {
    End { kind: Some(ErrorKind::Rejected), status, starts: 0 }
}

fn job() -> JobName {
    format!("{JOBS}/echo").parse().expect("a name")
}

/// Both the library and the program end so when they start a job where these faults strike.
async fn start_ends(place: &Place, faults: &[Fault], end: End) {
    arm(place, faults);
    let by_library = place.client().await.run(&job()).start().await;
    assert_eq!((kind(&by_library), place.starts()), (end.kind, end.starts), "{faults:?}: {by_library:?}");

    arm(place, faults);
    let ran = place.ran("execute echo");
    assert_eq!((ran.status, place.starts()), (end.status, end.starts), "{faults:?}: {ran:#?}");
}

/// The same with a start key, which is to be found by its key wherever it has started.
async fn start_with_key_is_adopted(place: &Place, faults: &[Fault]) {
    arm(place, faults);
    let key = "order-1".parse().expect("a key");
    let run = place.client().await.run(&job()).start_key(key).start().await.expect("adopted");
    assert!(run.was_adopted() && place.starts() == 1, "{faults:?}");

    arm(place, faults);
    let ran = place.ran("execute echo --start-key=order-1");
    assert_eq!((ran.status, place.starts()), (0, 1), "{faults:?}: {ran:#?}");
    assert!(ran.stderr.contains("found by start key order-1"), "{ran:#?}");
}

/// An emulator as it was at first, where these faults strike.
fn arm(place: &Place, faults: &[Fault]) {
    place.emulator.reset();
    faults.iter().for_each(|fault| place.emulator.fault(fault.clone()));
}

fn kind(result: &Result<Run, Error>) -> Option<ErrorKind> {
    result.as_ref().err().map(Error::kind)
}

/// A start at a peer that is no emulator: what the library says.
async fn start_at(address: impl ToString) -> Result<Run, Error> {
    Client::builder().emulator(address.to_string()).build().await.expect("a client").run(&job()).start().await
}

/// The same by the program.
fn ran_at(address: impl ToString, line: &str) -> Ran {
    let mut command = crate::program::runjob(line);
    command.env("RUN_EMULATOR_HOST", address.to_string());
    Ran::of(command)
}

/// A service that answers each RPC with a message, or with NOT_FOUND: by its name, by how often it was called before, and
/// by the bytes of the request.
async fn scripted<F>(script: F) -> Peer
where
    F: Fn(&str, usize, &[u8]) -> Option<Vec<u8>> + Send + Sync + 'static,
{
    let script = Script::new(move |rpc: &str, before, message: &[u8]| script(rpc, before, message).ok_or("5"));
    frames::raw(move |socket| {
        let script = script.clone();
        async move {
            script.play(socket).await;
            Ok(())
        }
    })
    .await
}

type Answer = dyn Fn(&str, usize, &[u8]) -> Result<Vec<u8>, &'static str> + Send + Sync;

/// The part of a service that answers each RPC with a message or with a code, over any connection.
#[derive(Clone)]
pub(crate) struct Script {
    answer: Arc<Answer>,
    calls: Arc<Mutex<HashMap<String, usize>>>,
}

impl Script {
    pub(crate) fn new(
        answer: impl Fn(&str, usize, &[u8]) -> Result<Vec<u8>, &'static str> + Send + Sync + 'static,
    ) -> Self {
        Self { answer: Arc::new(answer), calls: Arc::default() }
    }

    /// How often this RPC was called.
    pub(crate) fn calls(&self, rpc: &str) -> usize {
        self.calls.lock().expect("nothing panics").get(rpc).copied().unwrap_or_default()
    }

    /// A client whose connections are pipes in this process, for made-up time.
    pub(crate) fn client(&self) -> ClientBuilder {
        let script = self.clone();
        Client::builder().connector(tower::service_fn(move |_: http::Uri| {
            let script = script.clone();
            async move {
                let (near, far) = tokio::io::duplex(64 * 1024);
                tokio::spawn(async move { script.play(far).await });
                Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(near))
            }
        }))
    }

    /// Plays on a port of this machine as well, for programs.
    pub(crate) async fn listen(&self) -> std::net::SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let script = self.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let script = script.clone();
                tokio::spawn(async move { script.play(socket).await });
            }
        });
        address
    }

    async fn play<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(&self, socket: S) {
        let Ok(mut connection) = h2::server::handshake(socket).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            let rpc = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            let script = self.clone();
            tokio::spawn(async move {
                let message = request.into_body().data().await.and_then(Result::ok).unwrap_or_default();
                let before = {
                    let mut calls = script.calls.lock().expect("nothing panics");
                    let count = calls.entry(rpc.clone()).or_default();
                    *count += 1;
                    *count - 1
                };
                answer(respond, (script.answer)(&rpc, before, &message));
            });
        }
    }
}

/// A gRPC answer with this message, or with a code.
fn answer(mut respond: h2::server::SendResponse<bytes::Bytes>, message: Result<Vec<u8>, &'static str>) {
    let head = http::Response::builder().header("content-type", "application/grpc");
    let message = match message {
        Ok(message) => message,
        Err(code) => {
            let _ = respond.send_response(head.header("grpc-status", code).body(()).expect("a head"), true);
            return;
        }
    };
    let ok = (http::HeaderName::from_static("grpc-status"), http::HeaderValue::from_static("0"));
    if let Ok(mut stream) = respond.send_response(head.body(()).expect("a head"), false) {
        let _ = stream.send_data(frames::prefixed(0, message.len(), &message).into(), false);
        let _ = stream.send_trailers(http::HeaderMap::from_iter([ok]));
    }
}
