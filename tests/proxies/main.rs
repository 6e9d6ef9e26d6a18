//! Starts and waits through proxies that were not written here: nginx and haproxy, as Debian ships them.
//!
//! Needs both on the PATH, so it runs when asked for: `cargo test --test proxies -- --ignored --nocapture`. The proxies
//! listen on sockets in a directory of their own, and speak to an emulator on this machine.

mod proxy;

use std::{collections::HashSet, time::Duration};

use futures_util::{StreamExt as _, stream};
use hyper_util::rt::TokioIo;
use runjob::{
    Client, ErrorKind, JobName, Run,
    emulator::{Emulator, Runtime, Simulated, Simulation},
};
use tokio::{net::UnixStream, sync::oneshot, time::interval};
use tower::service_fn;

use self::proxy::Proxy;

const STARTS: usize = 1_000;

/// Longer than any timeout of the proxies, so that each cuts every wait at least once.
const TASK: Duration = Duration::from_secs(8);

async fn emulator() -> Emulator {
    let simulation = Simulation::new(|_| Simulated::exits(0).after(TASK));
    Emulator::builder().runtime(Runtime::Simulated(simulation)).start().await.expect("an emulator")
}

fn job() -> JobName {
    "projects/demo/locations/us-central1/jobs/echo".parse().expect("a job name")
}

/// A client of what listens on the proxy's socket.
async fn client_of(proxy: &Proxy) -> Client {
    let path = proxy.socket();
    let connector = service_fn(move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    Client::builder().connector(connector).build().await.expect("a client")
}

/// What the starts were told.
#[derive(Debug, Default)]
struct Told {
    started: Vec<Run>,
    unknown: usize,
    not_started: usize,
}

/// Makes all starts, sixteen at a time.
async fn start_all(client: &Client) -> Told {
    let starts = stream::iter(0..STARTS).map(|_| client.run(&job()).start()).buffer_unordered(16);
    starts
        .fold(Told::default(), |mut told, start| async move {
            match start {
                Ok(run) => told.started.push(run),
                Err(error) if error.kind() == ErrorKind::StartUnknown => told.unknown += 1,
                Err(error) if error.kind() == ErrorKind::NotStarted => told.not_started += 1,
                Err(error) => panic!("neither started, nor not, nor unknown: {error}"),
            }
            told
        })
        .await
}

/// Starts through a proxy while it reloads, and waits for some; then compares with the ledger.
async fn passes_through(make: impl FnOnce(&Emulator) -> Proxy) {
    let emulator = emulator().await;
    let proxy = make(&emulator);
    let client = client_of(&proxy).await;
    let (started, mut ended) = oneshot::channel::<()>();
    let reloads = async {
        let mut every = interval(Duration::from_millis(200));
        every.tick().await;
        loop {
            tokio::select! {
                _ = every.tick() => proxy.reload(),
                _ = &mut ended => return,
            }
        }
    };
    let starts = async {
        let told = start_all(&client).await;
        drop(started);
        told
    };
    let (told, ()) = tokio::join!(starts, reloads);
    println!("{} started, {} unknown, {} not started", told.started.len(), told.unknown, told.not_started);

    let ledger: Vec<_> = emulator.ledger().into_iter().map(|start| start.execution.to_string()).collect();
    let names: HashSet<_> = told.started.iter().map(|run| run.execution().to_string()).collect();
    assert_eq!(names.len(), told.started.len(), "each start has an execution to itself");
    assert!(names.iter().all(|name| ledger.contains(name)), "what was told runs");
    assert_eq!(told.started.len() + told.unknown + told.not_started, STARTS);
    assert!(ledger.len() <= told.started.len() + told.unknown, "what was told not to be started does not run");
    assert!(told.started.len() > STARTS * 9 / 10, "a proxy that is healthy lets starts through");

    let waits = told.started.into_iter().rev().take(50).map(|mut run| async move { run.wait().await });
    let mut ends = stream::iter(waits).buffer_unordered(50);
    while let Some(end) = ends.next().await {
        assert!(end.expect("it is waited for until it ends").outcome().is_success());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nginx: .ci/run installs it"]
async fn starts_and_waits_pass_through_nginx() {
    passes_through(|emulator| Proxy::nginx(emulator.addr().expect("it listens"))).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs haproxy: .ci/run installs it"]
async fn starts_and_waits_pass_through_haproxy() {
    passes_through(|emulator| Proxy::haproxy(emulator.addr().expect("it listens"))).await;
}
