//! What comes of an execution: operation, conditions, counts and tasks agree (api-facts 1 to 3).

use std::time::Duration;

use runjob::{
    emulator::Simulated,
    proto::{
        api::LaunchStage,
        run::v2::{
            CancelExecutionRequest, DeleteExecutionRequest, Execution, ExecutionReference,
            condition::{ExecutionReason, State},
            execution_reference::CompletionStatus,
            run_job_request::Overrides,
        },
    },
};
use tonic::Code;

use super::{Api, condition, error, job, metadata, reason, response, retries, seconds};

/// Longer than any test.
const FOREVER: Duration = Duration::from_secs(100_000);

fn cancel(name: &str) -> CancelExecutionRequest {
    CancelExecutionRequest { name: name.to_owned(), ..CancelExecutionRequest::default() }
}

fn delete(name: &str) -> DeleteExecutionRequest {
    DeleteExecutionRequest { name: name.to_owned(), ..DeleteExecutionRequest::default() }
}

/// api-facts 1.1: the first answer names the execution and nothing has happened yet.
#[tokio::test]
async fn a_start_is_answered_before_anything_runs() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0).after(FOREVER)).await;
    let operation = api.run("echo").await;
    assert!(!operation.done && operation.result.is_none());
    let execution: Execution = metadata(&operation);
    assert!(execution.name.starts_with("projects/demo/locations/us-central1/jobs/echo/executions/echo-"));
    assert_eq!((execution.job.as_str(), execution.generation, execution.observed_generation), ("echo", 1, 0));
    assert_eq!((execution.task_count, execution.parallelism, execution.reconciling), (1, 1, true));
    assert!(execution.start_time.is_none() && execution.create_time.is_some() && !execution.etag.is_empty());
    let [completed] = &execution.conditions[..] else { panic!("one condition, not {:?}", execution.conditions) };
    assert_eq!((completed.r#type.as_str(), completed.state()), ("Completed", State::ConditionPending));
}

/// api-facts 1.1, 2.2: metadata is refreshed while it runs.
#[tokio::test]
async fn a_running_execution_shows_its_tasks_and_its_start() {
    let mut api =
        Api::simulated(|task, _| Simulated::exits(0).after(if task == 0 { Duration::ZERO } else { FOREVER })).await;
    let operation = api.run_with("echo", Overrides { task_count: 3, ..Overrides::default() }).await.expect("accepted");
    let name = metadata::<Execution>(&operation).name;
    let execution = loop {
        let execution = api.execution(&name).await.expect("it is there");
        if execution.succeeded_count == 1 && execution.running_count == 2 {
            break execution;
        }
        tokio::task::yield_now().await;
    };
    assert!(execution.start_time.is_some() && execution.completion_time.is_none() && execution.reconciling);
    assert_eq!(condition(&execution, "Started").state(), State::ConditionSucceeded);
    assert_eq!(condition(&execution, "Completed").state(), State::ConditionReconciling);
    assert_eq!(condition(&execution, "Completed").message, "Waiting for execution to complete.");
}

/// api-facts 1.3, row 1.
#[tokio::test]
async fn a_success_is_a_response_with_the_execution() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0)).await;
    let operation = api.run_with("echo", Overrides { task_count: 3, ..Overrides::default() }).await.expect("accepted");
    let done = api.wait(&operation).await;
    let execution: Execution = response(&done);
    assert_eq!(metadata::<Execution>(&done), execution);
    assert_eq!((execution.succeeded_count, execution.failed_count, execution.running_count), (3, 0, 0));
    let completed = condition(&execution, "Completed");
    assert_eq!((completed.state(), reason(completed)), (State::ConditionSucceeded, None));
    assert!(completed.message.starts_with("Execution completed successfully in "), "{}", completed.message);
    assert!(execution.completion_time.is_some() && !execution.reconciling && execution.observed_generation == 1);
    for task in api.tasks(&execution.name).await {
        let result = task.last_attempt_result.expect("it ran");
        assert_eq!((result.status.map(|status| status.code), result.exit_code, task.retried), (Some(0), 0, 0));
    }
}

