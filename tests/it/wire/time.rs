//! Whose time it is: tasks, timeouts and timestamps follow the emulator's clock, and equal calls give equal histories.

use std::time::{Duration, Instant, SystemTime};

use runjob::{
    emulator::{AttemptId, Clock, Emulator, Fault, Rpc, Runtime, Simulated, Simulation},
    proto::{
        longrunning::WaitOperationRequest,
        run::v2::{CancelExecutionRequest, Execution},
    },
};
use tonic::Status;

use super::{Api, args, error, job, metadata, response, retries, seconds};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn start(clock: Clock, script: impl Fn(&AttemptId) -> Simulated + Send + Sync + 'static) -> Api {
    let runtime = Runtime::Simulated(Simulation::new(script));
    Api::start(Emulator::builder().clock(clock).seed(7).runtime(runtime)).await
}

fn at(time: SystemTime) -> Option<prost_types::Timestamp> {
    Some(time.into())
}

#[tokio::test]
async fn a_task_of_a_week_takes_a_virtual_week() {
    let mut api = start(Clock::Virtual, |_| Simulated::exits(0).starting_after(HOUR).after(DAY * 6)).await;
    api.create("week", job("echo", |_, task| task.timeout = seconds(7 * 24 * 3600))).await.expect("valid");
    let began = api.emulator.clock().now();
    let operation = api.run("week").await;
    let name = metadata::<Execution>(&operation).name;

    api.emulator.clock().advance(HOUR / 2);
    assert_eq!(api.execution(&name).await.expect("there").start_time, None);
    api.emulator.clock().advance(DAY * 6);
    let running = api.execution(&name).await.expect("there");
    assert_eq!((running.start_time, running.completion_time), (at(began + HOUR), None));
    api.emulator.clock().advance(DAY);
    let execution: Execution = response(&api.wait(&operation).await);
    assert_eq!(execution.completion_time, at(began + HOUR + DAY * 6));
    assert_eq!(execution.create_time, at(began));
    assert_eq!(api.emulator.clock().now(), began + HOUR / 2 + DAY * 7);
}

#[tokio::test]
async fn a_fast_clock_leaves_out_the_waiting() {
    let mut api = start(Clock::Fast, |_| Simulated::exits(0).after(DAY)).await;
    api.create("long", job("echo", |_, task| task.timeout = seconds(7 * 24 * 3600))).await.expect("valid");
    let operation = api.run("long").await;
    let execution: Execution = response(&api.wait(&operation).await);
    let started: SystemTime = execution.start_time.expect("it started").try_into().expect("a time");
    assert_eq!(execution.completion_time, at(started + DAY));
}

#[tokio::test]
async fn a_real_clock_can_be_moved_on() {
    let mut api = start(Clock::Real, |_| Simulated::exits(0).after(DAY)).await;
    let operation = api.run("echo").await;
    api.emulator.clock().advance(HOUR);
    assert_eq!(error(&api.wait(&operation).await).0, tonic::Code::DeadlineExceeded as i32);
}

#[tokio::test]
async fn a_timeout_comes_at_its_virtual_second_and_leaves_ten_to_shut_down() {
    let mut api = start(Clock::Virtual, |_| Simulated::exits(0).after(DAY).shutting_down_for(HOUR)).await;
    api.create("slow", job("echo", |_, task| (task.timeout, task.retries) = (seconds(60), retries(0))))
        .await
        .expect("valid");
    let began = api.emulator.clock().now();
    let operation = api.run("slow").await;
    api.emulator.clock().advance(Duration::from_secs(69));
    assert!(!api.operation(&operation.name).await.done);
    api.emulator.clock().advance(Duration::from_secs(1));
    let done = api.operation(&operation.name).await;
    assert_eq!(error(&done).0, tonic::Code::DeadlineExceeded as i32);
    assert_eq!(metadata::<Execution>(&done).completion_time, at(began + Duration::from_secs(70)));
}

