//! The emulator as a server that many share: what one caller or one task does is not felt by the others, and what a caller
//! sends chooses no code (cases 3.6 to 3.8, 4.1, 4.2 and 4.7; 3.9 is in `state_files`).

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::future::select_all;
use h2::client::{Builder, ResponseFuture};
use http::{Method, Request};
use prost::Message as _;
use runjob::{
    Client, JobName,
    emulator::Emulator,
    proto::run::v2::{Container, ExecutionTemplate, Job, ListJobsRequest, TaskTemplate},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    cli::{JOBS, Ran, Server},
    program::{Running, runjob},
};

/// Far more than anything here takes, and less than what would wait for a connection to go by itself.
const LONG: Duration = Duration::from_secs(60);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn address(server: &Server) -> SocketAddr {
    server.address().parse().expect("an address")
}

async fn client(server: &Server) -> Client {
    Client::builder().emulator(server.address()).build().await.expect("a client")
}

/// An executable file.
fn script(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("script");
    fs::write(&path, text).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    path
}

/// `runjob emulator` with a job `script` whose image stands for this file.
fn serving(script: &Path, change: impl FnOnce(&mut std::process::Command)) -> Server {
    let image = format!("--image=example.com/script={}", script.display());
    let mut command = runjob("emulator --listen=127.0.0.1:0");
    command.arg(image);
    change(&mut command);
    let server = Server::over(Running::start(command));
    let created = server.ran("jobs create script --image=example.com/script --max-retries=0");
    assert_eq!(created.status, 0, "{created:#?}");
    server
}

/// Case 3.6: the soft limit is raised, and tasks beyond the hard one wait.
#[test]
fn tasks_wait_for_their_turn_where_few_files_can_be_opened() {
    for limit in ["ulimit -Sn 64", "ulimit -n 64"] {
        let server = Server::limited(limit, "");
        let ran = server.ran("execute sleep --args=0.1 --tasks=100 --wait --format=json");
        assert_eq!((ran.status, &ran.json()["outcome"]), (0, &"SUCCEEDED".into()), "{limit}: {ran:#?}");
        assert_eq!(server.ran("jobs list").status, 0, "{limit}");
    }
}

/// Case 3.6 in full: `cargo test --profile bench --test it -- --ignored thousand_tasks`.
#[test]
#[ignore = "takes half a minute of all processors"]
fn two_thousand_tasks_fail_for_no_reason_of_the_emulator() {
    for limit in ["ulimit -Sn 256", "ulimit -n 256"] {
        let server = Server::limited(limit, "");
        let ran = server.ran("execute sleep --args=1 --tasks=2000 --wait --format=json");
        assert_eq!((ran.status, &ran.json()["outcome"]), (0, &"SUCCEEDED".into()), "{limit}: {ran:#?}");
    }
}

/// Case 3.6: a turn that never comes does not hold up a cancel.
#[test]
fn a_task_that_waits_for_its_turn_can_be_cancelled() {
    let server = Server::limited("ulimit -n 48", "");
    let started = server.command("execute sleep --args=1000 --tasks=50").output().expect("the program runs");
    let name = String::from_utf8(started.stdout).expect("Unicode");
    let cancelled = server.ran(&format!("cancel {name}"));
    assert_eq!(cancelled.status, 0, "{cancelled:#?}");
    let waited = server.ran(&format!("wait {name} --format=json"));
    assert_eq!((waited.status, &waited.json()["outcome"]), (1, &"CANCELLED".into()), "{waited:#?}");
}

/// Case 3.7: connections that ask for nothing keep nobody out.
#[tokio::test]
async fn two_thousand_idle_connections_do_not_delay_a_start_of_another_caller() {
    let emulator = Emulator::builder().start().await.expect("it starts");
    let address = emulator.addr().expect("it listens");
    let mut idle = Vec::new();
    for _ in 0..2000 {
        let mut socket = TcpStream::connect(address).await.expect("it is taken");
        socket.write_all(PREFACE).await.expect("it is read");
        idle.push(socket);
    }
    let client = Client::builder().emulator(address.to_string()).build().await.expect("a client");
    let job: JobName = format!("{JOBS}/echo").parse().expect("a name");
    let start = client.run(&job).start();
    timeout(LONG, start).await.expect("there was room").expect("it starts");
    assert_eq!(emulator.ledger().len(), 1);
}

