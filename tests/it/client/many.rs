//! Waiting for many executions at once, on tokio's paused clock: an hour of waiting takes no time.

use std::{
    collections::BTreeSet,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt as _, TryStreamExt as _, future::join_all};
use runjob::{
    Client, ErrorKind, JobName, Outcome, Run, StartRate,
    emulator::{AttemptId, Emulator, Fault, Rpc, Runtime, Simulated, Simulation},
};

/// An emulator whose tasks take this long and then succeed, but for those of the job `fail`.
async fn setup(duration: Duration) -> (Client, Emulator) {
    scripted(move |attempt| {
        let code = if attempt.execution.job().id() == "fail" { 3 } else { 0 };
        Simulated::exits(code).after(duration)
    })
    .await
}

/// An emulator whose tasks succeed at random within a minute.
async fn setup_random(seed: u64) -> (Client, Emulator) {
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    scripted(move |_| {
        let share = random.lock().expect("no panic").f64();
        Simulated::exits(0).after(MINUTE.mul_f64(share))
    })
    .await
}

async fn scripted(script: impl Fn(&AttemptId) -> Simulated + Send + Sync + 'static) -> (Client, Emulator) {
    let runtime = Runtime::Simulated(Simulation::new(script));
    let emulator = Emulator::builder().no_listener().runtime(runtime).start().await.expect("an emulator");
    let client = Client::builder().connector(emulator.connector()).build().await.expect("a client");
    (client, emulator)
}

async fn start(client: &Client, count: usize) -> Vec<Run> {
    let mut runs = Vec::new();
    for _ in 0..count {
        runs.push(client.run(&job("echo")).start().await.expect("started"));
    }
    runs
}

/// Watches the runs until the last one has succeeded; gives the longest time that one was over and not told.
async fn watch_all(client: &Client, emulator: &Emulator, runs: Vec<Run>) -> Duration {
    let (mut left, mut longest) = (runs.len(), Duration::ZERO);
    let mut ended = client.watch(runs);
    while let Some((_, result)) = ended.next().await {
        let finished = result.expect("waited");
        assert!(finished.outcome().is_success());
        let over = SystemTime::try_from(finished.execution().completion_time.expect("over")).expect("a time");
        longest = longest.max(emulator.clock().now().duration_since(over).unwrap_or_default());
        left -= 1;
    }
    assert_eq!(left, 0);
    longest
}

fn job(id: &str) -> JobName {
    format!("projects/demo/locations/us-central1/jobs/{id}").parse().expect("a job name")
}

fn count(emulator: &Emulator, rpcs: &[Rpc]) -> usize {
    rpcs.iter().map(|&rpc| emulator.calls(rpc) as usize).sum()
}

const MINUTE: Duration = Duration::from_secs(60);
/// How exact a timer of tokio is.
const TIMER: Duration = Duration::from_millis(1);
/// So many executions of a job share a list.
const MANY: usize = 40;
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
    let runs = start(&client, MANY).await;
    emulator.fault(Fault::before(Rpc::ListExecutions).answer(tonic::Status::unavailable("later")).times(40));
    watch_all(&client, &emulator, runs).await;
    assert!(emulator.calls(Rpc::ListExecutions) > 40);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_list_waits_one_by_one() {
    let (client, emulator) = setup_random(1).await;
    let runs = start(&client, MANY).await;
    emulator.fault(Fault::before(Rpc::ListExecutions).answer(tonic::Status::permission_denied("no")));
    assert!(watch_all(&client, &emulator, runs).await <= TIMER);
    assert_eq!(emulator.calls(Rpc::ListExecutions), 1);
    let singles = count(&emulator, &SINGLE);
    assert!(singles <= 3 * MANY, "{singles} requests for {MANY} executions within a minute");
}

