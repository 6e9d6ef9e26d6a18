//! State that lasts: what a restart leaves as it was, and how it accounts for what it interrupted (issue of the emulator's
//! reliability: `--data-dir`).

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use runjob::{
    emulator::{Emulator, EmulatorBuilder, Output, Runtime, Simulated, Simulation},
    proto::{
        longrunning::{GetOperationRequest, ListOperationsRequest, Operation},
        run::v2::{DeleteJobRequest, Execution, run_job_request::Overrides},
    },
};
use tempfile::TempDir;
use tonic::Code;

use super::{Api, LOCATION, args, error, job, job_name, metadata, response, retries};

const SHELL: &str = "example.com/shell";

fn place() -> TempDir {
    tempfile::tempdir().expect("a place")
}

fn simulated(dir: &TempDir) -> EmulatorBuilder {
    let script =
        Simulation::new(|attempt| Simulated::exits(i32::from(attempt.task_index == 1 && attempt.attempt == 0)));
    Emulator::builder().data_dir(dir.path()).runtime(Runtime::Simulated(script))
}

/// An emulator that keeps its state, with a job `script` that runs a shell script.
async fn scripted(dir: &TempDir, script: &str, max_retries: i32) -> Api {
    let command = ["/bin/sh", "-c", script, "script"].map(str::to_owned).to_vec();
    let mut api = Api::start(Emulator::builder().data_dir(dir.path()).image(SHELL, command)).await;
    if api.job("script").await.is_err() {
        let mut definition = job("echo", |_, task| task.retries = retries(max_retries));
        let task = definition.template.as_mut().and_then(|template| template.template.as_mut()).expect("it has one");
        task.containers[0].image = SHELL.to_owned();
        api.create("script", definition).await.expect("valid");
    }
    api
}

async fn operations(api: &mut Api) -> Vec<Operation> {
    let request =
        ListOperationsRequest { name: LOCATION.to_owned(), page_size: 1000, ..ListOperationsRequest::default() };
    api.operations.list_operations(request).await.expect("the location is there").into_inner().operations
}

#[tokio::test]
async fn everything_is_after_a_restart_as_it_was_before() {
    let dir = place();
    let mut api = Api::start(simulated(&dir)).await;
    api.create("made", job("echo", |template, _| template.task_count = 3)).await.expect("valid");
    let started = api.run("made").await;
    api.wait(&started).await;
    let name = metadata::<Execution>(&started).name;
    let deleted =
        api.jobs.delete_job(DeleteJobRequest { name: job_name("flaky"), ..DeleteJobRequest::default() }).await;
    deleted.expect("it is there");

    let jobs = [api.job("made").await.expect("it is there"), api.job("echo").await.expect("it is there")];
    let before = (jobs, api.execution(&name).await, api.tasks(&name).await, operations(&mut api).await);
    let ledger = api.emulator.ledger();
    assert_eq!((ledger.len(), before.2.len(), before.2[1].retried), (1, 3, 1));
    api.emulator.stop().await.expect("it did not panic");

    let mut api = Api::start(simulated(&dir)).await;
    let jobs = [api.job("made").await.expect("it is there"), api.job("echo").await.expect("it is there")];
    let after = (jobs, api.execution(&name).await, api.tasks(&name).await);
    assert_eq!((after.0, after.1.expect("kept"), after.2), (before.0, before.1.expect("kept"), before.2));
    let done = |operations: Vec<Operation>| operations.into_iter().map(|one| (one.name, one.done)).collect::<Vec<_>>();
    assert_eq!(done(operations(&mut api).await), done(before.3));
    assert_eq!(api.job("flaky").await.expect_err("it was deleted").code(), Code::NotFound);
    assert_eq!(api.emulator.ledger(), ledger);
}

#[tokio::test]
async fn a_deleted_execution_stays_deleted_and_stays_in_the_ledger() {
    let dir = place();
    let mut api = Api::start(simulated(&dir)).await;
    let started = api.run("echo").await;
    let name = metadata::<Execution>(&api.wait(&started).await).name;
    let deleted = api.jobs.delete_job(DeleteJobRequest { name: job_name("echo"), ..DeleteJobRequest::default() }).await;
    deleted.expect("it is there");
    drop(api);

    let mut api = Api::start(simulated(&dir)).await;
    assert_eq!(api.execution(&name).await.expect_err("it was deleted").code(), Code::NotFound);
    assert_eq!(api.emulator.ledger().len(), 1);
}

/// Those that were made since the start are gone also after a restart.
#[tokio::test]
async fn a_reset_lasts() {
    let dir = place();
    let mut api = Api::start(simulated(&dir)).await;
    let started = api.run("env").await;
    let name = metadata::<Execution>(&api.wait(&started).await).name;
    api.emulator.reset();
    let again = api.run("echo").await;
    let kept = metadata::<Execution>(&api.wait(&again).await).name;
    drop(api);

    let mut api = Api::start(simulated(&dir)).await;
    assert_eq!(api.execution(&name).await.expect_err("it was forgotten").code(), Code::NotFound);
    assert_eq!(api.execution(&kept).await.expect("kept").succeeded_count, 1);
    assert_eq!(api.emulator.ledger().len(), 1);
}

#[tokio::test]
async fn a_finished_task_does_not_run_again() {
    let (dir, marks) = (place(), place());
    let script = format!("echo ran >> {}/marks", marks.path().display());
    let mut api = scripted(&dir, &script, 3).await;
    let started = api.run("script").await;
    api.wait(&started).await;
    drop(api);
    let mut api = scripted(&dir, &script, 3).await;
    let kept = api.operations.get_operation(GetOperationRequest { name: started.name }).await.expect("kept");
    assert!(kept.into_inner().done);
    let next = api.run("script").await;
    api.wait(&next).await;
    let ran = fs::read_to_string(marks.path().join("marks")).expect("it ran");
    assert_eq!(ran.lines().count(), 2);
}

