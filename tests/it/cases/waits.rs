//! Cases 27 to 38: waits. Tasks take an hour of the emulator's time, which passes when enough has gone wrong.

use std::time::Duration;

use futures_util::StreamExt as _;
use prost::Message as _;
use runjob::{
    Client, ErrorKind, ExecutionName, Outcome, TaskEnd,
    emulator::{AttemptId, Emulator, Fault, Reason, Rpc, Runtime, Simulated, Simulation},
    proto::{
        longrunning::Operation,
        run::v2::{Condition, Execution, condition::State},
    },
};
use serde_json::json;
use tokio::{task::yield_now, time::Instant};
use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{arm, job, ran_at, scripted};
use crate::{
    cli::{JOBS, place::Place},
    program::Running,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A script by which each attempt takes an hour.
fn slow(end: impl Fn(&AttemptId) -> Simulated + Send + Sync + 'static) -> Runtime {
    Runtime::Simulated(Simulation::new(move |attempt| end(attempt).after(HOUR)))
}

async fn place() -> Place {
    Place::of(Emulator::builder().runtime(slow(|_| Simulated::exits(0)))).await
}

/// Once the operation was asked about so many times.
async fn asked(emulator: &Emulator, times: usize) {
    let is_poll = |rpc| matches!(rpc, Rpc::WaitOperation | Rpc::GetOperation);
    while emulator.journal().iter().filter(|call| is_poll(call.rpc)).count() < times {
        yield_now().await;
    }
}

/// Both the library and the program wait through these faults; the task ends after so many questions.
async fn rides_out(place: &Place, faults: &[Fault], questions: usize) {
    arm(place, faults);
    let mut run = place.client().await.run(&job()).task_timeout(2 * HOUR).start().await.expect("started");
    let end = async {
        asked(&place.emulator, questions).await;
        place.emulator.clock().advance(HOUR);
    };
    let (finished, ()) = tokio::join!(run.wait(), end);
    assert_eq!(finished.expect("waited").outcome(), &Outcome::Succeeded, "{faults:?}");

    arm(place, faults);
    let running = Running::start(place.command("execute echo --task-timeout=2h --wait --format=json"));
    asked(&place.emulator, questions).await;
    place.emulator.clock().advance(HOUR);
    let ran = running.end();
    assert_eq!((ran.status, &ran.json()["outcome"]), (0, &json!("SUCCEEDED")), "{faults:?}: {ran:#?}");
    assert_eq!(place.starts(), 1);
}

/// Case 27.
#[tokio::test(flavor = "multi_thread")]
async fn polls_that_fail_are_ridden_out() {
    let place = place().await;
    for fault in [
        Fault::before(Rpc::WaitOperation).answer(Status::unavailable("away")),
        Fault::before(Rpc::WaitOperation).answer(Status::internal("oh")),
        Fault::before(Rpc::WaitOperation).answer(Status::unknown("who knows")),
        Fault::before(Rpc::WaitOperation).answer(Status::deadline_exceeded("late")),
        Fault::before(Rpc::WaitOperation).drop_connection(),
        Fault::before(Rpc::WaitOperation).reset(Reason::InternalError),
        Fault::before(Rpc::WaitOperation).reset(Reason::RefusedStream),
    ] {
        rides_out(&place, &[fault.times(2)], 3).await;
    }
}

/// Case 28: each connection is good for one answer, which is more than a maximum age of a second.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_ends_with_every_answer_is_ridden_out() {
    let place = place().await;
    let short_poll = Fault::before(Rpc::WaitOperation).answer(Status::unavailable("too old"));
    for reason in [Reason::NoError, Reason::EnhanceYourCalm] {
        rides_out(&place, &[Fault::after(None).go_away(reason), short_poll.clone().times(2)], 3).await;
    }
}

/// Case 29.
#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_is_forgotten_leaves_its_execution_to_wait_for() {
    let place = place().await;
    let forgotten = Status::not_found("no such operation");
    let faults = [Rpc::WaitOperation, Rpc::GetOperation].map(|rpc| Fault::before(rpc).answer(forgotten.clone()));
    rides_out(&place, &faults, 1).await;
}

/// Case 30. Deleted is an end of an execution like any other that is no success, and so it is 1, not 7. It is cancelled
/// first, and that may be what is seen.
#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_is_deleted_meanwhile_ends_with_status_1() {
    let place = place().await;
    let running = Running::start(place.command("execute echo --wait --format=json"));
    asked(&place.emulator, 1).await;
    let name = place.emulator.ledger()[0].execution.clone();
    place.client().await.delete_execution(&name).await.expect("deleted").wait().await.expect("gone");
    let ran = running.end();
    assert_eq!(ran.status, 1, "{ran:#?}");
    assert!([json!("DELETED"), json!("CANCELLED")].contains(&ran.json()["outcome"]), "{ran:#?}");
}

