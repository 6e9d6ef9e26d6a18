//! Signals while waiting: it detaches and says how to go on, or cancels where that was asked for.

use rustix::process::Signal;

use super::{JOBS, Running, Server};

#[test]
fn an_interrupted_wait_leaves_the_execution_running_and_says_how_to_go_on() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        detaches(signal);
    }
}

fn detaches(signal: Signal) {
    let server = Server::start();
    let mut waiting = Running::start(server.command("execute sleep --args=60 --wait"));
    waiting.line_of_stderr("sleep-");
    waiting.signal(signal);
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
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut waiting = Running::start(server.command("execute sleep --args=60 --wait --cancel-on-interrupt"));
        waiting.line_of_stderr("sleep-");
        waiting.signal(signal);
        let ran = waiting.end();
        assert_eq!(ran.status, 130, "{signal:?}: {ran:#?}");
        assert!(
            ran.stdout.starts_with(&format!("CANCELLED {JOBS}/sleep/executions/sleep-ID (1 task, 1 cancelled)\n")),
            "{ran:#?}"
        );
    }
}

#[test]
fn a_wait_that_was_started_to_survive_its_terminal_does() {
    let server = Server::start();
    let mut command = std::process::Command::new("/bin/sh");
    let line = format!("trap '' HUP; exec {} execute sleep --args=60 --wait", env!("CARGO_BIN_EXE_runjob"));
    command
        .env_clear()
        .args(["-c", &line])
        .envs(server.variable.split_once('='))
        .env("XDG_STATE_HOME", server.state.path());
    let mut waiting = Running::start(command);
    waiting.line_of_stderr("sleep-");
    waiting.signal(Signal::HUP);
    waiting.signal(Signal::INT);
    let ran = waiting.end();
    assert_eq!(ran.status, 130, "{ran:#?}");
}
