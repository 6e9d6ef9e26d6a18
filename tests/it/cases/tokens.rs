//! Case 25: exactly once by token, when answers are lost, copies come late and others change the job.

use std::time::Duration;

use futures_util::future::join_all;
use prost::Message as _;
use runjob::{
    Client, ErrorKind, JobName, Outcome, Routing, StartToken,
    emulator::{Emulator, Fault, Reason, Rpc},
    proto::{
        longrunning::Operation,
        run::v2::{
            Container, Execution, ExecutionTemplate, Job, TaskTemplate, UpdateJobRequest, job::CreateExecution,
            jobs_client::JobsClient,
        },
    },
};
use tokio::{sync::mpsc, task::yield_now};
use tonic::Status;

use super::{arm, job, scripted};
use crate::{
    cli::{JOBS, Ran, place::Place},
    client::keys::{client, setup},
    program::runjob,
};

const HELD: Duration = Duration::from_secs(5);

fn token() -> StartToken {
    "nightly-1".parse().expect("a token")
}

/// The ids in the ledger.
fn started(emulator: &Emulator) -> Vec<String> {
    emulator.ledger().iter().map(|start| start.execution.id().to_owned()).collect()
}

fn count(emulator: &Emulator, rpc: Rpc) -> usize {
    emulator.journal().iter().filter(|call| call.rpc == rpc).count()
}

/// Once so many calls of this RPC have come in.
async fn called(emulator: &Emulator, rpc: Rpc, times: usize) {
    while count(emulator, rpc) < times {
        yield_now().await;
    }
}

/// What another client sends: this job with a token.
async fn update(client: &Client, held: Job, token: &str) -> Result<Operation, Status> {
    let token = Some(CreateExecution::StartExecutionToken(token.to_owned()));
    let request =
        UpdateJobRequest { job: Some(Job { create_execution: token, ..held }), ..UpdateJobRequest::default() };
    let request = Routing::location(job().location()).request(request);
    JobsClient::new(client.transport()).update_job(request).await.map(tonic::Response::into_inner)
}

/// What can become of an update on the way: nothing at all, or its effect and no answer, or words that do not tell.
fn fates() -> [Fault; 6] {
    [
        Fault::before(Rpc::UpdateJob).drop_connection(),
        Fault::before(Rpc::UpdateJob).reset(Reason::RefusedStream),
        Fault::before(Rpc::UpdateJob).answer(Status::aborted("somebody was faster")),
        Fault::after(Rpc::UpdateJob).lose_reply(),
        Fault::after(Rpc::UpdateJob).truncate_reply(),
        Fault::after(Rpc::UpdateJob).answer(Status::internal("oh")),
    ]
}

#[tokio::test]
async fn a_token_names_the_execution_and_whoever_comes_later_finds_it() {
    let (client, emulator) = setup().await;
    let mut run = client.start_once(&job(), &token()).await.expect("started");
    assert_eq!((run.execution().id(), run.was_adopted()), ("echo-nightly-1", false));
    let again = self::client(&emulator).await.start_once(&job(), &token()).await.expect("found");
    assert!(again.was_adopted() && again.execution() == run.execution());
    assert_eq!(run.wait().await.expect("waited").outcome(), &Outcome::Succeeded);
    client.start_once(&job(), &"nightly-2".parse().expect("a token")).await.expect("started");
    assert!(client.start_once(&job(), &token()).await.expect("found").was_adopted());
    assert_eq!(started(&emulator), ["echo-nightly-1", "echo-nightly-2"]);
}