/// Case 31.
#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_is_lost_while_waiting_ends_with_6_and_the_name_to_go_on_with() {
    let place = place().await;
    for status in [Status::permission_denied("Permission 'run.operations.get' denied"), Status::unauthenticated("no")] {
        // By both ways to ask.
        let faults = [Rpc::WaitOperation, Rpc::GetExecution].map(|rpc| Fault::before(rpc).answer(status.clone()));
        arm(&place, &faults);
        let mut run = place.client().await.run(&job()).start().await.expect("started");
        assert_eq!(run.wait().await.expect_err("denied").code(), Some(status.code()));
        assert!(run.latest().is_some(), "the handle is as it was");

        arm(&place, &faults);
        let ran = place.ran("execute echo --wait");
        let name = format!("{JOBS}/echo/executions/echo-ID");
        assert_eq!((ran.status, ran.stdout), (6, format!("{name}\n")));
        assert!(ran.stderr.contains(&format!("go on with `runjob wait {name}`")), "{}", ran.stderr);
        assert_eq!(place.emulator.journal().iter().filter(|call| call.rpc == Rpc::WaitOperation).count(), 1);
    }
}

/// Case 35, the operation: old answers come after new ones, the end comes without a result, and is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_was_told_is_not_taken_back() {
    let old_answers = |rpc: &str, before: usize, _: &[u8]| match (rpc, before) {
        ("RunJob", _) | ("WaitOperation", 0) => Some(operation(false, running(0))),
        ("WaitOperation", 1) => Some(operation(false, running(1))),
        ("WaitOperation", 2) => Some(operation(false, running(0))),
        // Done, without a result, and with an execution that says otherwise.
        ("WaitOperation", _) => Some(operation(true, running(1))),
        // From here on the operation is as it was at first, for ever.
        ("GetOperation", _) => Some(operation(false, running(0))),
        // Every other answer comes from where the end is not known.
        ("GetExecution", nth) if nth % 2 == 1 => Some(finished().encode_to_vec()),
        ("GetExecution", _) => Some(running(0).encode_to_vec()),
        _ => None,
    };
    let peer = scripted(old_answers).await;
    let client = Client::builder().emulator(peer.address.to_string()).build().await.expect("a client");
    let mut run = client.run(&job()).start().await.expect("started");
    run.set_wait_limit(Some(Duration::from_secs(60)));
    for _ in 0..2 {
        assert_eq!(run.wait().await.expect("waited").outcome(), &Outcome::Succeeded);
        assert!(run.poll().await.expect("known").is_some());
    }
    let peer = scripted(old_answers).await;
    let ran = ran_at(peer.address, "execute echo --wait --wait-limit=60s --format=json");
    assert_eq!((ran.status, &ran.json()["outcome"]), (0, &json!("SUCCEEDED")), "{ran:#?}");
}

/// Case 36. What the service advises is heeded within bounds: never a busy loop, and five minutes at the longest.
#[tokio::test(start_paused = true)]
async fn advice_is_heeded_within_bounds() {
    let advice = |pause| {
        let details = ErrorDetails::with_retry_info(Some(pause));
        Status::with_error_details(Code::Unavailable, "later", details)
    };
    let pushback = |text: &'static str| {
        let mut status = Status::unavailable("later");
        status.metadata_mut().insert("grpc-retry-pushback-ms", MetadataValue::from_static(text));
        status
    };
    for (status, shortest, longest) in [
        (advice(Duration::ZERO), 1, 1),
        (advice(HOUR), 4 * 300, 4 * 300),
        (pushback("3600000"), 4 * 300, 4 * 300),
        (pushback("0"), 1, 1),
        // No advice that can be followed, and waiting is not what it forbids.
        (pushback("-1"), 0, 4),
        (pushback("soon"), 0, 4),
    ] {
        let told = format!("{status:?}");
        let emulator = Emulator::builder().no_listener().runtime(slow(|_| Simulated::exits(0)));
        let emulator = emulator.start().await.expect("an emulator");
        let client = Client::builder().connector(emulator.connector()).build().await.expect("a client");
        emulator.fault(Fault::before(Rpc::WaitOperation).answer(status).times(4));
        let mut run = client.run(&job()).task_timeout(2 * HOUR).start().await.expect("started");
        assert_eq!(run.wait().await.expect("waited").outcome(), &Outcome::Succeeded, "{told}");
        let calls = emulator.journal();
        let mut asked = calls.iter().filter(|call| call.rpc == Rpc::WaitOperation).map(|call| call.time);
        let (first, fifth) = (asked.next().expect("asked"), asked.nth(3).expect("asked again"));
        let elapsed = fifth.duration_since(first).expect("later").as_secs();
        assert!((shortest..=longest).contains(&elapsed), "{told}: {elapsed} s");
    }
}