#[tokio::test]
async fn a_task_that_was_running_is_tried_again_if_it_may_be() {
    let dir = place();
    let script = "[ $CLOUD_RUN_TASK_ATTEMPT = 0 ] || exit 0; echo ready; exec sleep 1000";
    let mut api = scripted(&dir, script, 1).await;
    let mut output = api.emulator.output();
    let started = api.run("script").await;
    assert!(matches!(output.recv().await, Some(Output::Line(_))));
    api.emulator.stop().await.expect("it did not panic");

    let mut api = scripted(&dir, script, 1).await;
    let execution: Execution = response(&api.wait(&started).await);
    assert_eq!((execution.succeeded_count, execution.retried_count), (1, 1));
}

#[tokio::test]
async fn a_task_that_was_running_and_may_not_be_tried_again_has_failed() {
    let dir = place();
    let mut api = scripted(&dir, "echo ready; exec sleep 1000", 0).await;
    let mut output = api.emulator.output();
    let started = api.run("script").await;
    assert!(matches!(output.recv().await, Some(Output::Line(_))));
    drop(api);

    let mut api = scripted(&dir, "echo ready; exec sleep 1000", 0).await;
    let done = api.wait(&started).await;
    let (code, message) = error(&done);
    assert_eq!(code, Code::Aborted as i32);
    assert!(message.contains("The container was lost"), "{message}");
    assert_eq!(metadata::<Execution>(&done).failed_count, 1);
}

/// What waits for its turn still gets it.
#[tokio::test]
async fn tasks_that_had_not_started_start_after_the_restart() {
    let dir = place();
    let script =
        "[ \"$1\" = go ] || { echo ready; exec sleep 1000; }; [ -e \"$2\" ] || { echo ready; exec sleep 1000; }";
    let mark = dir.path().join("mark");
    let mut api = scripted(&dir, script, 1).await;
    let mut output = api.emulator.output();
    let mut definition = api.job("script").await.expect("it is there");
    definition.template.as_mut().expect("it has one").parallelism = 1;
    (definition.name, definition.etag) = (String::new(), String::new());
    api.create("one-by-one", definition).await.expect("valid");
    let overrides = Overrides { task_count: 3, ..args(&["go", &mark.to_string_lossy()]) };
    let started = api.run_with("one-by-one", overrides).await.expect("accepted");
    assert!(matches!(output.recv().await, Some(Output::Line(_))));
    drop(api);

    fs::write(&mark, "").expect("a file");
    let mut api = scripted(&dir, script, 1).await;
    let execution: Execution = response(&api.wait(&started).await);
    assert_eq!((execution.succeeded_count, execution.retried_count), (3, 1));
}

#[tokio::test]
async fn the_clock_goes_on_where_it_stood() {
    let dir = place();
    let virtual_clock = || simulated(&dir).clock(runjob::emulator::Clock::Virtual);
    let api = Api::start(virtual_clock()).await;
    api.emulator.clock().advance(std::time::Duration::from_secs(60));
    let mut api = api;
    let started = api.run("echo").await;
    let created = metadata::<Execution>(&started).create_time;
    drop(api);
    let mut api = Api::start(virtual_clock()).await;
    let again = api.run("echo").await;
    let later = metadata::<Execution>(&again).create_time;
    assert!(later.map(|at| at.seconds) >= created.map(|at| at.seconds), "{later:?} {created:?}");
}

async fn refused(dir: &Path) -> String {
    Emulator::builder().data_dir(dir).no_listener().start().await.expect_err("it cannot").to_string()
}

#[tokio::test]
async fn two_emulators_cannot_share_a_directory() {
    let dir = place();
    let api = Api::start(simulated(&dir)).await;
    let error = refused(dir.path()).await;
    assert!(error.contains("another emulator keeps its state"), "{error}");
    drop(api);
    Api::start(simulated(&dir)).await;
}

/// faults 4.2, rule 8.
#[tokio::test]
async fn a_directory_is_made_private_and_one_with_other_things_in_it_is_refused() {
    let place = place();
    let (new, empty, other) = (place.path().join("a/b"), place.path().join("empty"), place.path().join("other"));
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    for dir in [&empty, &other] {
        fs::create_dir(dir).expect("a directory");
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    for dir in [&new, &empty] {
        drop(Emulator::builder().data_dir(dir).no_listener().start().await.expect("it can be used"));
        assert_eq!((mode(dir), mode(&dir.join("state.redb"))), (0o700, 0o600));
    }
    fs::write(other.join("thing"), "").expect("a file");
    let error = refused(&other).await;
    assert!(error.contains("chmod 700"), "{error}");
    assert_eq!(mode(&other), 0o755);
}

/// faults 5, case 51.
#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let error = refused(Path::new("/dev/null/state")).await;
    assert!(error.contains("/dev/null/state"), "{error}");
}

#[tokio::test]
async fn state_that_is_damaged_is_named_and_left_alone() {
    let dir = place();
    fs::write(dir.path().join("state.redb"), "no database").expect("a file");
    let error = refused(dir.path()).await;
    assert!(error.contains(&dir.path().display().to_string()), "{error}");
    assert_eq!(fs::read(dir.path().join("state.redb")).expect("it is there"), b"no database");
}
