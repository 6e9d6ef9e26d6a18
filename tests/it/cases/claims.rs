//! Cases 39 to 44: what an accepted answer proves of a start, and answers about what nobody has asked for. The peers are
//! scripted: the emulator would never answer so.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use prost::Message as _;
use runjob::{
    Error, ErrorKind, JobName, Run, StartKey,
    proto::{
        longrunning::{ListOperationsResponse, Operation, operation},
        rpc,
        run::v2::{
            Container, EnvVar, Execution, Job, ListExecutionsResponse, ListJobsResponse, ListTasksResponse, Task,
            TaskTemplate, env_var,
        },
    },
};
use tokio::time::Instant;

use super::{Script, job};

const OTHERS: [&str; 4] = [
    "projects/other/locations/us-central1/jobs/echo",
    "projects/demo/locations/europe-west1/jobs/echo",
    "projects/demo/locations/us-central1/jobs/zzz",
    "projects/demo/locations/us-central1/jobs/-",
];

/// The job by the number of its project.
const NUMBERED: &str = "projects/4711/locations/us-central1/jobs/echo";

fn key() -> StartKey {
    "order-4711".parse().expect("a key")
}

fn name(job: &str) -> String {
    format!("{job}/executions/echo-abcde")
}

/// What RunJob is answered with, for this execution.
fn started(execution: &str) -> Operation {
    let execution = Execution { name: execution.to_owned(), task_count: 1, ..Execution::default() };
    let metadata = Some(prost_types::Any::from_msg(&execution).expect("an Any"));
    Operation { name: format!("{}/operations/1", job().location()), metadata, ..Operation::default() }
}

fn failed(code: i32, operation: Operation) -> Operation {
    let error = rpc::Status { code, message: "as told".to_owned(), details: Vec::new() };
    Operation { result: Some(operation::Result::Error(error)), ..operation }
}

/// A start that is answered with this operation.
async fn start(answer: Operation) -> Result<Run, Error> {
    let script = Script::new(move |rpc, _, _| if rpc == "RunJob" { Ok(answer.encode_to_vec()) } else { Err("5") });
    let client = script.client().build().await.expect("a client");
    let run = client.run(&job()).start().await;
    assert_eq!(script.calls("RunJob"), 1, "sent once");
    run
}

/// Case 39.
#[tokio::test]
async fn an_operation_with_an_error_and_no_name_is_a_refusal_only_when_it_is_done_and_the_code_is_one() {
    let bare = Operation { metadata: None, ..started("") };
    for code in 0..=17 {
        for done in [false, true] {
            let error = start(failed(code, Operation { done, ..bare.clone() })).await.expect_err("no name");
            let is_refusal = done && [3, 5, 6, 7, 9, 10, 11, 12, 16].contains(&code);
            let kind = if is_refusal { ErrorKind::Rejected } else { ErrorKind::StartUnknown };
            assert_eq!(error.kind(), kind, "code {code}, done: {done}: {error}");
        }
    }
    assert_eq!(start(bare).await.expect_err("no name").kind(), ErrorKind::StartUnknown);
}

/// Case 40.
#[tokio::test]
async fn an_operation_that_names_our_execution_has_started_it_whatever_else_it_says() {
    let ours = started(&name(&job().to_string()));
    let elsewhere = Operation { name: "projects/other/locations/us-central1/operations/1".to_owned(), ..ours.clone() };
    for (answer, has_operation) in [
        (ours.clone(), true),
        (started(&name(NUMBERED)), true),
        (failed(13, ours.clone()), true),
        (Operation { done: true, ..failed(5, ours) }, true),
        (elsewhere, false),
    ] {
        let run = start(answer).await.expect("started");
        assert_eq!(run.execution().to_string(), name(&job().to_string()));
        assert_eq!(run.operation().is_some(), has_operation);
    }
}

/// Case 41.
#[tokio::test]
async fn an_operation_that_names_the_execution_of_another_job_leaves_the_start_unknown() {
    for other in OTHERS {
        for answer in [started(&name(other)), Operation { done: true, ..failed(5, started(&name(other))) }] {
            let error = start(answer).await.expect_err("not ours");
            assert_eq!(error.kind(), ErrorKind::StartUnknown, "{other}: {error}");
        }
    }
}

fn marked(execution: String) -> Execution {
    let variable =
        EnvVar { name: StartKey::VARIABLE.to_owned(), values: Some(env_var::Values::Value(key().to_string())) };
    let container = Container { env: vec![variable], ..Container::default() };
    let template = Some(TaskTemplate { containers: vec![container], ..TaskTemplate::default() });
    Execution { name: execution, template, ..Execution::default() }
}

fn page(execution: Execution) -> Vec<u8> {
    ListExecutionsResponse { executions: vec![execution], ..ListExecutionsResponse::default() }.encode_to_vec()
}

