//! Start keys, when answers are lost, late or refused. What really happened, the emulator's ledger says.

use std::time::Duration;

use runjob::{
    Client, Error, ErrorKind, JobName, Location, Routing, Run, StartKey,
    emulator::{Clock, Emulator, Fault, Reason, Rpc, Runtime, Simulation},
    proto::run::v2::{
        Container, EnvVar, ExecutionTemplate, Job, RunJobRequest, TaskTemplate, env_var,
        jobs_client::JobsClient,
        run_job_request::{Overrides, overrides::ContainerOverride},
    },
};
use tokio::time::Instant;
use tonic::Status;

/// As long as it is looked for after an unknown end.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// An emulator without a socket, and a client of it.
pub(crate) async fn setup() -> (Client, Emulator) {
    let runtime = Runtime::Simulated(Simulation::default());
    let emulator = Emulator::builder().no_listener().runtime(runtime).start().await.expect("an emulator");
    (client(&emulator).await, emulator)
}

pub(crate) async fn client(emulator: &Emulator) -> Client {
    Client::builder().connector(emulator.connector()).build().await.expect("a client")
}

fn job() -> JobName {
    Location::new("demo", "us-central1").expect("a location").job("echo").expect("a job id")
}

fn key() -> StartKey {
    "order-4711".parse().expect("a key")
}

async fn start(client: &Client) -> Result<Run, Error> {
    client.run(&job()).args(["hello"]).start_key(key()).start().await
}

/// The names in the ledger.
fn started(emulator: &Emulator) -> Vec<String> {
    emulator.ledger().iter().map(|start| start.execution.to_string()).collect()
}

fn sends(emulator: &Emulator) -> usize {
    emulator.journal().iter().filter(|call| call.rpc == Rpc::RunJob).count()
}

/// What `start` sends, arriving again or late: a copy that some queue on the way has kept.
async fn copy_arrives(client: &Client) {
    let marker =
        EnvVar { name: StartKey::VARIABLE.to_owned(), values: Some(env_var::Values::Value(key().to_string())) };
    let container = ContainerOverride { env: vec![marker], ..ContainerOverride::default() };
    let overrides = Some(Overrides { container_overrides: vec![container], ..Overrides::default() });
    let message = RunJobRequest { name: job().to_string(), overrides, ..RunJobRequest::default() };
    let request = Routing::location(job().location()).request(message);
    JobsClient::new(client.transport()).run_job(request).await.expect("accepted");
}

#[tokio::test]
async fn a_start_with_a_key_starts_once_and_says_that_it_did() {
    let (client, emulator) = setup().await;
    let run = start(&client).await.expect("started");
    assert!(!run.was_adopted());
    assert_eq!(started(&emulator), [run.execution().to_string()]);
}

#[tokio::test]
async fn a_restarted_caller_finds_its_own_start() {
    let (first, emulator) = setup().await;
    let run = start(&first).await.expect("started");
    let again = start(&client(&emulator).await).await.expect("found");
    assert!(again.was_adopted());
    assert_eq!(again.execution(), run.execution());
    assert!(again.latest().is_some() && again.duplicates().is_empty());
    assert_eq!((emulator.ledger().len(), sends(&emulator)), (1, 1));
}

#[tokio::test]
async fn another_key_is_another_start() {
    let (client, emulator) = setup().await;
    start(&client).await.expect("started");
    let other = client.run(&job()).start_key("order-47".parse().expect("a key")).start().await.expect("started");
    assert!(!other.was_adopted());
    assert_eq!(emulator.ledger().len(), 2);
}

