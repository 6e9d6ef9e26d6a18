//! Executions that start with their job: `start_execution_token` and `run_execution_token` (api-facts 1.2, 2.1).

use std::time::Duration;

use runjob::{
    emulator::Simulated,
    proto::{
        longrunning::{DeleteOperationRequest, GetOperationRequest, Operation},
        run::v2::{
            CancelExecutionRequest, DeleteExecutionRequest, DeleteJobRequest, Execution, Job, UpdateJobRequest,
            condition::State, job::CreateExecution,
        },
    },
};
use tonic::{Code, Status};

use super::{Api, error, job, job_name, metadata, response};

const FOREVER: Duration = Duration::from_secs(100_000);

async fn endless() -> Api {
    Api::simulated(|_, _| Simulated::exits(0).after(FOREVER)).await
}

fn start(token: &str) -> Option<CreateExecution> {
    Some(CreateExecution::StartExecutionToken(token.to_owned()))
}

fn run(token: &str) -> Option<CreateExecution> {
    Some(CreateExecution::RunExecutionToken(token.to_owned()))
}

fn with(create_execution: Option<CreateExecution>) -> Job {
    Job { create_execution, ..job("echo", |_, _| {}) }
}

async fn update(api: &mut Api, id: &str, create_execution: Option<CreateExecution>) -> Result<Operation, Status> {
    let job = Job { create_execution, ..api.job(id).await? };
    let request = UpdateJobRequest { job: Some(job), ..UpdateJobRequest::default() };
    api.jobs.update_job(request).await.map(tonic::Response::into_inner)
}

fn named(suffix: &str) -> String {
    format!("{}/executions/new-{suffix}", job_name("new"))
}

async fn is_done(api: &mut Api, operation: &Operation) -> bool {
    let request = GetOperationRequest { name: operation.name.clone() };
    api.operations.get_operation(request).await.expect("it is there").into_inner().done
}

async fn cancel(api: &mut Api, name: &str) {
    let request = CancelExecutionRequest { name: name.to_owned(), ..CancelExecutionRequest::default() };
    api.executions.cancel_execution(request).await.expect("it runs");
}

async fn delete(api: &mut Api, name: &str) {
    let request = DeleteExecutionRequest { name: name.to_owned(), ..DeleteExecutionRequest::default() };
    let operation = api.executions.delete_execution(request).await.expect("it is there").into_inner();
    api.wait(&operation).await;
}

/// api-facts 1.2: it ends at the start; 2.1: the token names the execution.
#[tokio::test]
async fn a_start_token_starts_an_execution_and_the_operation_ends_with_its_start() {
    let mut api = endless().await;
    let operation = api.create("new", with(start("a1"))).await.expect("valid");
    assert!(!operation.done && metadata::<Job>(&operation).reconciling);
    let ready: Job = response(&api.wait(&operation).await);
    assert_eq!((ready.generation, ready.observed_generation, ready.reconciling), (1, 1, false));
    assert_eq!(ready.terminal_condition.expect("it has one").state(), State::ConditionSucceeded);
    let execution = api.execution(&named("a1")).await.expect("it was started");
    assert!(execution.reconciling && execution.start_time.is_some());
    let ledger = api.emulator.ledger();
    assert_eq!(
        (ledger.len(), ledger[0].execution.id(), ledger[0].operation.to_string()),
        (1, "new-a1", operation.name)
    );
}

/// api-facts 1.2: it ends at the finish, and the job is not ready before.
#[tokio::test]
async fn the_operation_of_a_run_token_ends_with_the_execution() {
    let mut api = endless().await;
    let operation = api.create("new", with(run("a1"))).await.expect("valid");
    while api.execution(&named("a1")).await.expect("it was started").start_time.is_none() {
        tokio::task::yield_now().await;
    }
    assert!(!is_done(&mut api, &operation).await);
    let job = api.job("new").await.expect("it is there");
    assert!(job.reconciling && job.terminal_condition.expect("it has one").state() == State::ConditionPending);
    cancel(&mut api, &named("a1")).await;
    let ready: Job = response(&api.wait(&operation).await);
    assert!(!ready.reconciling && !api.job("new").await.expect("it is there").reconciling);
}