/// Case 42. Before the start, and after one of unknown outcome.
#[tokio::test(start_paused = true)]
async fn a_start_key_on_an_execution_of_another_job_is_never_adopted() {
    for other in OTHERS {
        let script = Script::new(move |rpc, _, _| match rpc {
            "ListExecutions" => Ok(page(marked(name(other)))),
            _ => Err("5"),
        });
        let client = script.client().build().await.expect("a client");
        let error = client.run(&job()).start_key(key()).start().await.expect_err("not ours");
        assert_eq!((error.kind(), script.calls("RunJob")), (ErrorKind::NotStarted, 0), "{other}: {error}");
        assert_eq!(client.find_start(&job(), &key()).await.expect_err("not ours").kind(), ErrorKind::Protocol);

        let script = Script::new(move |rpc, before, _| match rpc {
            "ListExecutions" if before == 0 => Ok(Vec::new()),
            "ListExecutions" => Ok(page(marked(name(other)))),
            _ => Err("13"),
        });
        let client = script.client().build().await.expect("a client");
        let error = client.run(&job()).start_key(key()).start().await.expect_err("not ours");
        assert_eq!((error.kind(), script.calls("RunJob")), (ErrorKind::StartUnknown, 1), "{other}: {error}");
    }
    let numbered = Script::new(|_, _, _| Ok(page(marked(name(NUMBERED)))));
    let client = numbered.client().build().await.expect("a client");
    let run = client.run(&job()).start_key(key()).start().await.expect("ours");
    assert_eq!((run.was_adopted(), run.execution().job()), (true, &job()));
}

/// Case 43.
#[tokio::test(start_paused = true)]
async fn a_job_that_is_not_the_one_asked_for_is_never_written_back() {
    for other in OTHERS {
        let script = Script::new(move |rpc, _, _| match rpc {
            "GetJob" => Ok(Job { name: other.to_owned(), etag: "\"7\"".to_owned(), ..Job::default() }.encode_to_vec()),
            _ => Err("5"),
        });
        let client = script.client().build().await.expect("a client");
        let error = client.start_once(&job(), &"a".parse().expect("a token")).await.expect_err("another job");
        assert_eq!((error.kind(), error.reason()), (ErrorKind::NotStarted, ErrorKind::Protocol), "{other}: {error}");
        assert_eq!(script.calls("UpdateJob"), 0);
        assert_eq!(client.job(&job()).await.expect_err("another job").kind(), ErrorKind::Protocol);
    }
}

/// Case 44.
#[tokio::test]
async fn an_answer_about_another_resource_is_a_protocol_error_on_every_read_and_in_every_list() {
    let other: JobName = OTHERS[2].parse().expect("a name");
    let execution = other.execution("zzz-abcde").expect("a name");
    let task = execution.task("zzz-abcde-task0").expect("a name");
    let script = Script::new(move |rpc, _, _| {
        let [job, execution, task] = [other.to_string(), execution.to_string(), task.to_string()];
        Ok(match rpc {
            "GetExecution" => Execution { name: execution, ..Execution::default() }.encode_to_vec(),
            "GetTask" => Task { name: task, ..Task::default() }.encode_to_vec(),
            "GetOperation" | "CancelExecution" => started(&execution).encode_to_vec(),
            "ListExecutions" => page(Execution { name: execution, ..Execution::default() }),
            "ListTasks" => {
                let tasks = vec![Task { name: task, ..Task::default() }];
                ListTasksResponse { tasks, ..ListTasksResponse::default() }.encode_to_vec()
            }
            "ListJobs" => {
                let jobs = vec![Job { name: job.replace("us-central1", "us-east1"), ..Job::default() }];
                ListJobsResponse { jobs, ..ListJobsResponse::default() }.encode_to_vec()
            }
            "ListOperations" => {
                let elsewhere = started(&execution).name.replace("us-central1", "us-east1");
                let operations = vec![Operation { name: elsewhere, ..Operation::default() }];
                ListOperationsResponse { operations, ..ListOperationsResponse::default() }.encode_to_vec()
            }
            _ => panic!("{rpc}"),
        })
    });
    let client = script.client().build().await.expect("a client");
    let execution = job().execution("echo-abcde").expect("a name");
    let task = execution.task("echo-abcde-task0").expect("a name");
    let operation = job().location().operation("2").expect("a name");
    let errors = [
        client.execution(&execution).await.map(drop),
        client.task(&task).await.map(drop),
        client.get_operation(&operation).await.map(drop),
        client.cancel(&execution).await.map(drop),
        client.executions(&job()).try_collect::<Vec<_>>().await.map(drop),
        client.tasks(&execution).try_collect::<Vec<_>>().await.map(drop),
        client.tasks(&job().any_execution()).try_collect::<Vec<_>>().await.map(drop),
        client.jobs(job().location()).try_collect::<Vec<_>>().await.map(drop),
        client.list_operations(job().location()).try_collect::<Vec<_>>().await.map(drop),
    ];
    for error in errors {
        let error = error.expect_err("another resource");
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        assert!(error.to_string().contains("about another resource"), "{error}");
    }
    // Every job is every job of the location.
    client.executions(&job().location().any_job()).try_collect::<Vec<_>>().await.expect("one of them");
}

