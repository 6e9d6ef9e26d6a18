//! `runjob emulator` in one process, `runjob` in others.

use runjob::{
    Client, JobName,
    proto::run::v2::{Container, ExecutionTemplate, Job, TaskTemplate},
};
use rustix::process::Signal;
use serde_json::json;

use super::{JOBS, Ran, Server};

#[test]
fn a_job_runs_over_tcp_with_nothing_but_the_printed_variable() {
    let server = Server::start();
    let ran = server.ran("execute echo --args=hello --wait");
    assert_eq!(ran.status, 0, "{ran:#?}");
    assert!(
        ran.stdout.starts_with(&format!("SUCCEEDED {JOBS}/echo/executions/echo-ID (1 task, 1 succeeded)\n")),
        "{ran:#?}"
    );
    assert!(ran.stderr.starts_with("note: RUN_EMULATOR_HOST is set: calling the emulator at 127.0.0.1:"), "{ran:#?}");
}

#[test]
fn a_started_execution_is_cancelled_and_waited_for_by_its_name() {
    let server = Server::start();
    let started = server.command("execute sleep --args=60 --async").output().expect("the program runs");
    assert_eq!(started.status.code(), Some(0));
    let name = String::from_utf8(started.stdout).expect("Unicode");
    let name = name.trim_end();

    let cancelled = server.ran(&format!("cancel {name}"));
    assert_eq!((cancelled.status, cancelled.stdout), (0, format!("{JOBS}/sleep/executions/sleep-ID\n")));
    let waited = server.ran(&format!("wait {name} --format=json"));
    assert_eq!((waited.status, &waited.json()["outcome"]), (1, &json!("CANCELLED")), "{waited:#?}");
    let again = server.ran(&format!("cancel {name}"));
    assert_eq!(again.status, 7, "{again:#?}");
}

#[test]
fn equal_seeds_and_a_made_up_time_give_equal_answers() {
    let started = || {
        let server = Server::start_with("--runtime=simulated --clock=virtual --id-seed=7");
        let printed = |line| {
            let output = server.command(line).output().expect("the program runs");
            String::from_utf8(output.stdout).expect("Unicode")
        };
        (printed("execute echo --format=json"), printed("executions list --job=echo --format=json"))
    };
    let (first, described) = started();
    let executions: serde_json::Value = serde_json::from_str(&described).expect("JSON");
    assert_eq!(executions[0]["createTime"], "2026-01-01T00:00:00Z");
    assert_eq!(started(), (first, described));
}

#[test]
fn a_cancel_in_json_is_the_execution() {
    let server = Server::start();
    assert_eq!(server.ran("execute sleep --args=60").status, 0);
    let id = server.command("executions list --job=sleep --format=json").output().expect("the program runs").stdout;
    let id: serde_json::Value = serde_json::from_slice(&id).expect("JSON");
    let cancelled = server.ran(&format!("cancel {} --format=json", id[0]["name"].as_str().expect("a name")));
    assert_eq!((cancelled.status, &cancelled.json()["job"]), (0, &json!("sleep")), "{cancelled:#?}");
}

#[test]
fn the_emulator_logs_what_its_tasks_write_and_ends_cleanly_when_told_to() {
    let mut server = Server::start();
    assert_eq!(server.ran("execute echo --args=hello --wait").status, 0);
    let line = server.running.line_of_stderr("hello");
    assert!(line.ends_with("task0 | hello"), "{line}");
    server.running.signal(Signal::INT);
    assert_eq!(server.running.child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn the_emulator_ends_even_when_its_log_is_not_read() {
    let mut server = Server::start();
    let more_than_a_pipe_holds = format!("--args={}", "x".repeat(10_000));
    let mut command = server.command("execute echo --tasks=20 --wait");
    command.arg(more_than_a_pipe_holds);
    assert_eq!(Ran::of(command).status, 0);
    server.running.signal(Signal::TERM);
    assert_eq!(server.running.child.wait().expect("it ends").code(), Some(0));
}

#[tokio::test]
async fn a_container_that_is_not_among_several_is_refused_and_nothing_starts() {
    let server = Server::start();
    let (_, address) = server.variable.split_once('=').expect("a variable");
    let client = Client::builder().emulator(address).build().await.expect("a client");
    let container = |name: &str| Container {
        name: name.into(),
        image: "us-docker.pkg.dev/runjob/samples/echo".into(),
        ..Container::default()
    };
    let template = TaskTemplate { containers: vec![container("web"), container("log")], ..TaskTemplate::default() };
    let template = ExecutionTemplate { template: Some(template), ..ExecutionTemplate::default() };
    let job: JobName = format!("{JOBS}/pair").parse().expect("a name");
    let created = client.create_job(&job, Job { template: Some(template), ..Job::default() }).await;
    created.expect("accepted").wait().await.expect("created");

    let refused = server.ran("execute pair --container=nope --args=x --wait");
    assert_eq!((refused.status, refused.stdout.as_str()), (2, ""), "{refused:#?}");
    assert!(refused.stderr.contains("INVALID_ARGUMENT"), "{refused:#?}");
    assert_eq!(server.ran("executions list --job=pair --format=json").json(), json!([]));

    let started = server.ran("execute pair --container=web --args=x --container=log --clear-args");
    assert_eq!(started.status, 0, "{started:#?}");
    let executions = server.ran("executions list --job=pair --format=json").json();
    let containers = &executions[0]["template"]["containers"];
    assert_eq!((&containers[0]["args"], containers[1].get("args")), (&json!(["x"]), None), "{containers}");
}