/// Each of these hides a start that took effect.
#[tokio::test(start_paused = true)]
async fn a_start_whose_answer_is_lost_is_adopted() {
    for fault in [
        Fault::after(Rpc::RunJob).lose_reply(),
        Fault::after(Rpc::RunJob).truncate_reply(),
        Fault::after(Rpc::RunJob).corrupt_reply(),
        Fault::after(Rpc::RunJob).reset(Reason::Cancel),
        Fault::after(Rpc::RunJob).reset(Reason::EnhanceYourCalm),
        Fault::after(Rpc::RunJob).answer(Status::unavailable("overloaded")),
        Fault::after(Rpc::RunJob).answer(Status::internal("oh")),
        Fault::after(Rpc::RunJob).answer(Status::deadline_exceeded("late")),
        Fault::after(Rpc::RunJob).delay(Duration::from_secs(3600)),
    ] {
        let told = format!("{fault:?}");
        let (client, emulator) = setup().await;
        client.run(&job()).start().await.expect("another start of the job");
        emulator.fault(fault);
        let run = start(&client).await.unwrap_or_else(|error| panic!("{told}: {error}"));
        assert!(run.was_adopted(), "{told}");
        assert_eq!(started(&emulator)[1..], [run.execution().to_string()], "{told}");
        assert_eq!(sends(&emulator), 2, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn looks_that_fail_are_ridden_out() {
    let (client, emulator) = setup().await;
    emulator.fault(Fault::after(Rpc::RunJob).lose_reply());
    // The look before the start sees, and then the service is away for a while.
    emulator.fault(Fault::after(Rpc::ListExecutions).answer(Status::unavailable("away")).nth(2));
    emulator.fault(Fault::after(Rpc::ListExecutions).answer(Status::permission_denied("away")).nth(3));
    emulator.fault(Fault::after(Rpc::ListExecutions).lose_reply().nth(4));
    assert!(start(&client).await.expect("found").was_adopted());
    assert_eq!(emulator.ledger().len(), 1);
}

/// From here the two look the same: the request is held somewhere, or the execution is not listed yet.
#[tokio::test(start_paused = true)]
async fn an_execution_that_shows_late_is_adopted_while_it_is_looked_for() {
    let (client, emulator) = setup().await;
    emulator.fault(Fault::before(Rpc::RunJob).drop_connection().times(1));
    let late = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        copy_arrives(&client).await;
    };
    let (run, ()) = tokio::join!(start(&client), late);
    let run = run.expect("found");
    assert!(run.was_adopted());
    assert_eq!(started(&emulator), [run.execution().to_string()]);
}

#[tokio::test(start_paused = true)]
async fn not_seen_is_no_proof_and_never_leads_to_another_send() {
    let (client, emulator) = setup().await;
    emulator.fault(Fault::before(Rpc::RunJob).drop_connection().times(1));
    let began = Instant::now();
    let error = start(&client).await.expect_err("nothing is known");
    assert_eq!(error.kind(), ErrorKind::StartUnknown, "{error}");
    assert!(error.to_string().contains("order-4711"), "{error}");
    assert_eq!((began.elapsed().as_secs(), emulator.ledger().len(), sends(&emulator)), (LOOK_AGAIN.as_secs(), 0, 1));

    // Now the held request is let through, and the caller asks again.
    copy_arrives(&client).await;
    let found = client.find_start(&job(), &key()).await.expect("asked").expect("found");
    let run = start(&client).await.expect("found");
    assert_eq!(run.execution(), found.execution());
    assert_eq!(started(&emulator), [run.execution().to_string()]);
}

#[tokio::test]
async fn a_caller_who_may_not_list_learns_that_before_anything_is_sent() {
    let (client, emulator) = setup().await;
    let denied = Status::permission_denied("Permission 'run.executions.list' denied on resource");
    emulator.fault(Fault::before(Rpc::ListExecutions).answer(denied));
    let error = start(&client).await.expect_err("denied");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("run.executions.list"), "{error}");
    assert!(error.to_string().contains("nothing was sent"), "{error}");
    assert_eq!((sends(&emulator), emulator.ledger().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_looked_for_is_not_sent() {
    let (client, emulator) = setup().await;
    emulator.fault(Fault::before(Rpc::ListExecutions).answer(Status::unavailable("away")));
    let error = start(&client).await.expect_err("away");
    assert_eq!(error.kind(), ErrorKind::NotStarted, "{error}");
    assert_eq!(sends(&emulator), 0);
}

#[tokio::test]
async fn of_several_starts_with_one_key_the_oldest_is_adopted_and_the_others_are_told() {
    let (client, emulator) = setup().await;
    for _ in 0..3 {
        copy_arrives(&client).await;
    }
    let run = start(&client).await.expect("found");
    let duplicates: Vec<_> = run.duplicates().iter().map(ToString::to_string).collect();
    let started = started(&emulator);
    assert_eq!(run.execution().to_string(), started[0]);
    assert_eq!(duplicates, [started[2].clone(), started[1].clone()]);
}

#[tokio::test]
async fn a_start_that_was_never_made_is_not_found() {
    let (client, _emulator) = setup().await;
    client.run(&job()).start().await.expect("started");
    assert!(client.find_start(&job(), &key()).await.expect("asked").is_none());
    let everywhere = job().location().any_job();
    assert_eq!(client.find_start(&everywhere, &key()).await.expect_err("many").kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_key_is_looked_for_as_far_back_as_is_promised() {
    let week = Duration::from_secs(7 * 24 * 3600);
    for (later, is_found) in [(week, true), (week + Duration::from_secs(1), false)] {
        let emulator = Emulator::builder().no_listener().clock(Clock::Virtual).start().await.expect("an emulator");
        let client = client(&emulator).await;
        copy_arrives(&client).await;
        emulator.clock().advance(later);
        client.run(&job()).start().await.expect("started");
        assert_eq!(client.find_start(&job(), &key()).await.expect("asked").is_some(), is_found);
    }
    let (client, _emulator) = setup().await;
    copy_arrives(&client).await;
    for _ in 0..999 {
        client.run(&job()).start().await.expect("started");
    }
    assert!(client.find_start(&job(), &key()).await.expect("asked").is_some());
    client.run(&job()).start().await.expect("started");
    assert!(client.find_start(&job(), &key()).await.expect("asked").is_none());
}

#[tokio::test]
async fn a_key_goes_into_the_container_that_is_named() {
    let (client, emulator) = setup().await;
    let container = |name: &str| Container {
        name: name.to_owned(),
        image: "us-docker.pkg.dev/runjob/samples/echo".to_owned(),
        ..Container::default()
    };
    let template = TaskTemplate { containers: vec![container("main"), container("sidecar")], ..Default::default() };
    let template = ExecutionTemplate { template: Some(template), ..ExecutionTemplate::default() };
    let pair = job().location().job("pair").expect("a job id");
    let definition = Job { template: Some(template), ..Job::default() };
    client.create_job(&pair, definition).await.expect("accepted").wait().await.expect("created");

    let nameless = client.run(&pair).start_key(key()).start().await.expect_err("which container?");
    assert_eq!(nameless.kind(), ErrorKind::Rejected, "{nameless}");
    let named = || client.run(&pair).container("sidecar", |unchanged| unchanged).start_key(key());
    let run = named().start().await.expect("started");
    let template = run.latest().and_then(|execution| execution.template.as_ref()).expect("a template");
    let marked: Vec<_> = template.containers.iter().map(|container| container.env.len()).collect();
    assert_eq!(marked, [0, 1]);
    assert!(named().start().await.expect("found").was_adopted());
    assert_eq!(emulator.ledger().len(), 1);
}

#[tokio::test]
async fn a_check_comes_first_and_starts_nothing() {
    let (client, emulator) = setup().await;
    let error = client.run(&job()).env("CLOUD_RUN_JOB", "x").validate_first().start().await.expect_err("reserved");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Rejected, Some(tonic::Code::InvalidArgument)));
    assert_eq!((sends(&emulator), emulator.ledger().len()), (1, 0));

    client.run(&job()).start_key(key()).validate_first().start().await.expect("started");
    assert_eq!((sends(&emulator), emulator.ledger().len()), (3, 1));
}

#[tokio::test]
async fn a_check_without_an_answer_has_started_nothing() {
    let (client, emulator) = setup().await;
    emulator.fault(Fault::after(Rpc::RunJob).lose_reply());
    let error = client.run(&job()).validate_first().start().await.expect_err("lost");
    assert_eq!(error.kind(), ErrorKind::NotStarted, "{error}");
    assert_eq!((sends(&emulator), emulator.ledger().len()), (1, 0));
}

/// What may become of a start. None of these is carried out later, after it has failed.
fn fates() -> [Fault; 5] {
    [
        Fault::before(Rpc::RunJob).drop_connection(),
        Fault::before(Rpc::RunJob).reset(Reason::RefusedStream),
        Fault::after(Rpc::RunJob).lose_reply(),
        Fault::after(Rpc::RunJob).reset(Reason::Cancel),
        Fault::after(Rpc::RunJob).answer(Status::unavailable("overloaded")),
    ]
}

/// How many starts a caller makes who repeats after every error, when the first three end like this.
async fn starts_of_a_stubborn_caller(emulator: &Emulator, fates: [&Fault; 3], is_keyed: bool) -> usize {
    emulator.reset();
    let client = client(emulator).await;
    let mut fates = fates.into_iter();
    loop {
        emulator.clear_faults();
        if let Some(fate) = fates.next() {
            emulator.fault(fate.clone().times(1));
        }
        let start = client.run(&job());
        let start = if is_keyed { start.start_key(key()) } else { start };
        if start.start().await.is_ok() {
            return emulator.ledger().len();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_key_a_caller_who_repeats_after_every_error_starts_once_and_without_one_it_does_not() {
    let (_, emulator) = setup().await;
    let (mut trials, mut doubled) = (0, 0);
    let fates = fates();
    for first in &fates {
        for second in &fates {
            for third in &fates {
                let three = [first, second, third];
                assert_eq!(starts_of_a_stubborn_caller(&emulator, three, true).await, 1, "{three:?}");
                doubled += usize::from(starts_of_a_stubborn_caller(&emulator, three, false).await > 1);
                trials += 1;
            }
        }
    }
    // Three of the five hide a start. A refused stream is sent again at once, and so the last of its sequence: 32 of
    // them hide none before that.
    assert_eq!((trials, doubled), (125, 125 - 32));
}