/// Case 3.7: who waits for an answer is not idle.
#[tokio::test]
async fn a_call_that_is_under_way_keeps_its_connection_when_others_crowd_in() {
    let emulator = Emulator::builder().start().await.expect("it starts");
    let address = emulator.addr().expect("it listens");
    let client = Client::builder().emulator(address.to_string()).build().await.expect("a client");
    let job: JobName = format!("{JOBS}/sleep").parse().expect("a name");
    let mut run = client.run(&job).args(["1000"]).start().await.expect("it starts");
    let waiting = tokio::spawn(async move { run.wait().await });
    while emulator.calls(runjob::emulator::Rpc::WaitOperation) == 0 {
        tokio::task::yield_now().await;
    }
    let calls = emulator.calls(runjob::emulator::Rpc::WaitOperation);
    let mut crowd = Vec::new();
    for _ in 0..1500 {
        let mut socket = TcpStream::connect(address).await.expect("it is taken");
        socket.write_all(PREFACE).await.expect("it is read");
        crowd.push(socket);
    }
    // The first of them had to go.
    let mut first = crowd.remove(0);
    let end = async { while !matches!(first.read(&mut [0; 1024]).await, Ok(0) | Err(_)) {} };
    timeout(LONG, end).await.expect("it was given up");
    assert_eq!(emulator.calls(runjob::emulator::Rpc::WaitOperation), calls);
    assert!(!waiting.is_finished());
}

/// Case 3.8.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn answers_that_nobody_reads_take_bounded_memory_and_hold_up_nobody_else() {
    let server = Server::start();
    let client = client(&server).await;
    // A page of them is as large as a page can be.
    for number in 0..100 {
        let job: JobName = format!("{JOBS}/large-{number}").parse().expect("a name");
        let created = client.create_job(&job, large()).await;
        created.expect("accepted").wait().await.expect("created");
    }
    let mut connections = Vec::new();
    for _ in 0..16 {
        connections.push(unread_lists(address(&server), 256).await);
    }
    for answers in &mut connections {
        // One of them at least has come up, or the connection was given up.
        _ = timeout(LONG, select_all(answers)).await.expect("an answer, or none");
    }
    for _ in 0..20 {
        client.job(&format!("{JOBS}/echo").parse().expect("a name")).await.expect("it is answered");
    }
    let peak = memory(&server);
    assert!(peak < 200_000, "{peak} kB");
}

fn large() -> Job {
    let image = "us-docker.pkg.dev/runjob/samples/echo".to_owned();
    let container = Container { image, args: vec!["x".repeat(30_000)], ..Container::default() };
    let template = TaskTemplate { containers: vec![container], ..TaskTemplate::default() };
    Job {
        template: Some(ExecutionTemplate { template: Some(template), ..ExecutionTemplate::default() }),
        ..Job::default()
    }
}

/// A connection that asks for lists, and takes no byte of their bodies.
async fn unread_lists(address: SocketAddr, count: usize) -> Vec<ResponseFuture> {
    let socket = TcpStream::connect(address).await.expect("it is taken");
    let mut builder = Builder::new();
    builder.initial_window_size(0).initial_max_send_streams(count);
    let (mut calls, connection) = builder.handshake::<_, bytes::Bytes>(socket).await.expect("HTTP/2");
    tokio::spawn(connection);
    let parent = "projects/demo/locations/us-central1".to_owned();
    let message = ListJobsRequest { parent, page_size: 1000, ..ListJobsRequest::default() }.encode_to_vec();
    let body = [&[0][..], &u32::try_from(message.len()).expect("short").to_be_bytes(), &message].concat();
    let mut answers = Vec::new();
    for _ in 0..count {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{address}/google.cloud.run.v2.Jobs/ListJobs"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-goog-request-params", "location=us-central1")
            .body(())
            .expect("a request");
        let Ok((answer, mut stream)) = calls.send_request(request, false) else { break };
        // A connection that was given up takes no more.
        _ = stream.send_data(body.clone().into(), true);
        answers.push(answer);
        tokio::task::yield_now().await;
    }
    answers
}

/// The most that the emulator has had in memory, in kB.
#[cfg(target_os = "linux")]
fn memory(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).expect("it runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is told");
    peak.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Case 4.1: by an override, and by a job.
