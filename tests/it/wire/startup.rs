//! Starts that take time: the phases of a slow start-up, and delayed executions (api-facts 2.2, 10.1).

use std::time::Duration;

use runjob::{
    emulator::{Clock, Emulator, EmulatorBuilder, Runtime, Simulated, Simulation, Startup},
    proto::run::v2::{
        CancelExecutionRequest, Execution, Job, UpdateJobRequest,
        condition::{ExecutionReason, State},
        execution_reference::CompletionStatus,
    },
};

use super::{Api, condition, error, metadata, reason, response, rest};

const HOUR: Duration = Duration::from_secs(3600);
/// What the protos have no name for.
const LIMIT_EXCEEDED: i32 = 7;

/// Tasks last so long.
fn builder(length: Duration) -> EmulatorBuilder {
    let script = Simulation::new(move |_| Simulated::exits(0).after(length));
    Emulator::builder().clock(Clock::Virtual).seed(7).runtime(Runtime::Simulated(script))
}

fn slow() -> Startup {
    "image=1.1s,resources=27s,started=2s".parse().expect("valid")
}

fn states(execution: &Execution) -> [Option<State>; 3] {
    ["ContainerReady", "ResourcesAvailable", "Started"].map(|kind| {
        let found = execution.conditions.iter().find(|condition| condition.r#type == kind);
        found.map(|condition| condition.state())
    })
}

/// A job over REST, with what only REST has.
async fn create_delayed(api: &Api, task: &str) {
    let image = "us-docker.pkg.dev/runjob/samples/echo";
    let body = format!(
        r#"{{"template": {{"delayExecution": true, "template": {{"containers": [{{"image": "{image}"}}] {task}}}}}}}"#
    );
    let path = format!("/v2/{}/jobs?jobId=later", super::LOCATION);
    assert_eq!(rest::request(&api.emulator, "POST", &path, &[], &body).await.status, 200);
}

#[tokio::test]
async fn each_phase_of_a_slow_start_is_seen_in_its_condition() {
    let mut api = Api::start(builder(Duration::from_secs(5)).startup(slow())).await;
    let operation = api.run("echo").await;
    let name = metadata::<Execution>(&operation).name;
    let (wait, done, later) =
        (Some(State::ConditionPending), Some(State::ConditionSucceeded), Some(State::ConditionReconciling));
    for (millis, expected) in
        [(0, [wait, wait, later]), (1100, [done, wait, later]), (27_000, [done, done, later]), (2000, [done; 3])]
    {
        api.emulator.clock().advance(Duration::from_millis(millis));
        assert_eq!(states(&api.execution(&name).await.expect("it is there")), expected, "after {millis} ms more");
    }
    api.emulator.clock().advance(Duration::from_secs(5));
    let execution: Execution = response(&api.wait(&operation).await);
    for (kind, message) in [
        ("ContainerReady", "Imported container image in 1.1s."),
        ("ResourcesAvailable", "Provisioned imported containers."),
        ("Started", "Started deployed execution in 30.1s."),
        ("Completed", "Execution completed successfully in 35.1s."),
    ] {
        assert_eq!(condition(&execution, kind).message, message);
    }
}

#[tokio::test]
async fn an_execution_that_is_cancelled_while_it_starts_up_runs_no_task() {
    let mut api = Api::start(builder(HOUR).startup(slow())).await;
    let operation = api.run("echo").await;
    let name = metadata::<Execution>(&operation).name;
    api.emulator.clock().advance(Duration::from_secs(10));
    let request = CancelExecutionRequest { name: name.clone(), ..CancelExecutionRequest::default() };
    api.executions.cancel_execution(request).await.expect("it runs");
    let cancelled: Execution = response(&api.wait(&operation).await);
    assert_eq!(reason(condition(&cancelled, "Completed")), Some(ExecutionReason::Cancelled));
    api.emulator.clock().advance(HOUR);
    let later = api.execution(&name).await.expect("it is there");
    assert_eq!((later.start_time, later.cancelled_count), (None, 1));
}

/// api-facts 10.1: within 12 hours, and pending until then.
#[tokio::test]
async fn a_delayed_execution_is_pending_with_its_reason_and_starts_within_twelve_hours() {
    let mut api = Api::start(builder(Duration::from_secs(60))).await;
    create_delayed(&api, "").await;
    let began = api.emulator.clock().now();
    let operation = api.run("later").await;
    let name = metadata::<Execution>(&operation).name;
    let pending = api.execution(&name).await.expect("it is there");
    let completed = condition(&pending, "Completed");
    assert_eq!((completed.state(), pending.start_time), (State::ConditionPending, None));
    assert_eq!(reason(completed), Some(ExecutionReason::DelayedStartPending));
    api.emulator.clock().advance(HOUR * 12);
    let started = api.execution(&name).await.expect("it is there").start_time.expect("it has started");
    let started: std::time::SystemTime = started.try_into().expect("a time");
    assert!((began..=began + HOUR * 12).contains(&started));
    api.emulator.clock().advance(HOUR);
    assert_eq!(response::<Execution>(&api.wait(&operation).await).succeeded_count, 1);
}

/// cases 6.1, and the other way round.
#[tokio::test]
async fn a_start_says_for_itself_whether_it_may_be_delayed() {
    let mut api = Api::start(builder(HOUR)).await;
    create_delayed(&api, "").await;
    for (job, delayed) in [("echo", true), ("later", false)] {
        let body = format!(r#"{{"overrides": {{"delayExecution": {delayed}}}}}"#);
        let path = format!("/v2/{}/jobs/{job}:run", super::LOCATION);
        let answer = rest::request(&api.emulator, "POST", &path, &[], &body).await.json();
        let name = answer["metadata"]["name"].as_str().expect("an execution").to_owned();
        let execution = api.execution(&name).await.expect("it is there");
        assert_eq!(execution.start_time.is_none(), delayed, "{job}");
    }
}

#[tokio::test]
async fn the_delay_is_bounded_for_tests() {
    let mut api = Api::start(builder(HOUR).delay(Duration::from_secs(1))).await;
    create_delayed(&api, "").await;
    let name = metadata::<Execution>(&api.run("later").await).name;
    api.emulator.clock().advance(Duration::from_secs(1));
    assert!(api.execution(&name).await.expect("it is there").start_time.is_some());
}

/// api-facts 10.1: neither cancelled by a user nor failed by a task.
#[tokio::test]
async fn a_delayed_execution_over_its_limit_is_ended_by_the_system() {
    let mut api = Api::start(builder(HOUR * 8).delay(Duration::ZERO)).await;
    create_delayed(&api, r#", "timeout": "36000s""#).await;
    let mut job = api.job("later").await.expect("it is there");
    let template = job.template.as_mut().expect("it has one");
    (template.task_count, template.parallelism) = (2, 1);
    let request = UpdateJobRequest { job: Some(job), ..UpdateJobRequest::default() };
    api.jobs.update_job(request).await.expect("valid");
    let operation = api.run("later").await;
    api.emulator.clock().advance(HOUR * 12);
    let done = api.wait(&operation).await;
    assert_eq!(error(&done).0, tonic::Code::DeadlineExceeded as i32);
    let execution: Execution = metadata(&done);
    assert_eq!((execution.succeeded_count, execution.failed_count, execution.cancelled_count), (1, 0, 1));
    let completed = condition(&execution, "Completed");
    let reasons = completed.reasons.expect("there is one");
    assert_eq!(format!("{reasons:?}"), format!("ExecutionReason({LIMIT_EXCEEDED})"));
    let latest = api.job("later").await.expect("it is there").latest_created_execution.expect("there is one");
    assert_eq!(latest.completion_status(), CompletionStatus::ExecutionFailed);
    let path = format!("/v2/{}", execution.name);
    let answer = rest::request(&api.emulator, "GET", &path, &[], "").await.json().to_string();
    assert!(answer.contains("\"DELAYED_EXECUTION_EXCEEDING_DURATION_LIMIT\""), "{answer}");
}

/// UpdateJob has no mask: a client whose protos lack a field must not drop it.
#[tokio::test]
async fn an_update_over_grpc_keeps_what_only_rest_has() {
    let mut api = Api::start(builder(HOUR)).await;
    create_delayed(&api, "").await;
    let job = Job { labels: [("a".to_owned(), "b".to_owned())].into(), ..api.job("later").await.expect("there") };
    let request = UpdateJobRequest { job: Some(job), ..UpdateJobRequest::default() };
    api.jobs.update_job(request).await.expect("valid");
    let shown = api.get("jobs/later").await.json();
    assert_eq!((&shown["labels"]["a"], &shown["template"]["delayExecution"]), (&"b".into(), &true.into()));
}