/// api-facts 1.1: a UUID, under the project's id.
#[tokio::test]
async fn an_operation_is_named_by_a_uuid() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0)).await;
    let name = api.run("echo").await.name;
    let id = name.strip_prefix("projects/demo/locations/us-central1/operations/").expect("it is there");
    assert_eq!(uuid::Uuid::parse_str(id).expect("a UUID").get_version_num(), 4);
}

/// api-facts 2.2: the types, their order, and what they say.
#[tokio::test(start_paused = true)]
async fn the_conditions_of_a_success_say_how_long_it_took() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0).after(Duration::from_millis(63_600))).await;
    let operation = api.run("echo").await;
    let execution: Execution = response(&api.wait(&operation).await);
    let said: Vec<_> = execution.conditions.iter().map(|it| (it.r#type.as_str(), it.message.as_str())).collect();
    let expected = [
        ("Started", "Started deployed execution in 0s."),
        ("Completed", "Execution completed successfully in 1m3.6s."),
        ("ContainerReady", "Imported container image in 0s."),
        ("ResourcesAvailable", "Provisioned imported containers."),
    ];
    assert_eq!(said, expected);
    assert!(execution.conditions.iter().all(|condition| condition.state() == State::ConditionSucceeded));
    assert_eq!(condition(&execution, "Started").last_transition_time, execution.start_time);
    assert_eq!(condition(&execution, "Completed").last_transition_time, execution.completion_time);
}

/// api-facts 1.4: pinned on the execution, although the job holds a tag.
#[tokio::test]
async fn an_execution_shows_its_image_by_digest() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0)).await;
    api.create("tagged", job("echo:v1", |_, _| {})).await.expect("valid");
    let first: Execution = metadata(&api.run("tagged").await);
    let second: Execution = metadata(&api.run("tagged").await);
    let image = |execution: &Execution| execution.template.as_ref().expect("it has one").containers[0].image.clone();
    let digest = image(&first);
    let hash = digest.strip_prefix("us-docker.pkg.dev/runjob/samples/echo@sha256:").expect("a digest");
    assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
    assert_eq!((&image(&second), &api.tasks(&first.name).await[0].containers[0].image), (&digest, &digest));
    let job = api.job("tagged").await.expect("it is there");
    let task = job.template.and_then(|template| template.template).expect("it has one");
    assert_eq!(task.containers[0].image, "us-docker.pkg.dev/runjob/samples/echo:v1");
}

/// api-facts 2.4: labels, launch stage, limits as they are stored, and the link to the logs.
#[tokio::test]
async fn an_execution_carries_what_its_job_says() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0)).await;
    let mut definition = job("echo", |template, task| {
        template.labels.insert("team".to_owned(), "a".to_owned());
        task.containers[0].resources.get_or_insert_default().limits.insert("cpu".to_owned(), "1".to_owned());
    });
    definition.set_launch_stage(LaunchStage::Beta);
    api.create("beta", definition).await.expect("valid");
    let execution: Execution = metadata(&api.run("beta").await);
    assert_eq!((execution.launch_stage(), execution.labels["team"].as_str()), (LaunchStage::Beta, "a"));
    let limits = execution.template.and_then(|task| task.containers[0].resources.clone()).expect("it has some").limits;
    assert_eq!((limits["cpu"].as_str(), limits["memory"].as_str()), ("1", "512Mi"));
    let id = execution.name.rsplit('/').next().expect("a name");
    let uri = format!(
        "https://console.cloud.google.com/logs/viewer?project=demo&advancedFilter=resource.type%3D%22cloud_run_job%22\
         %0Aresource.labels.job_name%3D%22beta%22%0Aresource.labels.location%3D%22us-central1%22\
         %0Alabels.%22run.googleapis.com/execution_name%22%3D%22{id}%22"
    );
    assert_eq!(execution.log_uri, uri);
}