/// Cases 45 and 46: lists without an end.
#[tokio::test(start_paused = true)]
async fn a_search_for_a_key_ends_however_the_list_goes_on() {
    let token = |page: usize| page.to_string();
    let empty = move |page| {
        let next_page_token = token(page);
        ListExecutionsResponse { next_page_token, ..ListExecutionsResponse::default() }.encode_to_vec()
    };
    let script = Script::new(move |_, before, _| Ok(empty(before + 1)));
    let client = script.client().build().await.expect("a client");
    let error = client.run(&job()).start_key(key()).start().await.expect_err("no end");
    assert_eq!((error.kind(), error.reason()), (ErrorKind::NotStarted, ErrorKind::Protocol), "{error}");
    assert!(error.to_string().contains("could not look"), "{error}");
    assert!(script.calls("ListExecutions") == 50 && script.calls("RunJob") == 0);

    // The same once the start is unknown, when the search is made again and again.
    let script = Script::new(move |rpc, before, _| match (rpc, before) {
        ("RunJob", _) => Err("14"),
        (_, 0) => Ok(Vec::new()),
        _ => Ok(empty(before + 1)),
    });
    let client = script.client().build().await.expect("a client");
    let error = client.run(&job()).start_key(key()).start().await.expect_err("nobody knows");
    assert_eq!((error.kind(), script.calls("RunJob")), (ErrorKind::StartUnknown, 1), "{error}");
    assert_eq!(script.calls("ListExecutions"), 1 + 50);

    // Pages of one execution that does not match, before the start and after it.
    let one = move |page: usize| {
        let executions = vec![Execution { name: name(&job().to_string()), ..Execution::default() }];
        ListExecutionsResponse { executions, next_page_token: token(page) }.encode_to_vec()
    };
    let script = Script::new(move |rpc, before, _| match rpc {
        "RunJob" => Err("14"),
        _ => Ok(one(before + 1)),
    });
    let client = script.client().build().await.expect("a client");
    let error = client.run(&job()).start_key(key()).start().await.expect_err("nobody knows");
    assert_eq!((error.kind(), script.calls("RunJob")), (ErrorKind::StartUnknown, 1), "{error}");
    assert_eq!(script.calls("ListExecutions"), 50 + 50);

    // Tokens in a circle.
    let circle = Script::new(move |_, before, _| {
        let executions = vec![marked(name(&job().to_string()))];
        Ok(ListExecutionsResponse { executions, next_page_token: token(before % 7) }.encode_to_vec())
    });
    let client = circle.client().build().await.expect("a client");
    let listed: Result<Vec<_>, _> = client.executions(&job()).try_collect().await;
    assert_eq!(listed.expect_err("a circle").kind(), ErrorKind::Protocol);
    assert_eq!(circle.calls("ListExecutions"), 8);
}

#[tokio::test(start_paused = true)]
async fn a_search_for_a_key_takes_no_longer_than_an_rpc_may() {
    let (client, emulator) = crate::client::keys::setup().await;
    for _ in 0..250 {
        client.run(&job()).start().await.expect("started");
    }
    let slow = runjob::emulator::Fault::before(runjob::emulator::Rpc::ListExecutions).delay(Duration::from_secs(40));
    emulator.fault(slow);
    let began = Instant::now();
    let error = client.run(&job()).start_key(key()).start().await.expect_err("too slow");
    assert_eq!((error.kind(), began.elapsed().as_secs()), (ErrorKind::NotStarted, 60), "{error}");
    assert_eq!(emulator.ledger().len(), 250);
}

/// Case 46: no more is read of a list of tasks than the execution has.
#[tokio::test]
async fn tasks_without_end_end_with_the_count_of_the_execution() {
    use runjob::proto::run::v2::{Condition, condition::State};
    let failed =
        || Condition { r#type: "Completed".to_owned(), state: State::ConditionFailed.into(), ..Condition::default() };
    for (task_count, pages) in [(250, 3), (1_000_000, 100)] {
        let script = Script::new(move |rpc, before, _| {
            let execution = name(&job().to_string());
            let tasks = (0..100).map(|at| Task {
                name: format!("{execution}/tasks/echo-abcde-task{}", before * 100 + at),
                conditions: vec![failed()],
                ..Task::default()
            });
            Ok(match rpc {
                "GetExecution" => {
                    Execution { name: execution, task_count, conditions: vec![failed()], ..Execution::default() }
                        .encode_to_vec()
                }
                _ => ListTasksResponse { tasks: tasks.collect(), next_page_token: format!("{before}") }.encode_to_vec(),
            })
        });
        let client = script.client().build().await.expect("a client");
        let execution = name(&job().to_string()).parse().expect("a name");
        let finished = client.attach(&execution).wait().await.expect("waited");
        assert_eq!(finished.outcome().failures().len(), pages * 100 - if pages == 3 { 50 } else { 0 });
        assert_eq!(script.calls("ListTasks"), pages);
        let listed: Result<Vec<_>, _> = client.tasks(&execution).try_collect().await;
        assert!(listed.expect_err("no end").to_string().contains("more than 10000 items"));
    }
}
