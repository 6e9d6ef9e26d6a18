//! Ctrl-C while waiting: it detaches and says how to go on, or cancels where that was asked for.

use rustix::process::Signal;

use super::{JOBS, Running, Server};

#[test]
fn an_interrupted_wait_leaves_the_execution_running_and_says_how_to_go_on() {
    let server = Server::start();
    let mut waiting = Running::start(server.command("execute sleep --args=60 --wait"));
    waiting.line_of_stderr("sleep-");
    waiting.signal(Signal::INT);
    let ran = waiting.end();
    let name = format!("{JOBS}/sleep/executions/sleep-ID");
    assert_eq!((ran.status, ran.stdout), (130, format!("{name}\n")));
    assert!(
        ran.stderr.ends_with(&format!(
            "note: stopped waiting; {name} runs on\n\
             note: go on with `runjob wait {name}`, or end it with `runjob cancel {name}`\n"
        )),
        "{}",
        ran.stderr
    );
    let listed = server.ran("executions list --job=sleep --format=json").json();
    assert_eq!(listed[0].get("completionTime"), None, "it was to run on: {listed}");
}

#[test]
fn an_interrupt_cancels_where_that_was_asked_for() {
    let server = Server::start();
    let mut waiting = Running::start(server.command("execute sleep --args=60 --wait --cancel-on-interrupt"));
    waiting.line_of_stderr("sleep-");
    waiting.signal(Signal::INT);
    let ran = waiting.end();
    assert_eq!(ran.status, 130, "{ran:#?}");
    assert!(ran.stdout.starts_with(&format!("CANCELLED {JOBS}/sleep/executions/sleep-ID\n")), "{ran:#?}");
}
