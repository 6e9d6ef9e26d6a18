//! Starting, watching and ending executions, against the emulator in this process.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, TryStreamExt as _};
use runjob::{
    Client, ErrorKind, ExecutionName, JobName, Location, Outcome, TaskEnd,
    emulator::{Emulator, Fault, Rpc, Runtime, Simulation},
    proto::run::v2::{Container, EnvVar, ExecutionTemplate, Job, TaskTemplate, env_var},
};
use tonic::{Code, Status};
use tower::Service as _;

/// An emulator without a socket, and a client of it.
pub(super) async fn setup() -> (Client, Emulator) {
    let emulator = Emulator::builder().no_listener().start().await.expect("an emulator");
    let client = Client::builder().connector(emulator.connector()).build().await.expect("a client");
    (client, emulator)
}

pub(super) fn here() -> Location {
    Location::new("demo", "us-central1").expect("a location")
}

pub(super) fn job(id: &str) -> JobName {
    here().job(id).expect("a job id")
}

#[tokio::test]
async fn a_start_returns_while_the_execution_runs_on() {
    let (client, emulator) = setup().await;
    let mut run = client.run(&job("sleep")).args(["600"]).start().await.expect("started");
    assert_eq!(run.execution().job(), &job("sleep"));
    assert!(run.operation().is_some());
    assert_eq!(run.latest().expect("metadata").name, run.execution().to_string());
    assert!(run.poll().await.expect("asked").is_none());
    assert_eq!(emulator.ledger().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_start_waits_for_a_server_that_comes_up() {
    let emulator = Emulator::builder().no_listener().start().await.expect("an emulator");
    let (connector, attempts) = (emulator.connector(), Arc::new(AtomicU32::new(0)));
    let down = tower::service_fn(move |uri| {
        let refused = attempts.fetch_add(1, Relaxed) < 3;
        let mut connector = connector.clone();
        async move { if refused { Err(io::ErrorKind::ConnectionRefused.into()) } else { connector.call(uri).await } }
    });
    let client = Client::builder().connector(down).build().await.expect("a client");
    client.run(&job("echo")).start().await.expect("started");
    assert_eq!(emulator.ledger().len(), 1);
}

#[tokio::test]
async fn overrides_take_effect_and_the_execution_proves_it() {
    let (client, _emulator) = setup().await;
    let mut run = client
        .run(&job("echo"))
        .args(["hello", "rust"])
        .env("MODE", "full")
        .task_count(3)
        .task_timeout(Duration::from_secs(90))
        .start()
        .await
        .expect("started");
    let finished = run.wait().await.expect("waited");
    assert_eq!(finished.outcome(), &Outcome::Succeeded);
    let execution = finished.execution();
    assert_eq!((execution.task_count, execution.succeeded_count), (3, 3));
    let template = execution.template.as_ref().expect("a template");
    assert_eq!(template.timeout.map(|limit| limit.seconds), Some(90));
    assert_eq!(template.containers[0].args, ["hello", "rust"]);
    let mode = EnvVar { name: "MODE".to_owned(), values: Some(env_var::Values::Value("full".to_owned())) };
    assert!(template.containers[0].env.contains(&mode));

    let unchanged = client.job(&job("echo")).await.expect("the job").template.expect("a template");
    assert_eq!(unchanged.task_count, 1);
    let tasks: Vec<_> = client.tasks(run.execution()).try_collect().await.expect("tasks");
    assert_eq!(tasks.iter().map(|task| task.index).collect::<Vec<_>>(), [0, 1, 2]);
}

#[tokio::test]
async fn a_failed_task_is_named_with_its_exit_code() {
    let (client, _emulator) = setup().await;
    let mut run = client.run(&job("fail")).args(["3"]).start().await.expect("started");
    let finished = run.wait().await.expect("waited");
    let Outcome::Failed(tasks) = finished.outcome() else { panic!("{}", finished.outcome()) };
    assert_eq!(tasks.len(), 1);
    assert_eq!((tasks[0].index, tasks[0].attempts, tasks[0].end), (0, 1, TaskEnd::ExitCode(3)));
    assert_eq!(tasks[0].task.execution(), run.execution());
}

#[tokio::test]
async fn a_retried_task_counts_its_retry_and_succeeds() {
    let (client, _emulator) = setup().await;
    let finished = client.run(&job("flaky")).start().await.expect("started").wait().await.expect("waited");
    assert_eq!((finished.outcome(), finished.execution().retried_count), (&Outcome::Succeeded, 1));
}

#[tokio::test]
async fn a_task_over_its_time_is_timed_out_and_not_failed() {
    let (client, _emulator) = setup().await;
    let run = client.run(&job("sleep")).args(["60"]).task_timeout(Duration::from_secs(1)).start().await;
    let finished = run.expect("started").wait().await.expect("waited");
    let Outcome::TimedOut(tasks) = finished.outcome() else { panic!("{}", finished.outcome()) };
    assert_eq!(tasks[0].end, TaskEnd::TimedOut);
}

#[tokio::test]
async fn a_cancelled_execution_is_neither_succeeded_nor_failed() {
    let (client, _emulator) = setup().await;
    let mut run = client.run(&job("sleep")).args(["600"]).start().await.expect("started");
    run.cancel().await.expect("cancelled");
    let finished = run.wait().await.expect("waited");
    assert_eq!(finished.outcome(), &Outcome::Cancelled);
    assert_eq!(finished.execution().cancelled_count, 1);
    assert_eq!(run.cancel().await.expect_err("over already").kind(), ErrorKind::Conflict);
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_is_deleted_while_watched_is_told_as_such() {
    let (client, _emulator) = setup().await;
    let started = client.run(&job("sleep")).args(["600"]).start().await.expect("started");
    let mut watched = client.attach(started.execution());
    assert!(watched.poll().await.expect("asked").is_none());
    client.delete_execution(started.execution()).await.expect("deleted").wait().await.expect("done");
    assert_eq!(watched.wait().await.expect("waited").outcome(), &Outcome::Deleted);
}

#[tokio::test]
async fn a_wait_goes_on_from_either_name_in_another_client() {
    let (client, emulator) = setup().await;
    let mut run = client.run(&job("fail")).args(["4"]).start().await.expect("started");
    let (execution, operation) = (run.execution().to_string(), run.operation().expect("known").to_string());
    run.wait().await.expect("waited");

    let other = Client::builder().connector(emulator.connector()).build().await.expect("a client");
    let execution: ExecutionName = execution.parse().expect("a name");
    let by_execution = other.attach(&execution).wait().await.expect("waited");
    let mut attached = other.attach_operation(&operation.parse().expect("a name")).await.expect("attached");
    assert_eq!(attached.execution(), &execution);
    assert_eq!(attached.wait().await.expect("waited").outcome(), by_execution.outcome());
    assert_eq!(by_execution.outcome().failures()[0].end, TaskEnd::ExitCode(4));
}

#[tokio::test(start_paused = true)]
async fn a_wait_by_name_rides_out_a_service_that_fails_at_its_first_question() {
    let (client, emulator) = setup().await;
    let run = client.run(&job("echo")).start().await.expect("started");
    for code in [Code::DeadlineExceeded, Code::Internal, Code::Unavailable, Code::ResourceExhausted] {
        for rpc in [Rpc::GetExecution, Rpc::GetOperation] {
            emulator.fault(Fault::before(rpc).answer(Status::new(code, "later")).times(7));
        }
        // A new client has never had another answer.
        let other = Client::builder().connector(emulator.connector()).build().await.expect("a client");
        assert!(other.attach(run.execution()).wait().await.expect("it passes").outcome().is_success());
        other.wait_operation(run.operation().expect("known")).await.expect("it passes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_to_fail_fast_ends_soon_where_there_never_was_a_server() {
    let client = Client::builder().emulator("127.0.0.1:1").fail_fast(true).build().await.expect("a client");
    let runs = ["echo-a", "echo-b"].map(|id| client.attach(&job("echo").execution(id).expect("a name")));
    for (_, ended) in client.watch(runs).collect::<Vec<_>>().await {
        assert_eq!(ended.expect_err("nobody is there").kind(), ErrorKind::Unreachable);
    }
    let execution = job("echo").execution("echo-a").expect("a name");
    let error = client.attach(&execution).wait().await.expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Unreachable);
}

#[tokio::test]
async fn a_wait_limit_leaves_the_execution_and_the_handle_as_they_were() {
    let (client, _emulator) = setup().await;
    let mut run = client.run(&job("sleep")).args(["600"]).start().await.expect("started");
    run.set_wait_limit(Some(Duration::from_millis(50)));
    let error = run.wait().await.expect_err("still running");
    assert_eq!(error.kind(), ErrorKind::WaitLimit);
    assert!(error.to_string().contains(&run.execution().to_string()), "{error}");
    assert!(run.poll().await.expect("asked").is_none());
    run.set_wait_limit(None);
    run.cancel().await.expect("cancelled");
    assert_eq!(run.wait().await.expect("waited").outcome(), &Outcome::Cancelled);
}

#[tokio::test]
async fn dropping_a_wait_cancels_nothing() {
    let (client, _emulator) = setup().await;
    let mut run = client.run(&job("sleep")).args(["600"]).start().await.expect("started");
    assert!(tokio::time::timeout(Duration::from_millis(50), run.wait()).await.is_err());
    let execution = run.execution().clone();
    drop(run);
    assert!(client.attach(&execution).poll().await.expect("asked").is_none());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_exist_is_not_found_and_starts_nothing() {
    let (client, emulator) = setup().await;
    let error = client.run(&job("nope")).start().await.expect_err("no such job");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Rejected, Some(tonic::Code::NotFound)), "{error}");
    let execution = job("echo").execution("echo-nope0").expect("a name");
    assert_eq!(client.attach(&execution).wait().await.expect_err("none").kind(), ErrorKind::NotFound);
    assert_eq!(client.execution(&execution).await.expect_err("none").kind(), ErrorKind::NotFound);
    let error = client.run(&job("echo")).env("CLOUD_RUN_JOB", "x").start().await.expect_err("reserved");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Rejected, Some(tonic::Code::InvalidArgument)), "{error}");
    assert!(emulator.ledger().is_empty());
}

#[tokio::test]
async fn a_job_is_created_listed_changed_and_deleted() {
    let (client, _emulator) = setup().await;
    let container = Container { image: "us-docker.pkg.dev/runjob/samples/echo".to_owned(), ..Container::default() };
    let template = TaskTemplate { containers: vec![container], ..TaskTemplate::default() };
    let template = ExecutionTemplate { template: Some(template), ..ExecutionTemplate::default() };
    let new = Job { template: Some(template), ..Job::default() };

    let created = client.create_job(&job("mine"), new.clone()).await.expect("accepted").wait().await.expect("created");
    assert_eq!(created.name, job("mine").to_string());
    let again = client.create_job(&job("mine"), new).await.expect_err("exists");
    assert_eq!(again.kind(), ErrorKind::Conflict);

    let mut changed = created;
    changed.template.as_mut().expect("a template").task_count = 2;
    let updated = client.update_job(changed).await.expect("accepted").wait().await.expect("updated");
    assert_eq!((updated.generation, updated.template.expect("a template").task_count), (2, 2));

    let names: Vec<_> = client.jobs(&here()).map_ok(|job| job.name).try_collect().await.expect("jobs");
    assert_eq!((names.len(), &names[0]), (6, &job("mine").to_string()), "the newest first: {names:?}");
    client.delete_job(&job("mine")).await.expect("accepted").wait().await.expect("deleted");
    assert_eq!(client.job(&job("mine")).await.expect_err("gone").kind(), ErrorKind::NotFound);
}

/// faults 2.4: an execution that was started, and its operation, can be unknown for a while.
#[tokio::test(start_paused = true)]
async fn a_wait_rides_out_reads_that_lag_behind_the_start() {
    let emulator = Emulator::builder().no_listener().runtime(Runtime::Simulated(Simulation::default()));
    let emulator = emulator.start().await.expect("an emulator");
    let client = Client::builder().connector(emulator.connector()).build().await.expect("a client");
    let late = |rpc| emulator.fault(Fault::before(rpc).lag(Duration::from_secs(3600)).times(2));
    emulator.fault(Fault::before(Rpc::WaitOperation).answer(Status::unimplemented("there are no long polls")));
    let run = client.run(&job("echo")).start().await.expect("started");
    late(Rpc::GetOperation);
    client.wait_operation(run.operation().expect("known")).await.expect("it is only late");
    late(Rpc::GetExecution);
    let ended = client.attach(run.execution()).wait().await.expect("it is only late");
    assert_eq!(ended.outcome(), &Outcome::Succeeded);
    let unseen = emulator.journal().into_iter().filter(|call| call.code == Some(Code::NotFound)).count();
    assert!(unseen >= 3, "{unseen} reads came before what they read");
}

#[tokio::test(start_paused = true)]
async fn a_limit_for_each_rpc_is_a_copy_of_the_client() {
    let (client, emulator) = setup().await;
    emulator.fault(Fault::before(Rpc::GetJob).delay(Duration::from_secs(5)));
    let hasty = client.with_rpc_timeout(Duration::from_secs(1));
    assert_eq!(hasty.job(&job("echo")).await.expect_err("too slow").kind(), ErrorKind::Deadline);
    client.job(&job("echo")).await.expect("slow");
}

#[tokio::test]
async fn a_list_turns_its_own_pages() {
    let (client, _emulator) = setup().await;
    let mut runs = Vec::new();
    for _ in 0..230 {
        runs.push(client.run(&job("echo")).start().await.expect("started"));
    }
    for run in &mut runs {
        run.wait().await.expect("waited");
    }
    let listed: Vec<_> =
        client.executions(&job("echo")).map_ok(|execution| execution.name).try_collect().await.expect("executions");
    let started: Vec<_> = runs.iter().rev().map(|run| run.execution().to_string()).collect();
    assert_eq!(listed, started);
    let everywhere: Vec<_> = client.executions(&here().any_job()).try_collect().await.expect("executions");
    assert_eq!(everywhere.len(), 230);
}

#[tokio::test]
async fn a_wildcard_is_refused_where_one_resource_is_meant() {
    let (client, _emulator) = setup().await;
    let error = client.delete_job(&here().any_job()).await.expect_err("a wildcard");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(client.cancel(&job("echo").any_execution()).await.is_err());
}