#[tokio::test]
async fn a_cancelled_task_has_ten_virtual_seconds() {
    let mut api = start(Clock::Virtual, |_| Simulated::exits(0).after(DAY).shutting_down_for(HOUR)).await;
    let name = metadata::<Execution>(&api.run("echo").await).name;
    let request = CancelExecutionRequest { name: name.clone(), ..CancelExecutionRequest::default() };
    api.executions.cancel_execution(request).await.expect("it runs");
    api.emulator.clock().advance(Duration::from_secs(9));
    assert!(api.execution(&name).await.expect("there").reconciling);
    api.emulator.clock().advance(Duration::from_secs(1));
    assert_eq!(api.execution(&name).await.expect("there").cancelled_count, 1);
    assert_eq!(api.tasks(&name).await[0].last_attempt_result.as_ref().expect("one").term_signal, 0);
}

/// It is the caller who waits.
#[tokio::test]
async fn wait_operation_holds_its_caller_in_real_time() {
    let mut api = start(Clock::Virtual, |_| Simulated::exits(0).after(DAY)).await;
    let operation = api.run("echo").await;
    let timeout = Some(prost_types::Duration { seconds: 0, nanos: 30_000_000 });
    let began = Instant::now();
    let request = WaitOperationRequest { name: operation.name, timeout };
    assert!(!api.operations.wait_operation(request).await.expect("there").into_inner().done);
    assert!(began.elapsed() >= Duration::from_millis(30));
}

/// Calls and time, what a script and some faults make of them, and all that can be seen afterwards.
async fn history(seed: u64) -> String {
    let script = |attempt: &AttemptId| {
        let (task, again) = (attempt.task_index, attempt.attempt);
        let does = if (task + again) % 3 == 1 { Simulated::exits(1) } else { Simulated::exits(0) };
        does.starting_after(Duration::from_millis(u64::from(task) * 700)).after(Duration::from_secs(20))
    };
    let runtime = Runtime::Simulated(Simulation::new(script));
    let mut api = Api::start(Emulator::builder().clock(Clock::Virtual).seed(seed).runtime(runtime)).await;
    api.emulator.fault(Fault::after(Rpc::RunJob).answer(Status::unavailable("try later")).random(0.5, 5));
    let shape = job("echo", |template, task| {
        (template.task_count, template.parallelism, task.retries) = (7, 2, retries(2));
    });
    api.create("wide", shape).await.expect("valid");
    for round in 0..9 {
        // Whether it is answered or not is part of the history.
        _ = api.run_with("wide", args(&[&round.to_string()])).await;
        api.emulator.clock().advance(Duration::from_secs(17));
        if round % 3 == 2 {
            let name = api.emulator.ledger().last().expect("it was started").execution.to_string();
            let request = CancelExecutionRequest { name, ..CancelExecutionRequest::default() };
            api.executions.cancel_execution(request).await.expect("it runs");
        }
    }
    api.emulator.clock().advance(HOUR);
    format!("{}\n{:?}\n{:?}", api.emulator.snapshot(), api.emulator.ledger(), api.emulator.journal())
}

#[tokio::test]
async fn equal_seeds_and_equal_calls_give_equal_histories() {
    let first = history(11).await;
    assert!(first == history(11).await, "the two histories differ");
    assert!(first != history(12).await, "the ids do not come from the seed");
}

#[tokio::test]
async fn a_reset_emulator_is_as_it_was_when_it_started() {
    let mut api = start(Clock::Virtual, |_| Simulated::exits(0).after(HOUR)).await;
    let (before, began) = (api.emulator.snapshot(), api.emulator.clock().now());
    let first = api.run("echo").await;
    api.create("other", job("echo", |_, _| {})).await.expect("valid");
    api.emulator.clock().advance(DAY);
    api.emulator.reset();
    assert_eq!((api.emulator.snapshot(), api.emulator.clock().now()), (before, began));
    assert!(api.emulator.ledger().is_empty());
    assert_eq!(api.run("echo").await, first);
}

#[tokio::test]
async fn a_reset_ends_what_runs_and_what_waits() {
    let mut api = Api::real().await;
    let operation = api.run_with("sleep", args(&["1000"])).await.expect("accepted");
    let mut operations = api.operations.clone();
    let request = WaitOperationRequest { name: operation.name, timeout: seconds(60) };
    let waiting = tokio::spawn(async move { operations.wait_operation(request).await });
    tokio::task::yield_now().await;
    api.emulator.reset();
    let answer = waiting.await.expect("no panic").expect_err("it is gone");
    assert_eq!(answer.code(), tonic::Code::NotFound);
    let again = api.run("echo").await;
    let execution: Execution = response(&api.wait(&again).await);
    assert_eq!(execution.succeeded_count, 1);
}