#[test]
fn a_variable_that_chooses_code_is_refused_and_names_what_would_allow_it() {
    let place = tempfile::tempdir().expect("a place");
    let mark = place.path().join("mark");
    let bash = script(&place, "#!/bin/bash\necho task\n");
    let server = serving(&bash, |_| {});
    let function = format!("BASH_FUNC_echo%%=() {{ touch {}; }}", mark.display());
    let file = format!("BASH_ENV={}", script(&tempfile::tempdir().expect("a place"), "").display());
    for variable in [function.as_str(), &file, "LD_PRELOAD=/tmp/x.so", "PATH=/tmp", "a-b=c", "GIT_SSH_COMMAND=touch x"]
    {
        let mut command = server.command("execute script --wait");
        command.arg(format!("--update-env-vars=^|^{variable}"));
        let refused = Ran::of(command);
        assert_eq!(refused.status, 2, "{variable}: {refused:#?}");
        assert!(refused.stderr.contains("--allow-command"), "{variable}: {refused:#?}");

        let mut command = server.command("jobs create other --image=example.com/script");
        command.arg(format!("--set-env-vars=^|^{variable}"));
        let refused = Ran::of(command);
        assert_eq!(refused.status, 2, "{variable}: {refused:#?}");
    }
    assert!(!mark.exists());
    assert_eq!(server.ran("executions list --job=script --format=json").json(), serde_json::json!([]));
    let plain = server.ran("execute script --wait --update-env-vars=MODE=full,PYTHONUNBUFFERED=1");
    assert_eq!(plain.status, 0, "{plain:#?}");
}

/// Case 4.1: who lets callers choose the command lets them choose its environment.
#[test]
fn with_allow_command_every_variable_is_taken() {
    let place = tempfile::tempdir().expect("a place");
    let bash = script(&place, "#!/bin/bash\necho task\n");
    let server = serving(&bash, |command| _ = command.arg("--allow-command"));
    let ran = server.ran("execute script --wait --update-env-vars=BASH_ENV=/dev/null,LD_LIBRARY_PATH=/tmp");
    assert_eq!(ran.status, 0, "{ran:#?}");
}

/// Case 4.2: neither the environment of the emulator nor its memory, files and folders; and the emulator works on.
#[cfg(target_os = "linux")]
#[test]
fn a_task_cannot_look_into_the_emulator() {
    let place = tempfile::tempdir().expect("a place");
    let look = script(
        &place,
        "#!/bin/sh\nparent=/proc/$PPID\n\
         for file in environ auxv maps; do cat $parent/$file >/dev/null 2>&1 && echo \"open: $file\"; done\n\
         head -c 1 $parent/mem >/dev/null 2>&1 && echo 'open: mem'\n\
         for link in cwd exe root fd/0; do readlink $parent/$link >/dev/null 2>&1 && echo \"open: $link\"; done\n\
         cat $parent/task/*/environ 2>/dev/null | tr '\\0' '\\n' | sed 's/^/open: /'\n\
         cat /proc/self/environ >/dev/null && echo looked\n",
    );
    let mut server = serving(&look, |command| _ = command.env("CANARY", "canary-in-a-mine"));
    let ran = server.ran("execute script --wait");
    assert_eq!(ran.status, 0, "{ran:#?}");
    let first = server.line_of_stderr("task0 | ");
    assert!(first.ends_with("looked"), "{first}");
    assert_eq!(server.ran("execute echo --tasks=20 --wait").status, 0);
}

/// Case 4.7.
#[tokio::test]
async fn the_scheme_of_a_token_is_read_in_any_case() {
    let emulator = Emulator::builder().require_token("right").lenient(true).start().await.expect("it starts");
    let address = emulator.addr().expect("it listens");
    for (given, status) in [("bearer right", 200), ("BEARER right", 200), ("Bearer right", 200), ("basic right", 401)] {
        let mut socket = TcpStream::connect(address).await.expect("it is taken");
        let text = format!(
            "GET /v2/{JOBS}/echo HTTP/1.1\r\nHost: {address}\r\nAuthorization: {given}\r\nConnection: close\r\n\r\n"
        );
        socket.write_all(text.as_bytes()).await.expect("it is read");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{given}: {answer}");
    }
}
