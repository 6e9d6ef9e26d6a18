//! The emulator as a program against the worst: killed outright, without files, without room, without a network (faults 4.2
//! and 5).

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{Ran, Running, Server, ran, runjob};

fn has_gone(process: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.is_empty() || stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

/// True as soon as it is, or false after a while.
fn soon(what: impl Fn() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if what() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Rule 7, case 49: nothing is left of a killed emulator: no task, no daemon, no home directory.
#[test]
fn no_task_outlives_an_emulator_that_was_killed_outright() {
    let place = tempfile::tempdir().expect("a place");
    let script = place.path().join("task");
    let text = "#!/bin/sh\ntrap '' TERM HUP\nsetsid sh -c 'trap \"\" HUP; echo \"daemon $$ $HOME\"; sleep 1000' &\n\
                echo \"leader $$ $HOME\"\nwhile :; do sleep 1000; done\n";
    fs::write(&script, text).expect("a file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let mut server = Server::over(Running::start(runjob(&format!(
        "emulator --listen=127.0.0.1:0 --image=example.com/task={}",
        script.display()
    ))));
    assert_eq!(server.ran("jobs create task --image=example.com/task").status, 0);
    assert_eq!(server.ran("execute task").status, 0);
    let found = [(); 2].map(|()| server.running.line_of_stderr("task0 | "));
    server.running.child.kill().expect("it runs");
    server.running.child.wait().expect("it ends");
    for line in found {
        assert!(line.contains("leader") || line.contains("daemon"), "{line}");
        let mut words = line.rsplit(' ');
        let (home, process) = (words.next().expect("a home"), words.next().expect("a process"));
        assert!(soon(|| has_gone(process)), "{line} is still there");
        assert!(soon(|| !Path::new(home).exists()), "{home} is still there");
    }
}

/// Rule 6, case 47: nothing of the emulator's own environment is in a task's.
#[test]
fn a_task_sees_no_secret_of_the_host() {
    let mut command = runjob("emulator --listen=127.0.0.1:0");
    for name in ["GOOGLE_APPLICATION_CREDENTIALS", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "CANARY"] {
        command.env(name, "canary-in-a-mine");
    }
    let mut server = Server::over(Running::start(command));
    assert_eq!(server.ran("execute env --wait").status, 0);
    let mut seen = String::new();
    server.running.signal(rustix::process::Signal::TERM);
    server.running.stderr.read_to_string(&mut seen).expect("Unicode");
    assert!(seen.contains("CLOUD_RUN_JOB=env") && !seen.contains("canary"), "{seen}");
}

/// Rules 1 and 4.
#[test]
fn an_address_that_is_not_loopback_needs_a_token_and_the_token_is_private() {
    let refused = ran("emulator --listen=0.0.0.0:0");
    assert_eq!(refused.status, 2, "{refused:#?}");
    assert!(refused.stderr.contains("--require-token"), "{refused:#?}");

    let place = tempfile::tempdir().expect("a place");
    let file = place.path().join("token");
    let mut running =
        Running::start(runjob(&format!("emulator --listen=0.0.0.0:0 --require-token={}", file.display())));
    let variable = running.line_of_stdout();
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    let token = fs::read_to_string(&file).expect("it is ours");
    let port = variable.rsplit(':').next().expect("a port");
    for (header, status) in [(String::new(), 401), (format!("Authorization: Bearer {}\r\n", token.trim_end()), 200)] {
        let mut socket = TcpStream::connect(format!("127.0.0.1:{port}")).expect("it takes connections");
        let path = "/v2/projects/demo/locations/us-central1/jobs/echo";
        let text = format!("GET {path} HTTP/1.1\r\nHost: emulator.internal\r\n{header}Connection: close\r\n\r\n");
        socket.write_all(text.as_bytes()).expect("it is read");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

/// Case 50: without files to open it waits, and goes on.
#[test]
fn an_emulator_that_can_open_no_more_files_serves_who_is_there() {
    let server = Server::limited("ulimit -n 48", "");
    let address = server.variable.split_once('=').expect("a variable").1.to_owned();
    assert_eq!(server.ran("jobs list").status, 0);
    let crowd: Vec<_> = (0..200).map(|_| TcpStream::connect(&address).expect("the system takes it")).collect();
    drop(crowd);
    let listed = server.ran("jobs list");
    assert_eq!(listed.status, 0, "{listed:#?}");
}

/// Case 51: no room is a clean end, and nothing that was told is lost.
#[test]
fn an_emulator_without_room_says_so_and_starts_nothing_that_it_cannot_keep() {
    let place = tempfile::tempdir().expect("a place");
    let dir = place.path().join("state");
    // A full disk, as far as this process can tell: no file may grow beyond 2 MiB.
    let mut server =
        Server::limited("trap '' XFSZ; ulimit -f 4096", &format!("--runtime=simulated --data-dir={}", dir.display()));
    let mut started = Vec::new();
    let failed = loop {
        let mut command = server.command("execute echo --tasks=1000");
        command.arg(format!("--args={}", "x".repeat(30_000)));
        let output = command.output().expect("the program runs");
        if output.status.code() != Some(0) {
            break Ran::from(output);
        }
        started.push(String::from_utf8(output.stdout).expect("Unicode").trim_end().to_owned());
        assert!(started.len() < 1000, "it never was full");
    };
    assert!(failed.stderr.contains("cannot keep its state"), "{failed:#?}");
    assert_eq!(server.running.child.wait().expect("it ends").code(), Some(8));
    let mut said = String::new();
    server.running.stderr.read_to_string(&mut said).expect("Unicode");
    assert!(said.contains("cannot keep its state"), "{said}");

    let server = Server::over(Running::start(runjob(&format!(
        "emulator --listen=127.0.0.1:0 --runtime=simulated --data-dir={}",
        dir.display()
    ))));
    for name in &started {
        assert_eq!(server.ran(&format!("describe {name}")).status, 0, "{name} was lost");
    }
}

/// Rule 10: it needs no network but loopback, and so has no way to the real service.
#[test]
fn an_emulator_works_without_a_network() {
    let alone = |line: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "/bin/sh", "-c", line]).stdin(Stdio::null());
        command
    };
    if !alone("true").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this system cannot give a process a separate network");
        return;
    }
    let program = env!("CARGO_BIN_EXE_runjob");
    let done = Ran::of(alone(&format!("exec {program} execute echo --args=hello --wait --emulator")));
    assert_eq!(done.status, 0, "{done:#?}");
}