/// Case 36, for waits that share a list.
#[tokio::test(start_paused = true)]
async fn advice_about_a_shared_list_is_heeded_within_bounds() {
    let runtime = Runtime::Simulated(Simulation::default());
    let emulator = Emulator::builder().no_listener().runtime(runtime).start().await.expect("an emulator");
    let client = Client::builder().connector(emulator.connector()).build().await.expect("a client");
    let mut runs = Vec::new();
    // More than are waited for one by one.
    for _ in 0..40 {
        runs.push(client.run(&job()).start().await.expect("started"));
    }
    let details = ErrorDetails::with_retry_info(Some(24 * HOUR));
    let tomorrow = Status::with_error_details(Code::ResourceExhausted, "later", details);
    emulator.fault(Fault::before(Rpc::ListExecutions).answer(tomorrow).times(1));
    let began = Instant::now();
    let ended: Vec<_> = client.watch(runs).collect().await;
    assert!(ended.iter().all(|(_, result)| result.is_ok()), "{ended:?}");
    assert_eq!(began.elapsed().as_secs(), 300);
}

/// Case 37 for both; that it runs on, the clock shows.
#[tokio::test(flavor = "multi_thread")]
async fn patience_that_ends_leaves_it_running_with_status_5() {
    let place = place().await;
    arm(&place, &[]);
    let ran = place.ran("execute echo --task-timeout=2h --wait --wait-limit=0.1s --format=json");
    assert_eq!((ran.status, &ran.json()["outcome"]), (5, &json!("STARTED")), "{ran:#?}");
    let mut run = place.client().await.attach(&place.emulator.ledger()[0].execution);
    run.set_wait_limit(Some(Duration::from_millis(50)));
    assert_eq!(run.wait().await.expect_err("it runs").kind(), ErrorKind::WaitLimit);
    place.emulator.clock().advance(HOUR);
    run.set_wait_limit(None);
    assert_eq!(run.wait().await.expect("waited").outcome(), &Outcome::Succeeded);
    assert_eq!(place.starts(), 1);
}

/// Case 38: one task fails at first and is retried; another, in another run, has no try left.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_failed_and_is_tried_again_is_no_end() {
    let first_attempts_of = |lasting: bool| {
        slow(move |attempt| {
            Simulated::exits(i32::from(attempt.task_index == 1 && (lasting || attempt.attempt == 0)) * 3)
        })
    };
    for lasting in [false, true] {
        let place = Place::of(Emulator::builder().runtime(first_attempts_of(lasting))).await;
        let job = format!("{JOBS}/flaky").parse().expect("a name");
        let start = place.client().await.run(&job).task_count(2).task_timeout(2 * HOUR);
        let mut run = start.start().await.expect("started");
        place.emulator.clock().advance(HOUR);
        assert!(run.poll().await.expect("asked").is_none(), "a try is left");
        let counts = run.latest().map(|latest| (latest.succeeded_count, latest.failed_count, latest.retried_count));
        assert_eq!(counts, Some((1, 0, 1)));

        let running = Running::start(place.command(&format!("wait {} --format=json", run.execution())));
        // Every attempt that may be left.
        for _ in 0..4 {
            place.emulator.clock().advance(HOUR);
        }
        let finished = run.wait().await.expect("waited");
        let ran = running.end();
        if lasting {
            let Outcome::Failed(tasks) = finished.outcome() else { panic!("{}", finished.outcome()) };
            assert_eq!((tasks.len(), tasks[0].index, tasks[0].end), (1, 1, TaskEnd::ExitCode(3)));
            assert_eq!((ran.status, &ran.json()["failures"][0]["exitCode"]), (1, &json!(3)), "{ran:#?}");
        } else {
            assert_eq!(finished.outcome(), &Outcome::Succeeded);
            assert_eq!((ran.status, &ran.json()["tasks"]["retried"]), (0, &json!(1)), "{ran:#?}");
        }
    }
}

/// An execution that runs, with so many tasks of two that have succeeded.
fn running(succeeded: i32) -> Execution {
    Execution { name: name().to_string(), task_count: 2, succeeded_count: succeeded, ..Execution::default() }
}

fn finished() -> Execution {
    let completed =
        Condition { r#type: "Completed".to_owned(), state: State::ConditionSucceeded as i32, ..Condition::default() };
    let completion_time = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    Execution { conditions: vec![completed], completion_time, ..running(2) }
}

fn name() -> ExecutionName {
    job().execution("echo-abcde").expect("a name")
}

fn operation(done: bool, execution: Execution) -> Vec<u8> {
    let metadata = Some(prost_types::Any::from_msg(&execution).expect("an Any"));
    let name = format!("{}/operations/1", job().location());
    Operation { name, metadata, done, ..Operation::default() }.encode_to_vec()
}