/// api-facts 1.3, row 2, and 3.
#[tokio::test]
async fn a_failed_task_fails_the_operation_with_aborted() {
    let mut api = Api::simulated(|task, _| Simulated::exits(if task == 1 { 3 } else { 0 })).await;
    api.create("half", job("echo", |template, task| (template.task_count, task.retries) = (2, retries(0))))
        .await
        .expect("valid");
    let operation = api.run("half").await;
    let done = api.wait(&operation).await;
    let execution: Execution = metadata(&done);
    let id = execution.name.rsplit('/').next().expect("a name");
    let text = format!("Task {id}-task1 failed with exit code: 3 and message: The container exited with an error.");
    assert_eq!(error(&done), (Code::Aborted as i32, text.as_str()));
    let completed = condition(&execution, "Completed");
    assert_eq!(
        (completed.state(), reason(completed)),
        (State::ConditionFailed, Some(ExecutionReason::NonZeroExitCode))
    );
    assert_eq!(completed.message, text);
    assert_eq!((execution.succeeded_count, execution.failed_count, execution.retried_count), (1, 1, 0));
    let result = api.tasks(&execution.name).await[1].last_attempt_result.clone().expect("it ran");
    let status = result.status.expect("it has one");
    assert_eq!((status.code, status.message.as_str()), (10, "The container exited with an error."));
    assert_eq!((result.exit_code, result.term_signal), (3, 0));
}

/// api-facts 3: the signal is there instead of an exit code.
#[tokio::test]
async fn a_task_killed_by_a_signal_has_no_exit_code() {
    let mut api = Api::simulated(|_, _| Simulated::killed_by(9)).await;
    let operation = api.run("fail").await;
    let done = api.wait(&operation).await;
    assert_eq!(error(&done).0, Code::Aborted as i32);
    let tasks = api.tasks(&metadata::<Execution>(&done).name).await;
    let result = tasks[0].last_attempt_result.as_ref().expect("it ran");
    assert_eq!((result.exit_code, result.term_signal), (0, 9));
}

/// api-facts 2.4: `retried_count` counts tasks; 3: `retried` counts retries.
#[tokio::test]
async fn a_task_is_retried_until_it_succeeds() {
    let mut api = Api::simulated(|_, attempt| Simulated::exits(i32::from(attempt < 3))).await;
    let operation = api.run("echo").await;
    let execution: Execution = response(&api.wait(&operation).await);
    assert_eq!((execution.retried_count, execution.succeeded_count, execution.failed_count), (1, 1, 0));
    assert_eq!(api.tasks(&execution.name).await[0].retried, 3);
}

/// api-facts 4: `max_retries` is 3 by default, so there are four attempts.
#[tokio::test]
async fn a_task_that_never_succeeds_fails_after_its_retries() {
    let mut api = Api::simulated(|_, attempt| Simulated::exits(attempt as i32 + 1)).await;
    let operation = api.run("echo").await;
    let done = api.wait(&operation).await;
    let execution: Execution = metadata(&done);
    assert!(error(&done).1.contains("exit code: 4"), "{}", error(&done).1);
    assert_eq!((execution.retried_count, execution.failed_count), (1, 1));
}

/// api-facts 1.3, row 3: DEADLINE_EXCEEDED, exit code 0 in the text, and no reason.
#[tokio::test(start_paused = true)]
async fn a_task_over_its_time_fails_the_operation_with_deadline_exceeded() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0).after(FOREVER)).await;
    let operation =
        api.run_with("fail", Overrides { timeout: seconds(60), ..Overrides::default() }).await.expect("accepted");
    let done = api.wait(&operation).await;
    let execution: Execution = metadata(&done);
    let id = execution.name.rsplit('/').next().expect("a name");
    let text = format!("Task {id}-task0 failed with exit code: 0 and message: The configured timeout was reached.");
    assert_eq!(error(&done), (Code::DeadlineExceeded as i32, text.as_str()));
    let completed = condition(&execution, "Completed");
    assert_eq!((completed.state(), reason(completed)), (State::ConditionFailed, None));
    let tasks = api.tasks(&execution.name).await;
    let result = tasks[0].last_attempt_result.clone().expect("it ran");
    assert_eq!((result.status.map(|status| status.code), result.exit_code, result.term_signal), (Some(4), 0, 0));
}

