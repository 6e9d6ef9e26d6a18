//! Settings of a client and of one start.

use std::{num::NonZeroU32, time::Duration};

use runjob::{
    Client, ClientBuilder, Credentials, ErrorKind,
    emulator::{Emulator, Fault, Reason, Rpc},
};
use tokio::time::Instant;
use tonic::Status;

use super::runs::{job, setup};

#[tokio::test]
async fn settings_that_exclude_each_other_are_refused_with_their_rule() {
    let emulator = Emulator::builder().no_listener().start().await.expect("an emulator");
    let token = || Credentials::access_token("canary").expect("a token");
    let local = || Client::builder().emulator("127.0.0.1:1");
    let connected = || Client::builder().connector(emulator.connector());
    let cases: [(ClientBuilder, &str); 10] = [
        (local().endpoint("https://127.0.0.1:1"), "two servers"),
        (connected().emulator("127.0.0.1:1"), "two servers"),
        (local().region("us-central1"), "a region"),
        (Client::builder().region("us-central1").endpoint("https://127.0.0.1:1").credentials(token()), "a region"),
        (local().credentials(token()), "credentials"),
        (connected().credentials(token()), "credentials"),
        (local().proxy("http://127.0.0.1:2"), "the proxy"),
        (connected().rpc_timeout(Duration::ZERO), "a timeout of 0"),
        (connected().backoff(Duration::ZERO, Duration::from_secs(1)), "a backoff"),
        (connected().backoff(Duration::from_secs(2), Duration::from_secs(1)), "a backoff"),
    ];
    for (builder, rule) in cases {
        let error = builder.build().await.expect_err(rule);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(rule), "{rule}: {error}");
    }
}

#[tokio::test]
async fn a_setting_may_be_made_twice_and_the_last_one_counts() {
    let builder = Client::builder().emulator("no address").emulator("127.0.0.1:1");
    builder.credentials(Credentials::anonymous()).build().await.expect("a client");
}

#[tokio::test(start_paused = true)]
async fn a_start_has_its_own_limit_and_its_run_has_the_clients_again() {
    let (client, emulator) = setup().await;
    let slow = |rpc| emulator.fault(Fault::before(rpc).delay(Duration::from_secs(5)).times(1));
    slow(Rpc::RunJob);
    let hasty = client.run(&job("echo")).rpc_timeout(Duration::from_secs(1));
    assert_eq!(hasty.clone().start().await.expect_err("too slow").kind(), ErrorKind::StartUnknown);
    let mut run = hasty.start().await.expect("started");
    slow(Rpc::GetExecution);
    run.poll().await.expect("slow, and within the client's limit");
}

#[tokio::test(start_paused = true)]
async fn reads_and_starts_are_tried_as_often_and_with_the_pauses_that_were_set() {
    let emulator = Emulator::builder().no_listener().start().await.expect("an emulator");
    emulator.fault(Fault::before(Rpc::GetJob).answer(Status::unavailable("later")));
    emulator.fault(Fault::before(Rpc::RunJob).reset(Reason::RefusedStream));
    let tried = async |attempts, longest| {
        let client = Client::builder().connector(emulator.connector()).jitter_seed(1);
        let client = client.attempts(NonZeroU32::new(attempts).expect("not 0"));
        let client = client.backoff(Duration::from_secs(4), longest).build().await.expect("a client");
        let (reads, starts, begun) = (emulator.calls(Rpc::GetJob), emulator.calls(Rpc::RunJob), Instant::now());
        client.job(&job("echo")).await.expect_err("never there");
        let took = begun.elapsed();
        client.run(&job("echo")).start().await.expect_err("always refused");
        (emulator.calls(Rpc::GetJob) - reads, emulator.calls(Rpc::RunJob) - starts, took)
    };
    let (reads, starts, took) = tried(1, Duration::from_secs(4)).await;
    assert_eq!((reads, starts, took.as_secs()), (1, 1, 0));
    let (reads, starts, took) = tried(7, Duration::MAX).await;
    // 4, 8, 16, 32, 64 and 128 seconds, each by half at the least; and a peer that refuses a start is asked three times.
    assert_eq!((reads, starts), (7, 3));
    assert!((126..=252).contains(&took.as_secs()), "{took:?}");
}