/// Library, program and ledger, whatever becomes of the first update.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_is_lost_starts_once() {
    let place = Place::new().await;
    for fate in fates() {
        let faults = [fate.times(1)];
        arm(&place, &faults);
        let run = place.client().await.start_once(&job(), &token()).await.expect("started");
        assert_eq!((run.execution().id(), place.starts()), ("echo-nightly-1", 1), "{faults:?}");

        arm(&place, &faults);
        let ran = place.ran("execute echo --exactly-once=nightly-1");
        let name = format!("{JOBS}/echo/executions/echo-nightly-1\n");
        assert_eq!((ran.status, &ran.stdout, place.starts()), (0, &name, 1), "{faults:?}: {ran:#?}");
    }
    let again = place.ran("execute echo --exactly-once=nightly-1");
    assert!(again.stderr.contains("found by token nightly-1, and not started again"), "{again:#?}");
    assert_eq!((again.status, place.starts()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn any_three_losses_in_a_row_and_a_repetition_start_once() {
    let (_, emulator) = setup().await;
    let fates = fates();
    let (mut trials, mut refused) = (0, 0);
    for first in &fates {
        for second in &fates {
            for third in &fates {
                emulator.reset();
                for (call, fate) in (1..).zip([first, second, third]) {
                    emulator.fault(fate.clone().nth(call));
                }
                let run = client(&emulator).await.start_once(&job(), &token()).await;
                let told = format!("{first:?}, {second:?}, {third:?}: {run:?}");
                // A stream is refused three times at the most; that is a proof.
                let starts = if matches!(&run, Err(error) if error.kind() == ErrorKind::NotStarted) { 0 } else { 1 };
                assert_eq!((started(&emulator).len(), run.is_ok()), (starts, starts == 1), "{told}");
                refused += usize::from(run.is_err());
                client(&emulator).await.start_once(&job(), &token()).await.expect("started or found");
                assert_eq!(started(&emulator), ["echo-nightly-1"], "{told}");
                trials += 1;
            }
        }
    }
    assert_eq!((trials, refused), (216, 1));
}

#[tokio::test(start_paused = true)]
async fn a_late_copy_of_the_first_update_has_no_effect() {
    let (client, emulator) = setup().await;
    let held = client.job(&job()).await.expect("the job");
    emulator.fault(Fault::before(Rpc::UpdateJob).drop_connection().times(1));
    client.start_once(&job(), &token()).await.expect("started");
    assert_eq!(count(&emulator, Rpc::UpdateJob), 2, "sent again");
    let late = update(&client, held, "nightly-1").await.expect_err("the job has changed");
    assert_eq!((late.code(), started(&emulator)), (tonic::Code::Aborted, vec!["echo-nightly-1".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_somebody_else_changes_first_is_read_again() {
    let (client, emulator) = setup().await;
    emulator.fault(Fault::before(Rpc::UpdateJob).delay(HELD).nth(1));
    let other = async {
        called(&emulator, Rpc::UpdateJob, 1).await;
        update(&client, client.job(&job()).await.expect("the job"), "other").await.expect("accepted");
    };
    let (run, ()) = tokio::join!(async { client.start_once(&job(), &token()).await }, other);
    assert!(!run.expect("started").was_adopted());
    assert_eq!(started(&emulator), ["echo-other", "echo-nightly-1"]);
}

/// The first update is lost before or after its effect, and another one comes in before anybody looks.
#[tokio::test(start_paused = true)]
async fn a_lost_update_that_was_superseded_is_found_or_stays_unknown_and_is_never_forced() {
    for (fate, took_effect) in
        [(Fault::after(Rpc::UpdateJob).lose_reply(), true), (Fault::before(Rpc::UpdateJob).drop_connection(), false)]
    {
        let (client, emulator) = setup().await;
        emulator.fault(fate.nth(1));
        // The look after the loss; the one before was the first.
        emulator.fault(Fault::before(Rpc::GetExecution).delay(HELD).nth(2));
        let other = async {
            called(&emulator, Rpc::GetExecution, 2).await;
            update(&client, client.job(&job()).await.expect("the job"), "other").await.expect("accepted");
        };
        let (run, ()) = tokio::join!(async { client.start_once(&job(), &token()).await }, other);
        match run {
            Ok(run) => assert!(took_effect && run.was_adopted()),
            Err(error) => {
                assert!(!took_effect && error.kind() == ErrorKind::StartUnknown, "{error}");
                assert!(error.to_string().contains("the same token again is safe"), "{error}");
                client.start_once(&job(), &token()).await.expect("started");
            }
        }
        let mut started = started(&emulator);
        started.sort();
        assert_eq!(started, ["echo-nightly-1", "echo-other"]);
    }
}

#[tokio::test(start_paused = true)]
async fn many_callers_with_one_token_start_once_and_have_the_same_execution() {
    let (_, emulator) = setup().await;
    let clients = join_all((0..20).map(|_| client(&emulator))).await;
    let (job, token) = (job(), token());
    let runs = join_all(clients.iter().map(|client| client.start_once(&job, &token))).await;
    for run in runs {
        assert_eq!(run.expect("started").execution().id(), "echo-nightly-1");
    }
    assert_eq!(started(&emulator), ["echo-nightly-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_whose_execution_is_gone_starts_nothing_and_says_so() {
    let (client, emulator) = setup().await;
    let mut run = client.start_once(&job(), &token()).await.expect("started");
    run.wait().await.expect("waited");
    client.delete_execution(run.execution()).await.expect("deleted").wait().await.expect("gone");
    let error = client.start_once(&job(), &token()).await.expect_err("it is the job's token still");
    assert_eq!(error.kind(), ErrorKind::StartUnknown);
    assert!(error.to_string().contains("has this token already"), "{error}");
    assert_eq!((started(&emulator).len(), count(&emulator, Rpc::UpdateJob)), (1, 1));
}

#[tokio::test]
async fn a_job_that_is_not_ready_says_why_nothing_has_started_yet() {
    let emulator = Emulator::builder().no_listener().start().await.expect("an emulator");
    let client = client(&emulator).await;
    let container = Container { image: "example.com/nowhere".to_owned(), ..Container::default() };
    let task = TaskTemplate { containers: vec![container], ..TaskTemplate::default() };
    let template = Some(ExecutionTemplate { template: Some(task), ..ExecutionTemplate::default() });
    let lost: JobName = format!("{JOBS}/lost").parse().expect("a name");
    let created = client.create_job(&lost, Job { template, ..Job::default() }).await.expect("accepted").wait().await;
    assert!(created.is_err(), "its image is missing");
    let error = client.start_once(&lost, &token()).await.expect_err("not ready");
    assert_eq!(error.kind(), ErrorKind::StartUnknown);
    assert!(error.to_string().contains("Image 'example.com/nowhere' not found."), "{error}");
    assert!(emulator.ledger().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_update_has_started_nothing() {
    let place = Place::new().await;
    let denied = Fault::before(Rpc::UpdateJob).answer(Status::permission_denied("Permission 'run.jobs.update' denied"));
    arm(&place, &[denied]);
    let error = place.client().await.start_once(&job(), &token()).await.expect_err("denied");
    assert_eq!(error.kind(), ErrorKind::Rejected);
    let ran = place.ran("execute echo --exactly-once=nightly-1");
    assert_eq!((ran.status, place.starts()), (6, 0), "{ran:#?}");
    assert_eq!(place.ran("execute none --exactly-once=nightly-1").status, 7);
}

#[test]
fn a_token_that_cannot_be_or_stands_beside_overrides_is_refused_before_anything_is_called() {
    let longest = "a".repeat(59);
    let cases = [
        ("--exactly-once=Nightly_1", "is not a token"),
        (&*format!("--exactly-once={longest}"), "63 characters together"),
        ("--exactly-once=a --args=b", "starts the job as it is"),
        ("--exactly-once=a --start-key=b", "cannot be used with"),
        ("--exactly-once=a --validate-first", "cannot be used with"),
    ];
    for (flags, why) in cases {
        let mut command = runjob(&format!("execute echo {flags}"));
        command.env("RUN_EMULATOR_HOST", "127.0.0.1:1");
        let ran = Ran::of(command);
        assert_eq!(ran.status, 2, "{ran:#?}");
        assert!(ran.stderr.contains(why), "{ran:#?}");
    }
}

/// A service that is newer than our protos: what they do not know of the job comes back to it.
#[tokio::test]
async fn what_our_protos_do_not_know_of_a_job_stays_as_it_was() {
    // Field 999, a string.
    const UNKNOWN: &[u8] = b"\xba\x3e\x07unknown";
    let known = Job { name: job().to_string(), etag: "\"7\"".to_owned(), ..Job::default() };
    let held = [&known.encode_to_vec()[..], UNKNOWN].concat();
    let (seen, mut updates) = mpsc::unbounded_channel();
    let answer = held.clone();
    let peer = scripted(move |rpc, before, message| match rpc {
        "GetJob" => Some(answer.clone()),
        "UpdateJob" => {
            let _ = seen.send(message.to_vec());
            let name = format!("{}/operations/1", job().location());
            Some(Operation { name, ..Operation::default() }.encode_to_vec())
        }
        // It is there once it was asked for.
        _ => (before > 0).then(|| {
            let name = token().execution(&job()).expect("a name").to_string();
            Execution { name, ..Execution::default() }.encode_to_vec()
        }),
    })
    .await;
    let client = Client::builder().emulator(peer.address.to_string()).build().await.expect("a client");
    client.start_once(&job(), &token()).await.expect("started");
    let sent = updates.recv().await.expect("an update");
    let at = sent.windows(held.len()).position(|window| window == held).expect("all that was read is sent");
    let token =
        Job { create_execution: Some(CreateExecution::StartExecutionToken("nightly-1".to_owned())), ..Job::default() };
    assert_eq!(sent[at + held.len()..], token.encode_to_vec());
}
