//! Many executions, and many processes, on a small machine: none lost, nothing left.

use std::{collections::BTreeSet, env, fs, process::Command};

use runjob::{
    emulator::{Emulator, Simulated},
    proto::{
        longrunning::{ListOperationsRequest, Operation},
        run::v2::{Execution, RunJobRequest, run_job_request::Overrides},
    },
};
use tokio::task::JoinSet;

use super::{Api, LOCATION, job, job_name, metadata, response};

const EXECUTIONS: usize = 10_000;

#[tokio::test]
async fn ten_thousand_executions_are_all_accounted_for() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0)).await;
    let mut starts = JoinSet::new();
    let mut names = BTreeSet::new();
    let mut note = |operation: Operation| assert!(names.insert(metadata::<Execution>(&operation).name));
    for _ in 0..EXECUTIONS {
        let mut jobs = api.jobs.clone();
        let request = RunJobRequest { name: job_name("echo"), ..RunJobRequest::default() };
        starts.spawn(async move { jobs.run_job(request).await.expect("accepted").into_inner() });
        if starts.len() == 64 {
            note(starts.join_next().await.expect("there are 64").expect("no panic"));
        }
    }
    starts.join_all().await.into_iter().for_each(note);

    assert_eq!(ended_well(&mut api).await, names);
    let ledger: BTreeSet<_> = api.emulator.ledger().iter().map(|start| start.execution.to_string()).collect();
    assert_eq!(ledger, names);
}

/// The executions of all runs, each of which is waited for if need be and has succeeded.
async fn ended_well(api: &mut Api) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut request =
        ListOperationsRequest { name: LOCATION.to_owned(), page_size: 1000, ..ListOperationsRequest::default() };
    loop {
        let page = api.operations.list_operations(request.clone()).await.expect("valid").into_inner();
        // The first operations are those of the sample jobs.
        for operation in page.operations.into_iter().take(EXECUTIONS - names.len()) {
            let done = if operation.done { operation } else { api.wait(&operation).await };
            let execution: Execution = response(&done);
            assert_eq!(execution.succeeded_count, 1);
            names.insert(execution.name);
        }
        if page.next_page_token.is_empty() {
            return names;
        }
        request.page_token = page.next_page_token;
    }
}

/// The counting needs a process in which nothing else happens.
#[test]
fn a_thousand_processes_leave_nothing_behind() {
    let program = env::current_exe().expect("it has a path");
    let arguments = ["--exact", "wire::scale::a_thousand_processes_counted_alone", "--ignored", "--nocapture"];
    let output = Command::new(program).args(arguments).output().expect("it starts");
    let printed = String::from_utf8_lossy(&output.stdout);
    let failure = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}{failure}");
}

#[tokio::test]
#[ignore = "run by a_thousand_processes_leave_nothing_behind, in a process of its own"]
async fn a_thousand_processes_counted_alone() {
    let mut api = Api::start(Emulator::builder().image("example.com/true", vec!["true".to_owned()])).await;
    let mut definition = job("echo", |template, _| (template.task_count, template.parallelism) = (1000, 100));
    let task = definition.template.as_mut().and_then(|template| template.template.as_mut()).expect("it has one");
    task.containers[0].image = "example.com/true".to_owned();
    api.create("wide", definition).await.expect("valid");
    // What the first process brings for good, such as the pipe of the signal handler and the watchdog, is no leak.
    let one = Overrides { task_count: 1, ..Overrides::default() };
    let first = api.run_with("wide", one).await.expect("accepted");
    api.wait(&first).await;
    let (descriptors, watchdog) = (open_descriptors(), children());
    assert_eq!(watchdog.len(), 1, "{watchdog:?}");

    let operation = api.run("wide").await;
    let name = metadata::<Execution>(&operation).name;
    let execution: Execution = response(&api.wait(&operation).await);
    let Execution { succeeded_count, failed_count, cancelled_count, retried_count, .. } = execution;
    assert_eq!((succeeded_count, failed_count, cancelled_count, retried_count), (1000, 0, 0, 0));
    let tasks = api.tasks(&name).await;
    assert_eq!(tasks.iter().map(|task| task.index).collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
    assert!(tasks.iter().all(|task| task.start_time.is_some() && task.completion_time.is_some() && !task.reconciling));

    assert_eq!((open_descriptors(), children().len()), (descriptors, 1));
    let Api { emulator, .. } = api;
    emulator.stop().await.expect("it did not panic");
    assert_eq!(children(), [""; 0]);
}

fn open_descriptors() -> usize {
    fs::read_dir("/dev/fd").expect("every Unix has it").count()
}

/// Processes whose parent is this one, zombies too, as `/proc` tells it; elsewhere nothing is known.
fn children() -> Vec<String> {
    let parent = std::process::id().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let stats = processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
    // Number (name) state parent ...
    let is_child = |stat: &String| stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)) == Some(&parent);
    stats.filter(is_child).collect()
}
