//! How many connections there are, and what waits for a place on them: on tokio's paused clock, in process.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::join_all;
use http::Uri;
use prost::{Message as _, Name as _};
use runjob::{
    Client, Credentials, JobName, Run,
    emulator::{Emulator, Rpc, Runtime, Simulated, Simulation},
    proto::{longrunning::Operation, run::v2::Execution},
};
use tokio::{task::JoinHandle, time::sleep};
use tower::{Service as _, service_fn};

use super::frames::{MAX_CONCURRENT_STREAMS, Peer, Wire, http2};

/// Longer than one long poll, so that every wait has to ask again.
const TASK: Duration = Duration::from_secs(100);

/// A client of an emulator whose tasks take [`TASK`], and how many connections it has opened.
async fn setup(connections: usize) -> (Client, Emulator, Arc<AtomicUsize>) {
    let runtime = Runtime::Simulated(Simulation::new(|_| Simulated::exits(0).after(TASK)));
    let emulator = Emulator::builder().no_listener().runtime(runtime).start().await.expect("an emulator");
    let opened = Arc::new(AtomicUsize::new(0));
    let (connector, count) = (emulator.connector(), Arc::clone(&opened));
    let connector = service_fn(move |uri: Uri| {
        count.fetch_add(1, Relaxed);
        let mut connector = connector.clone();
        async move { connector.call(uri).await }
    });
    let connections = NonZeroUsize::new(connections).expect("some");
    let client = Client::builder().connector(connector).connections(connections).build().await.expect("a client");
    (client, emulator, opened)
}

fn job() -> JobName {
    "projects/demo/locations/us-central1/jobs/echo".parse().expect("a job name")
}

/// Executions that run, and tasks that wait for them.
async fn waits(client: &Client, count: usize) -> Vec<JoinHandle<Run>> {
    let mut waits = Vec::new();
    for _ in 0..count {
        let mut run = client.run(&job()).start().await.expect("started");
        waits.push(tokio::spawn(async move {
            assert!(run.wait().await.expect("waited").outcome().is_success());
            run
        }));
    }
    // All of them have asked by then, and none of them for the second time.
    sleep(Duration::from_secs(1)).await;
    waits
}

/// Calls of this kind that the emulator has not answered yet.
fn open(emulator: &Emulator, rpc: Rpc) -> usize {
    emulator.journal().iter().filter(|call| call.rpc == rpc && call.code.is_none()).count()
}

async fn all_end(waits: Vec<JoinHandle<Run>>) {
    for wait in waits {
        wait.await.expect("it does not fail");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_opened_for_every_hundred_calls_and_no_sooner() {
    let (client, emulator, opened) = setup(16).await;
    let first = waits(&client, 100).await;
    assert_eq!((open(&emulator, Rpc::WaitOperation), opened.load(Relaxed)), (100, 1));
    let more = waits(&client, 101).await;
    assert_eq!((open(&emulator, Rpc::WaitOperation), opened.load(Relaxed)), (201, 3));
    all_end(first).await;
    all_end(more).await;
    assert_eq!(opened.load(Relaxed), 3, "the connections are used again");
}

#[tokio::test(start_paused = true)]
async fn waits_leave_room_for_a_start_and_all_learn_of_their_ends() {
    let (client, emulator, opened) = setup(1).await;
    let waits = waits(&client, 300).await;
    assert_eq!(open(&emulator, Rpc::WaitOperation), 75);
    let began = tokio::time::Instant::now();
    client.run(&job()).start().await.expect("started");
    assert_eq!(began.elapsed(), Duration::ZERO, "it did not queue");
    all_end(waits).await;
    // Those without a place poll, and with pauses that grow.
    let polls = emulator.journal().iter().filter(|call| call.rpc == Rpc::GetOperation).count();
    assert!(polls <= 225 * 25, "{polls} polls of 225 waits for 100 seconds");
    assert_eq!(opened.load(Relaxed), 1);
}

/// A peer that allows this many calls at a time, and answers RunJob for every request.
async fn narrow(streams: u32) -> Peer {
    http2(move |mut wire: Wire| async move {
        wire.settings(&[(MAX_CONCURRENT_STREAMS, streams)]).await?;
        while let Ok(stream) = wire.request().await {
            wire.reply(stream, &accepted().encode_to_vec()).await?;
        }
        Ok(())
    })
    .await
}

fn accepted() -> Operation {
    let name = format!("{}/executions/echo-abcde", job());
    let execution = Execution { name, ..Execution::default() };
    let any = prost_types::Any { type_url: Execution::type_url(), value: execution.encode_to_vec() };
    let name = "projects/demo/locations/us-central1/operations/one".to_owned();
    Operation { name, metadata: Some(any), ..Operation::default() }
}

#[tokio::test]
async fn calls_beyond_what_the_peer_allows_take_turns() {
    for streams in [1, 3] {
        let peer = narrow(streams).await;
        let endpoint = format!("http://{}", peer.address);
        let client = Client::builder().endpoint(endpoint).credentials(Credentials::anonymous()).build().await;
        let client = client.expect("a client");
        let starts = join_all((0..90).map(|_| client.run(&job()).start())).await;
        assert!(starts.iter().all(Result::is_ok));
        assert_eq!(peer.requests(), 90);
    }
}