#[tokio::test(start_paused = true)]
async fn what_never_existed_is_told_with_its_name_and_holds_nobody_up() {
    let (client, _emulator) = setup(Duration::from_secs(3)).await;
    let ghost = job("echo").execution("echo-ghost").expect("a name");
    // Runs that are known by name only: few are waited for alone, more share a list.
    for count in [1, 8] {
        let real: BTreeSet<_> = start(&client, count).await.iter().map(|run| run.execution().clone()).collect();
        let names = real.iter().chain([&ghost]);
        let ended: Vec<_> = client.watch(names.map(|name| client.attach(name))).collect().await;
        assert_eq!(ended.len(), count + 1);
        for (name, result) in &ended {
            match result {
                Ok(finished) => assert!(real.contains(name) && finished.outcome().is_success()),
                Err(error) => assert!(*name == ghost && error.kind() == ErrorKind::NotFound, "{error}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn few_executions_of_a_job_are_heard_of_at_once_and_cost_less_than_a_list() {
    let (client, emulator) = setup_random(2).await;
    let runs = start(&client, 10).await;
    assert!(watch_all(&client, &emulator, runs).await <= TIMER);
    let requests = count(&emulator, &SINGLE);
    assert!(requests <= 30, "{requests} requests for 10 executions within a minute");
    assert_eq!(emulator.calls(Rpc::ListExecutions), 0);
}

#[tokio::test(start_paused = true)]
async fn a_watch_costs_no_more_for_more_executions() {
    for executions in [100, 400] {
        let (client, emulator) = setup_random(3).await;
        let runs = start(&client, executions).await;
        let longest = watch_all(&client, &emulator, runs).await;
        assert!(longest <= Duration::from_secs(1), "{executions} executions: {longest:?} late");
        let [lists, singles] = [count(&emulator, &[Rpc::ListExecutions]), count(&emulator, &SINGLE)];
        // A look a second, and two long polls for each of the last thirty.
        assert!(lists <= 61 && singles <= 60, "{executions} executions: {lists} lists, {singles} single requests");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_looks_rarely_while_nothing_ends() {
    let (client, emulator) = setup(60 * MINUTE).await;
    let starts = (0..MANY).map(|_| client.run(&job("echo")).task_timeout(120 * MINUTE));
    let runs: Vec<_> =
        client.start_all(starts.collect::<Vec<_>>(), StartRate::default()).try_collect().await.expect("started");
    let longest = watch_all(&client, &emulator, runs).await;
    assert!(longest <= Duration::from_secs(10), "{longest:?} late");
    let lists = emulator.calls(Rpc::ListExecutions);
    assert!(lists < 600, "{lists} lists for an hour");
}

#[tokio::test(start_paused = true)]
async fn a_wait_limit_holds_in_a_watch_too() {
    let (client, _emulator) = setup(MINUTE).await;
    let mut runs = start(&client, MANY).await;
    runs[1].set_wait_limit(Some(MINUTE / 2));
    let (limited, began) = (runs[1].execution().clone(), tokio::time::Instant::now());
    let mut ended = client.watch(runs);
    let (name, result) = ended.next().await.expect("one");
    assert_eq!((name, began.elapsed()), (limited, MINUTE / 2));
    assert_eq!(result.expect_err("the limit").kind(), ErrorKind::WaitLimit);
    assert_eq!(ended.count().await, MANY - 1);
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
async fn waits_that_begin_together_do_not_ask_again_together() {
    let (client, emulator) = setup(MINUTE * 3 / 4).await;
    let runs = start(&client, MANY).await;
    let began = emulator.clock().now();
    join_all(runs.into_iter().map(async |mut run| run.wait().await.expect("waited"))).await;
    let mut seconds = [0; 60];
    for call in emulator.journal().iter().filter(|call| call.rpc == Rpc::WaitOperation) {
        seconds[call.time.duration_since(began).unwrap_or_default().as_secs() as usize] += 1;
    }
    assert_eq!(seconds[0], MANY);
    assert!(seconds[1..].iter().all(|&asked| asked < MANY / 2), "{seconds:?}");
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
    let rate = StartRate::new().in_flight(1);
    let began = tokio::time::Instant::now();
    let starts = (0..5).map(|_| client.run(&job("echo"))).collect::<Vec<_>>();
    let ends: Vec<_> = client.start_all(starts, rate).collect().await;
    let kinds: Vec<_> = ends.iter().map(|end| end.as_ref().err().map(runjob::Error::kind)).collect();
    assert_eq!(kinds, [None, None, Some(ErrorKind::StartUnknown), None, None]);
    assert_eq!(emulator.ledger().len(), 4);
    assert_eq!(began.elapsed().as_secs(), 60);
}
