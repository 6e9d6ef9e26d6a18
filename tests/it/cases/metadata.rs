//! Cases 32 to 34, and the metadata server that the credentials of several cases come from.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use runjob::emulator::{Emulator, Fault, Rpc, Runtime, Simulated, Simulation};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, yield_now},
};
use tonic::Status;

use super::job;
use crate::{
    cli::{Ran, place::Place},
    program::{Running, runjob},
};

/// A metadata server whose tokens are `canary-1`, `canary-2`, ..., while it answers at all.
pub(crate) struct Metadata {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    tokens: AtomicUsize,
    /// For how many seconds a token is good.
    lifetime: AtomicU32,
    is_down: AtomicBool,
    /// Requests that were not answered with a token.
    turned_away: AtomicUsize,
}

impl Metadata {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            tokens: AtomicUsize::new(0),
            lifetime: AtomicU32::new(3600),
            is_down: AtomicBool::new(false),
            turned_away: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer(socket, Arc::clone(&shared)));
            }
        });
        Self { address, state, accepting }
    }

    /// How many requests it has answered.
    pub(crate) fn questions(&self) -> usize {
        self.state.tokens.load(Relaxed)
    }

    /// The program with these credentials, as on a machine of Google's.
    pub(super) fn command(&self, line: &str, variables: &[(&str, &str)]) -> std::process::Command {
        let mut command = runjob(line);
        command
            .env_remove("NO_GCE_CHECK")
            .env("GCE_METADATA_HOST", self.address.to_string())
            .env("CLOUDSDK_CONFIG", "/nowhere");
        command.envs(variables.iter().copied());
        command
    }

    pub(super) fn ran(&self, line: &str, variables: &[(&str, &str)]) -> Ran {
        Ran::of(self.command(line, variables))
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(mut socket: TcpStream, state: Arc<State>) {
    let Ok(1..) = socket.read(&mut [0; 4096]).await else { return };
    if state.is_down.load(Relaxed) {
        state.turned_away.fetch_add(1, Relaxed);
        return;
    }
    let token = format!("canary-{}", state.tokens.fetch_add(1, Relaxed) + 1);
    let body = json!({"access_token": token, "expires_in": state.lifetime.load(Relaxed), "token_type": "Bearer"});
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nmetadata-flavor: Google\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    _ = socket.write_all((head + &body).as_bytes()).await;
}

/// An emulator whose tasks take an hour of its time.
async fn slow() -> Place {
    let script = Simulation::new(|_| Simulated::exits(0).after(Duration::from_secs(3600)));
    Place::of(Emulator::builder().runtime(Runtime::Simulated(script))).await
}

fn line(place: &Place) -> String {
    format!("execute {} --task-timeout=2h --wait --format=json --endpoint=http://{}", job(), place.address())
}

async fn waits(emulator: &Emulator, times: usize) {
    while emulator.journal().iter().filter(|call| call.rpc == Rpc::WaitOperation).count() < times {
        yield_now().await;
    }
}

/// Case 32. A token that is good for a second is never good enough, so each call needs the token server. How long it is
/// away makes no difference to a wait: it has no limit, and each failure is one more pause.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_server_that_is_away_while_waiting_is_ridden_out() {
    let (place, metadata) = (slow().await, Metadata::start().await);
    metadata.state.lifetime.store(1, Relaxed);
    // The held question ends, and the next one finds no token.
    place.emulator.fault(Fault::before(Rpc::WaitOperation).answer(Status::unavailable("again")).times(1));
    let running = Running::start(metadata.command(&line(&place), &[]));
    while place.starts() == 0 {
        yield_now().await;
    }
    metadata.state.is_down.store(true, Relaxed);
    while metadata.state.turned_away.load(Relaxed) < 5 {
        yield_now().await;
    }
    metadata.state.is_down.store(false, Relaxed);
    place.emulator.clock().advance(Duration::from_secs(3600));
    let ran = running.end();
    assert_eq!((ran.status, &ran.json()["outcome"], place.starts()), (0, &json!("SUCCEEDED"), 1), "{ran:#?}");
}

/// Case 33.
#[tokio::test(flavor = "multi_thread")]
async fn a_metadata_server_that_is_away_at_the_start_ends_with_6_and_nothing_started() {
    let (place, metadata) = (slow().await, Metadata::start().await);
    metadata.state.is_down.store(true, Relaxed);
    let ran = metadata.ran(&line(&place), &[]);
    assert_eq!((ran.status, place.starts()), (6, 0), "{ran:#?}");
    assert!(ran.stderr.contains("no access token") && metadata.state.turned_away.load(Relaxed) <= 5, "{ran:#?}");
}

/// Case 34. Timers are monotonic; the life of a token is counted by the wall clock. Set back, that clock keeps a token
/// for too long, and the service refuses it: it is renewed, and the wait goes on. Set forward, it gives one up too early.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_kept_for_too_long_is_renewed_and_the_wait_goes_on() {
    let (place, metadata) = (slow().await, Metadata::start().await);
    place.emulator.fault(Fault::before(Rpc::WaitOperation).answer(Status::unauthenticated("expired")).times(1));
    let running = Running::start(metadata.command(&line(&place), &[]));
    waits(&place.emulator, 2).await;
    place.emulator.clock().advance(Duration::from_secs(3600));
    let ran = running.end();
    assert_eq!((ran.status, place.starts(), metadata.state.tokens.load(Relaxed)), (0, 1, 2), "{ran:#?}");
}
