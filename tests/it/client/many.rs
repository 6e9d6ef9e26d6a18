//! Waiting for many executions at once, on tokio's paused clock: an hour of waiting takes no time.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _};
use runjob::{
    Client, ErrorKind, JobName, Outcome, StartRate,
    emulator::{Emulator, Fault, Rpc, Runtime, Simulated, Simulation},
};

/// An emulator whose tasks take this long and then succeed, but for those of the job `fail`.
async fn setup(duration: Duration) -> (Client, Emulator) {
    let script = move |attempt: &runjob::emulator::AttemptId| {
        let code = if attempt.execution.job().id() == "fail" { 3 } else { 0 };
        Simulated::exits(code).after(duration)
    };
    let runtime = Runtime::Simulated(Simulation::new(script));
    let emulator = Emulator::builder().no_listener().runtime(runtime).start().await.expect("an emulator");
    let client = Client::builder().connector(emulator.connector()).build().await.expect("a client");
    (client, emulator)
}

fn job(id: &str) -> JobName {
    format!("projects/demo/locations/us-central1/jobs/{id}").parse().expect("a job name")
}

fn count(emulator: &Emulator, rpcs: &[Rpc]) -> usize {
    emulator.journal().iter().filter(|call| rpcs.contains(&call.rpc)).count()
}

const SINGLE: [Rpc; 3] = [Rpc::GetExecution, Rpc::GetOperation, Rpc::WaitOperation];

#[tokio::test(start_paused = true)]
async fn executions_of_one_job_share_their_reads() {
    let (client, emulator) = setup(Duration::from_secs(30)).await;
    let mut runs = Vec::new();
    for _ in 0..50 {
        runs.push(client.run(&job("echo")).start().await.expect("started"));
    }
    let started: BTreeSet<_> = runs.iter().map(|run| run.execution().clone()).collect();
    let ended: Vec<_> = client.watch(runs).collect().await;
    assert!(ended.iter().all(|(_, result)| result.as_ref().is_ok_and(|end| end.outcome().is_success())));
    assert_eq!(ended.into_iter().map(|(name, _)| name).collect::<BTreeSet<_>>(), started);
    let lists = count(&emulator, &[Rpc::ListExecutions]);
    assert!((1..=32).contains(&lists), "{lists} lists for 50 executions of 30 seconds");
    assert_eq!(count(&emulator, &SINGLE), 0);
}

#[tokio::test(start_paused = true)]
async fn executions_of_several_jobs_come_as_they_end_with_their_own_verdicts() {
    let (client, _emulator) = setup(Duration::from_secs(5)).await;
    let mut runs = Vec::new();
    for id in ["echo", "fail", "fail", "env"] {
        runs.push(client.run(&job(id)).start().await.expect("started"));
    }
    let mut succeeded = 0;
    let mut failed = 0;
    let mut ended = client.watch(runs);
    while let Some((name, result)) = ended.next().await {
        match result.expect("waited").outcome() {
            Outcome::Succeeded => succeeded += 1,
            Outcome::Failed(tasks) => {
                assert_eq!((name.job().id(), tasks.len()), ("fail", 1));
                failed += 1;
            }
            other => panic!("{name}: {other}"),
        }
    }
    assert_eq!((succeeded, failed), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_for_a_while_loses_nothing() {
    let (client, emulator) = setup(Duration::from_secs(3)).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(client.run(&job("echo")).start().await.expect("started"));
    }
    emulator.fault(Fault::before(Rpc::ListExecutions).answer(tonic::Status::unavailable("later")).times(40));
    let ended: Vec<_> = client.watch(runs).collect().await;
    assert!(ended.len() == 3 && ended.iter().all(|(_, result)| result.is_ok()), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn who_may_not_list_waits_one_by_one() {
    let (client, emulator) = setup(Duration::from_secs(3)).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.push(client.run(&job("echo")).start().await.expect("started"));
    }
    emulator.fault(Fault::before(Rpc::ListExecutions).answer(tonic::Status::permission_denied("no")));
    let ended: Vec<_> = client.watch(runs).collect().await;
    assert!(ended.len() == 3 && ended.iter().all(|(_, result)| result.is_ok()), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn what_never_existed_is_told_with_its_name_and_holds_nobody_up() {
    let (client, _emulator) = setup(Duration::from_secs(3)).await;
    let real = client.run(&job("echo")).start().await.expect("started");
    let ghost = job("echo").execution("echo-ghost").expect("a name");
    let ended: Vec<_> = client.watch([client.attach(real.execution()), client.attach(&ghost)]).collect().await;
    for (name, result) in &ended {
        match result {
            Ok(finished) => assert!(name == real.execution() && finished.outcome().is_success()),
            Err(error) => assert!(*name == ghost && error.kind() == ErrorKind::NotFound, "{error}"),
        }
    }
    assert_eq!(ended.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wait_costs_one_long_poll_each_half_minute() {
    let (client, emulator) = setup(Duration::from_secs(3600)).await;
    let mut run = client.run(&job("echo")).task_timeout(Duration::from_secs(7200)).start().await.expect("started");
    run.set_wait_limit(Some(Duration::from_secs(7200)));
    assert!(run.wait().await.expect("waited").outcome().is_success());
    let polls = count(&emulator, &SINGLE);
    assert!((110..=130).contains(&polls), "{polls} requests for an hour");
}

#[tokio::test(start_paused = true)]
async fn many_starts_keep_to_the_quota_of_a_minute() {
    let (client, emulator) = setup(Duration::ZERO).await;
    let began = tokio::time::Instant::now();
    let starts = (0..400).map(|_| client.run(&job("echo"))).collect::<Vec<_>>();
    let runs: Vec<_> = client.start_all(starts, StartRate::default()).try_collect().await.expect("all started");
    assert_eq!((runs.len(), emulator.ledger().len()), (400, 400));
    assert_eq!(began.elapsed().as_secs(), 120, "180 at once, 180 after a minute, the rest after two");
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_used_up_slows_the_starts_and_doubles_none() {
    let (client, emulator) = setup(Duration::ZERO).await;
    let exhausted = tonic::Status::resource_exhausted("Quota exceeded.");
    emulator.fault(Fault::before(Rpc::RunJob).answer(exhausted).nth(3));
    let mut rate = StartRate::default();
    rate.in_flight = 1;
    let began = tokio::time::Instant::now();
    let starts = (0..5).map(|_| client.run(&job("echo"))).collect::<Vec<_>>();
    let ends: Vec<_> = client.start_all(starts, rate).collect().await;
    let kinds: Vec<_> = ends.iter().map(|end| end.as_ref().err().map(runjob::Error::kind)).collect();
    assert_eq!(kinds, [None, None, Some(ErrorKind::StartUnknown), None, None]);
    assert_eq!(emulator.ledger().len(), 4);
    assert_eq!(began.elapsed().as_secs(), 60);
}