/// api-facts 7: the timeout is per attempt.
#[tokio::test(start_paused = true)]
async fn every_attempt_has_the_whole_timeout() {
    let mut api = Api::simulated(|_, attempt| {
        Simulated::exits(0).after(Duration::from_secs(if attempt == 0 { 900 } else { 599 }))
    })
    .await;
    let operation = api.run("echo").await;
    let request = runjob::proto::longrunning::WaitOperationRequest { name: operation.name, timeout: seconds(7200) };
    // One wait is held for five minutes at most.
    let mut waits = 0;
    let done = loop {
        let now = api.operations.wait_operation(request.clone()).await.expect("it is there").into_inner();
        waits += 1;
        if now.done {
            break now;
        }
    };
    let execution: Execution = response(&done);
    assert_eq!((execution.succeeded_count, execution.retried_count, waits), (1, 1, 4));
}

/// api-facts 1.3, row 4: no error, CANCELLED, and tasks that never ran are cancelled too.
#[tokio::test]
async fn a_cancelled_run_is_a_response_and_its_pending_tasks_never_start() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0).after(FOREVER)).await;
    let definition = job("echo", |template, _| (template.task_count, template.parallelism) = (5, 2));
    api.create("wide", definition).await.expect("valid");
    let operation = api.run("wide").await;
    let name = metadata::<Execution>(&operation).name;
    let cancelling = api.executions.cancel_execution(cancel(&name)).await.expect("it runs").into_inner();
    let answer: Execution = metadata(&cancelling);
    assert_eq!((answer.generation, answer.reconciling, cancelling.done), (2, true, false));
    assert_eq!(reason(condition(&answer, "Completed")), Some(ExecutionReason::Cancelling));

    for operation in [&operation, &cancelling] {
        let execution: Execution = response(&api.wait(operation).await);
        let completed = condition(&execution, "Completed");
        assert_eq!((completed.state(), reason(completed)), (State::ConditionFailed, Some(ExecutionReason::Cancelled)));
        assert_eq!(completed.message, "Cancelled by user.");
        assert_eq!((execution.cancelled_count, execution.failed_count, execution.running_count), (5, 0, 0));
    }
    let tasks = api.tasks(&name).await;
    assert!(tasks[2..].iter().all(|task| task.scheduled_time.is_none() && task.start_time.is_none()));
    let codes = tasks.iter().map(|task| task.last_attempt_result.as_ref().and_then(|result| result.status.as_ref()));
    assert!(codes.into_iter().all(|status| status.is_some_and(|status| status.code == 1)));
}

/// api-facts 4.1.
#[tokio::test]
async fn a_finished_execution_cannot_be_cancelled() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0)).await;
    let operation = api.run("echo").await;
    let execution: Execution = response(&api.wait(&operation).await);
    let status = api.executions.cancel_execution(cancel(&execution.name)).await.expect_err("it is over");
    let id = execution.name.rsplit('/').next().expect("a name");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), format!("Execution '{id}' cannot be cancelled because it is not running."));
}

/// api-facts 1.3, row 5: like a cancel, and then it is gone.
#[tokio::test]
async fn a_deleted_execution_ends_as_if_cancelled_and_is_gone() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0).after(FOREVER)).await;
    let operation = api.run("echo").await;
    let name = metadata::<Execution>(&operation).name;
    let deleting = api.executions.delete_execution(delete(&name)).await.expect("it is there").into_inner();
    for operation in [&operation, &deleting] {
        let execution: Execution = response(&api.wait(operation).await);
        assert_eq!(reason(condition(&execution, "Completed")), Some(ExecutionReason::Cancelled));
        assert!(execution.delete_time.is_some());
    }
    assert_eq!(api.execution(&name).await.expect_err("it is gone").code(), Code::NotFound);
}

/// api-facts 2.1: the job refers to its latest execution by its short name.
#[tokio::test]
async fn the_job_refers_to_its_latest_execution() {
    let mut api = Api::simulated(|_, attempt| Simulated::exits(attempt as i32 + 1)).await;
    let operation = api.run("fail").await;
    let execution: Execution = metadata(&api.wait(&operation).await);
    let job = api.job("fail").await.expect("a sample");
    let ExecutionReference { name, completion_status, completion_time, .. } =
        job.latest_created_execution.expect("it ran");
    assert!(execution.name.ends_with(&format!("/{name}")) && !name.contains('/'));
    assert_eq!(completion_status, CompletionStatus::ExecutionFailed as i32);
    assert_eq!((completion_time, job.execution_count), (execution.completion_time, 1));
}