#[tokio::test]
async fn the_operation_of_a_run_token_fails_with_the_execution() {
    let mut api = Api::simulated(|_, attempt| Simulated::exits(attempt as i32 + 1)).await;
    let operation = api.create("new", with(run("a1"))).await.expect("valid");
    let done = api.wait(&operation).await;
    assert_eq!(error(&done).0, Code::Aborted as i32);
    assert!(!metadata::<Job>(&done).reconciling);
    api.run("new").await;
}

/// faults 2.1 (b): the token is kept, and the same one is no new start.
#[tokio::test]
async fn the_same_token_starts_once_and_another_one_again() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0)).await;
    let operation = api.create("new", with(run("a1"))).await.expect("valid");
    api.wait(&operation).await;
    assert_eq!(api.job("new").await.expect("it is there").create_execution, run("a1"));
    let operation = update(&mut api, "new", run("a1")).await.expect("valid");
    let same: Job = response(&api.wait(&operation).await);
    assert_eq!((same.generation, api.emulator.ledger().len()), (1, 1));
    let operation = update(&mut api, "new", run("a2")).await.expect("valid");
    let next: Job = response(&api.wait(&operation).await);
    assert_eq!((next.generation, next.execution_count, api.emulator.ledger().len()), (2, 2, 2));
    let status = update(&mut api, "new", run("a1")).await.expect_err("that name is taken");
    assert_eq!((status.code(), status.message()), (Code::AlreadyExists, "Resource 'new-a1' already exists."));
    assert_eq!(api.job("new").await.expect("it is there").create_execution, run("a2"));
}

/// api-facts 10.2: the token is only kept until another execution is started in another way.
#[tokio::test]
async fn a_start_without_the_token_drops_it_and_the_same_token_finds_its_execution_taken() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0)).await;
    let operation = api.create("new", with(run("a1"))).await.expect("valid");
    api.wait(&operation).await;
    let other = api.run("new").await;
    api.wait(&other).await;
    assert_eq!(api.job("new").await.expect("it is there").create_execution, None);
    let status = update(&mut api, "new", run("a1")).await.expect_err("that name is taken");
    assert_eq!((status.code(), status.message()), (Code::AlreadyExists, "Resource 'new-a1' already exists."));
    delete(&mut api, &named("a1")).await;
    let operation = update(&mut api, "new", run("a1")).await.expect("the name is free again");
    api.wait(&operation).await;
    let starts: Vec<_> = api.emulator.ledger().iter().map(|start| start.execution.id().to_owned()).collect();
    assert_eq!((starts[0].as_str(), starts.len(), starts[2].as_str()), ("new-a1", 3, "new-a1"));
}

/// The operation of the definition goes on to follow its execution when the token is dropped meanwhile.
#[tokio::test]
async fn a_job_becomes_ready_with_its_execution_after_the_token_was_dropped() {
    let mut api = endless().await;
    let operation = api.create("new", with(run("a1"))).await.expect("valid");
    api.run("new").await;
    assert!(api.job("new").await.expect("it is there").reconciling);
    cancel(&mut api, &named("a1")).await;
    assert!(!response::<Job>(&api.wait(&operation).await).reconciling);
}

/// A repeated request is answered by what the first one began.
#[tokio::test]
async fn the_same_token_again_waits_for_the_same_execution() {
    let mut api = endless().await;
    let first = api.create("new", with(run("a1"))).await.expect("valid");
    let second = update(&mut api, "new", run("a1")).await.expect("valid");
    assert!(!is_done(&mut api, &first).await && !is_done(&mut api, &second).await);
    cancel(&mut api, &named("a1")).await;
    for operation in [first, second] {
        assert!(!response::<Job>(&api.wait(&operation).await).reconciling);
    }
    assert_eq!(api.emulator.ledger().len(), 1);
}

