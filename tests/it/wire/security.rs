//! The emulator against those who mean harm: other callers, hostile jobs, floods (faults 4.2 by rule, 5 by case). Rules 2
//! and 3 are in `gate`, 5 and 6 in `processes`, 8 in `restarts`; what needs a process to kill is in the program's tests.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use runjob::{
    emulator::{Emulator, Output, OutputReader},
    proto::run::v2::{CancelExecutionRequest, Execution, GetJobRequest, jobs_client::JobsClient},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic::{Code, Request, transport::Endpoint};

use super::{Api, args, error, job_name, metadata, scripted};

async fn line(output: &mut OutputReader) -> String {
    match output.recv().await {
        Some(Output::Line(line)) => line.line,
        other => panic!("no line but {other:?}"),
    }
}

/// Gone, or dead and only waiting for its new parent to notice.
fn is_gone(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

async fn get(addr: SocketAddr, headers: &[(&'static str, &str)]) -> Option<Code> {
    let endpoint: Endpoint = format!("http://127.0.0.1:{}", addr.port()).parse().expect("an address");
    let mut request = Request::new(GetJobRequest { name: job_name("echo") });
    for (name, value) in headers {
        request.metadata_mut().insert(*name, value.parse().expect("a value"));
    }
    let mut jobs = JobsClient::new(endpoint.connect().await.expect("it takes connections"));
    jobs.get_job(request).await.err().map(|status| status.code())
}

/// Rules 1 and 4: whoever can reach it from elsewhere has to know the token.
#[tokio::test]
async fn an_emulator_that_listens_to_all_answers_only_who_knows_the_token() {
    let everywhere: SocketAddr = "0.0.0.0:0".parse().expect("an address");
    let builder = Emulator::builder().listen(everywhere).lenient(true);
    builder.clone().start().await.expect_err("there is no token");

    let emulator = builder.require_token("right").start().await.expect("there is one");
    let addr = emulator.addr().expect("it listens");
    assert_eq!(get(addr, &[]).await, Some(Code::Unauthenticated));
    for wrong in ["Bearer wrong", "Bearer righ", "Bearer right ", "right", "Bearer ", "Basic right"] {
        assert_eq!(get(addr, &[("authorization", wrong)]).await, Some(Code::Unauthenticated), "{wrong}");
    }
    assert_eq!(get(addr, &[("authorization", "Bearer right")]).await, None);
    let page = [("authorization", "Bearer right"), ("origin", "http://example.com")];
    assert_eq!(get(addr, &page).await, Some(Code::PermissionDenied));
    assert!(!format!("{emulator:?}").contains("right"));
}

/// Rule 3, case 45: a form cannot start anything.
#[tokio::test]
async fn a_form_of_a_web_page_starts_nothing() {
    let emulator = Emulator::builder().start().await.expect("it starts");
    let addr = emulator.addr().expect("it listens");
    for (method, kind, status) in [("POST", "text/plain", "415"), ("POST", "application/x-www-form-urlencoded", "415")]
    {
        let mut socket = TcpStream::connect(addr).await.expect("it takes connections");
        let path = format!("/v2/{}:run", job_name("echo"));
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {addr}\r\nContent-Type: {kind}\r\nContent-Length: 2\r\n\
             Connection: close\r\n\r\n{{}}"
        );
        socket.write_all(text.as_bytes()).await.expect("it is read");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {kind}: {answer}");
        assert!(!answer.to_lowercase().contains("access-control-"), "{answer}");
    }
    assert_eq!(emulator.ledger(), []);
}

/// Case 46: what looks like a command is an argument like any other.
#[tokio::test]
async fn args_that_look_like_commands_are_passed_on_literally() {
    let mut api = Api::real().await;
    let mut output = api.emulator.output();
    let hostile = ["--privileged", ";rm -rf /", "$(id)", "`id`", "| id", "a\nb"];
    let operation = api.run_with("echo", args(&hostile)).await.expect("accepted");
    api.wait(&operation).await;
    assert_eq!(format!("{}\n{}", line(&mut output).await, line(&mut output).await), hostile.join(" "));
}

/// Rule 7, case 48: a process that leaves its group and its session on purpose goes with its task.
#[tokio::test]
async fn a_daemon_goes_with_its_task() {
    if !Path::new("/proc/self/environ").exists() {
        eprintln!("skipped: this system does not show the environment of processes");
        return;
    }
    let daemon = "setsid sh -c 'trap \"\" HUP TERM; echo $$; exec >/dev/null 2>&1; exec sleep 1000' &";
    let mut api = scripted(&format!("{daemon} sleep 0.2; exit 3")).await;
    let mut output = api.emulator.output();
    let operation = api.run("script").await;
    let daemon = line(&mut output).await;
    let done = api.wait(&operation).await;
    assert!(error(&done).1.contains("exit code: 3"), "{}", error(&done).1);
    assert!(is_gone(&daemon), "{daemon} is still there");
}

/// Case 48: processes that make processes are all gone when the task is cancelled.
#[tokio::test]
async fn a_tree_of_processes_that_ignore_signals_is_gone_after_a_cancel() {
    let tree = "trap '' TERM HUP; for i in 1 2 3 4 5 6 7 8; do (setsid sh -c 'trap \"\" TERM HUP; sleep 1000 & sleep 1000' \
                & sleep 1000 &) ; done; echo \"$HOME\"; trap 'exit 0' TERM; sleep 1000 & wait";
    let mut api = scripted(tree).await;
    let mut output = api.emulator.output();
    let operation = api.run("script").await;
    let home = line(&mut output).await;
    let name = metadata::<Execution>(&operation).name;
    let request = CancelExecutionRequest { name, ..CancelExecutionRequest::default() };
    api.executions.cancel_execution(request).await.expect("it runs");
    api.wait(&operation).await;
    let left = fs::read_dir("/proc").into_iter().flatten().flatten().filter(|process| {
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        environment.windows(home.len()).any(|part| part == home.as_bytes())
    });
    assert_eq!(left.count(), 0, "processes of {home} are left");
    assert!(!Path::new(&home).exists(), "{home} is still there");
}

/// Rule 7: no core dumps, and no file without an end.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_task_has_limits() {
    let mut api =
        scripted("while [ \"$(ulimit -c)\" != 0 ] || [ \"$(ulimit -f)\" = unlimited ]; do :; done; echo limited").await;
    let mut output = api.emulator.output();
    api.run("script").await;
    assert_eq!(line(&mut output).await, "limited");
}

/// Rule 9, case 50: connections that say nothing lose their place to those that do.
#[tokio::test(start_paused = true)]
async fn silent_connections_keep_nobody_out() {
    let emulator = Emulator::builder().lenient(true).start().await.expect("it starts");
    let addr = emulator.addr().expect("it listens");
    let mut silent = Vec::new();
    for half in [b"".as_slice(), b"PRI * HTTP", b"GET /"] {
        for _ in 0..300 {
            let mut socket = TcpStream::connect(addr).await.expect("the system takes it");
            socket.write_all(half).await.expect("it is taken");
            silent.push(socket);
        }
    }
    assert_eq!(get(addr, &[]).await, None);
}

/// Rule 9: what floods or makes no sense ends one connection, and no more.
#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let emulator = Emulator::builder().lenient(true).start().await.expect("it starts");
    let addr = emulator.addr().expect("it listens");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    let header_bomb = [b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat();
    let pings = b"\0\0\x08\x06\0\0\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08".repeat(20_000);
    let settings = b"\0\0\0\x04\0\0\0\0\0".repeat(20_000);
    let resets: Vec<u8> = (0..10_000_u32)
        .flat_map(|call| {
            let stream = (2 * call + 1).to_be_bytes();
            // `:method: POST`, `:scheme: http`, `:path: /`, all from the static table; then RST_STREAM(CANCEL).
            let open = [&[0, 0, 3, 1, 4], stream.as_slice(), &[0x83, 0x86, 0x84]].concat();
            [open, [&[0, 0, 4, 3, 0], stream.as_slice(), &[0, 0, 0, 8]].concat()].concat()
        })
        .collect();
    let continuations = [b"\0\0\0\x01\0\0\0\0\x01".to_vec(), b"\0\0\x01\x09\0\0\0\0\x01\0".repeat(100_000)].concat();
    let after_preface = |flood: Vec<u8>| [preface.clone(), flood].concat();
    let floods = [
        header_bomb,
        vec![0; 1 << 20],
        after_preface(pings),
        after_preface(settings),
        after_preface(resets),
        after_preface(continuations),
        after_preface(vec![0xff; 1 << 20]),
    ];
    for flood in floods {
        let socket = TcpStream::connect(addr).await.expect("it takes connections");
        let (mut read, mut write) = socket.into_split();
        // Both may fail as soon as it has had enough.
        let pour = async { _ = write.write_all(&flood).await };
        let drain = async { _ = tokio::io::copy(&mut read, &mut tokio::io::sink()).await };
        _ = timeout(Duration::from_secs(5), async {
            tokio::select! { () = async { tokio::join!(pour, drain); } => {} }
        })
        .await;
        assert_eq!(get(addr, &[]).await, None);
    }
    emulator.stop().await.expect("it did not panic");
}