/// api-facts 5: deleting takes away the interest, not the work.
#[tokio::test]
async fn a_job_becomes_ready_also_when_nobody_follows_it() {
    let mut api = endless().await;
    let operation = api.create("new", with(run("a1"))).await.expect("valid");
    api.operations.delete_operation(DeleteOperationRequest { name: operation.name }).await.expect("it is there");
    assert!(api.job("new").await.expect("it is there").reconciling);
    cancel(&mut api, &named("a1")).await;
    while api.execution(&named("a1")).await.expect("it is there").reconciling {
        tokio::task::yield_now().await;
    }
    assert!(!api.job("new").await.expect("it is there").reconciling);
}

/// Whoever waits for a job that goes away is not left waiting.
#[tokio::test]
async fn the_operation_ends_when_the_job_is_deleted() {
    let mut api = endless().await;
    let operation = api.create("new", with(run("a1"))).await.expect("valid");
    let request = DeleteJobRequest { name: job_name("new"), ..DeleteJobRequest::default() };
    let deletion = api.jobs.delete_job(request).await.expect("it is there").into_inner();
    assert!(response::<Job>(&api.wait(&operation).await).delete_time.is_some());
    assert!(response::<Job>(&api.wait(&deletion).await).delete_time.is_some());
}

/// api-facts 2.1: under 63 characters with the job's id.
#[tokio::test]
async fn a_token_that_cannot_name_an_execution_is_refused() {
    let mut api = endless().await;
    for (token, fits) in [("a".repeat(59), true), ("a".repeat(60), false)] {
        let created = api.create("new", with(start(&token))).await;
        assert_eq!(created.as_ref().map_or_else(Status::code, |_| Code::Ok) == Code::Ok, fits, "{}", token.len());
    }
    for token in ["A", "a_b", "a/b", "a-"] {
        let status = api.create("other", with(run(token))).await.expect_err(token);
        assert_eq!(status.code(), Code::InvalidArgument, "{token}");
    }
    let operation = api.create("none", with(run(""))).await.expect("an empty token is none");
    api.wait(&operation).await;
    assert_eq!(api.emulator.ledger().len(), 1);
}

/// api-facts 1.4: an execution of a job without its image cannot be.
#[tokio::test]
async fn a_token_starts_nothing_when_the_image_is_missing() {
    let mut api = Api::real().await;
    let operation = api.create("lost", Job { create_execution: run("a"), ..job("nowhere", |_, _| {}) }).await;
    assert_eq!(error(&api.wait(&operation.expect("the shape is valid")).await).0, Code::NotFound as i32);
    assert!(api.emulator.ledger().is_empty());

    let found = Job { name: job_name("lost"), create_execution: run("a"), ..job("echo", |_, _| {}) };
    let request = UpdateJobRequest { job: Some(found), ..UpdateJobRequest::default() };
    let operation = api.jobs.update_job(request).await.expect("valid").into_inner();
    response::<Job>(&api.wait(&operation).await);
    assert_eq!(api.emulator.ledger()[0].execution.id(), "lost-a");
}

#[tokio::test]
async fn the_answer_to_validate_only_starts_nothing() {
    let mut api = endless().await;
    let job = Job { create_execution: start("a1"), ..api.job("echo").await.expect("a sample") };
    let request = UpdateJobRequest { job: Some(job), validate_only: true, ..UpdateJobRequest::default() };
    api.jobs.update_job(request).await.expect("valid");
    assert!(api.emulator.ledger().is_empty());
    assert_eq!(api.job("echo").await.expect("a sample").create_execution, None);
    let name = format!("{}/executions/echo-a1", job_name("echo"));
    assert_eq!(api.execution(&name).await.map(|it: Execution| it.name).expect_err("none").code(), Code::NotFound);
}
