//! Cases 47 to 55: when a wait is over. Scripted peers on made-up time, beside the emulator where it can play the part.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use prost::Message as _;
use runjob::{
    Change, Client, Credentials, ErrorKind, ExecutionName, Outcome, Phase, Run, RunTicket,
    emulator::{Emulator, Fault, Rpc, Runtime, Simulated, Simulation},
    proto::{
        longrunning::Operation,
        run::v2::{Condition, Execution, condition::State},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, timeout},
};
use tonic::{Code, Status};
use tower::Service as _;

use super::{Script, job};

fn name() -> ExecutionName {
    job().execution("echo-abcde").expect("a name")
}

fn execution(state: State) -> Execution {
    let completed = Condition { r#type: "Completed".to_owned(), state: state.into(), ..Condition::default() };
    Execution { name: name().to_string(), task_count: 1, conditions: vec![completed], ..Execution::default() }
}

fn running() -> Execution {
    execution(State::ConditionReconciling)
}

fn succeeded() -> Execution {
    Execution { succeeded_count: 1, ..execution(State::ConditionSucceeded) }
}

fn operation(done: bool, execution: &Execution) -> Vec<u8> {
    let metadata = Some(prost_types::Any::from_msg(execution).expect("an Any"));
    Operation { name: format!("{}/operations/1", job().location()), metadata, done, ..Operation::default() }
        .encode_to_vec()
}

/// An emulator whose tasks take this long, and a client of it.
async fn slow(length: Duration) -> (Client, Emulator) {
    let runtime = Runtime::Simulated(Simulation::new(move |_| Simulated::exits(0).after(length)));
    let emulator = Emulator::builder().no_listener().runtime(runtime).start().await.expect("an emulator");
    let client = Client::builder().connector(emulator.connector()).build().await.expect("a client");
    (client, emulator)
}

/// A script that starts an execution.
fn after_start(answer: impl Fn(&str, usize) -> Result<Vec<u8>, &'static str> + Send + Sync + 'static) -> Script {
    Script::new(move |rpc, before, _| match rpc {
        "RunJob" => Ok(operation(false, &running())),
        _ => answer(rpc, before),
    })
}

async fn start(script: &Script) -> Run {
    let client = script.client().build().await.expect("a client");
    client.run(&job()).start().await.expect("started")
}

/// How it ends, within ten minutes.
async fn outcome(run: &mut Run) -> Outcome {
    let finished = timeout(Duration::from_secs(600), run.wait()).await.expect("it ends").expect("waited");
    finished.outcome().clone()
}

/// Case 47.
#[tokio::test(start_paused = true)]
async fn the_execution_ends_a_wait_although_its_operation_never_does() {
    let script = after_start(|rpc, _| {
        Ok(if rpc == "GetExecution" { succeeded().encode_to_vec() } else { operation(false, &running()) })
    });
    assert_eq!(outcome(&mut start(&script).await).await, Outcome::Succeeded);
    assert!(script.calls("WaitOperation") <= 2);
    assert!(start(&script).await.poll().await.expect("asked").is_some());
}

/// Case 47, where the operation is held as it should be: the execution is asked all the same, and more and more rarely.
#[tokio::test(start_paused = true)]
async fn an_operation_that_is_held_is_checked_against_its_execution() {
    for (minutes, checks) in [(1, 0..=0), (3, 1..=2), (60, 5..=7)] {
        let length = Duration::from_secs(60 * minutes);
        let (client, emulator) = slow(length).await;
        let mut run = client.run(&job()).task_timeout(2 * length).start().await.expect("started");
        run.wait().await.expect("waited");
        let asked = emulator.calls(Rpc::GetExecution);
        assert!(checks.contains(&asked), "asked {asked} times in {minutes} minutes");
    }
}

/// Case 48: one of the two sources refuses, cannot be read or is too large.
#[tokio::test(start_paused = true)]
async fn a_source_that_refuses_leaves_the_wait_to_the_other_one() {
    let oversized = || {
        let labels = [("a".to_owned(), "x".repeat(5 << 20))].into();
        operation(false, &Execution { labels, ..running() })
    };
    for answer in [Err("7"), Err("12"), Err("3"), Err("9"), Err("16"), Ok(vec![0xff; 3]), Ok(oversized())] {
        let told = format!("{:?}", answer.as_ref().map(Vec::len));
        let refusal = answer.clone();
        let by_execution = after_start(move |rpc, before| match rpc {
            "GetExecution" if before >= 2 => Ok(succeeded().encode_to_vec()),
            "GetExecution" => Ok(running().encode_to_vec()),
            _ => refusal.clone(),
        });
        assert_eq!(outcome(&mut start(&by_execution).await).await, Outcome::Succeeded, "by the execution: {told}");
        let refusal = answer.clone();
        let by_operation = after_start(move |rpc, before| match rpc {
            "WaitOperation" if before >= 2 => Ok(operation(true, &succeeded())),
            "WaitOperation" => Ok(operation(false, &running())),
            _ => refusal.clone(),
        });
        assert_eq!(outcome(&mut start(&by_operation).await).await, Outcome::Succeeded, "by the operation: {told}");
    }
    let denied = after_start(|_, _| Err("7"));
    assert_eq!(start(&denied).await.wait().await.expect_err("neither").kind(), ErrorKind::PermissionDenied);
    assert!(denied.calls("WaitOperation") + denied.calls("GetExecution") <= 2);
}

/// Case 49: what tonic cannot read is not the service's word.
#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_is_a_protocol_error_and_no_bad_input() {
    let labels: std::collections::BTreeMap<_, _> = [("a".to_owned(), "x".repeat(5 << 20))].into();
    let script = Script::new(move |_, _, _| Ok(Execution { labels: labels.clone(), ..running() }.encode_to_vec()));
    let client = script.client().build().await.expect("a client");
    let error = client.execution(&name()).await.expect_err("over 4 MiB");
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
}

/// Cases 50 and 51.
#[tokio::test(start_paused = true)]
async fn not_found_is_believed_when_it_is_said_again_after_ten_seconds() {
    // Once by each RPC.
    let lag = after_start(|rpc, before| match (rpc, before) {
        (_, 0) => Err("5"),
        ("GetExecution", _) => Ok(running().encode_to_vec()),
        (_, 1) => Ok(operation(false, &running())),
        _ => Ok(operation(true, &succeeded())),
    });
    let mut run = start(&lag).await;
    assert!(run.poll().await.expect("it may show up").is_none());
    assert_eq!(outcome(&mut run).await, Outcome::Succeeded);

    let gone = after_start(|_, _| Err("5"));
    let (mut run, began) = (start(&gone).await, Instant::now());
    assert_eq!(outcome(&mut run).await, Outcome::Deleted);
    assert!((10..30).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());

    // By name, in another process.
    let late = Script::new(|_, before, _| if before < 4 { Err("5") } else { Ok(succeeded().encode_to_vec()) });
    let client = late.client().build().await.expect("a client");
    assert_eq!(outcome(&mut client.attach(&name())).await, Outcome::Succeeded);
    let client = gone.client().build().await.expect("a client");
    let began = Instant::now();
    assert_eq!(client.attach(&name()).wait().await.expect_err("nothing there").kind(), ErrorKind::NotFound);
    assert!((10..30).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    // Many that share a list, and an operation on a job.
    let ended: Vec<_> = client.watch((0..9).map(|_| client.attach(&name()))).collect().await;
    assert!(ended.iter().all(|(_, end)| end.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound)));
    let operation = job().location().operation("1").expect("a name");
    assert_eq!(client.wait_operation(&operation).await.expect_err("nothing there").kind(), ErrorKind::NotFound);
}

/// Case 52.
#[tokio::test(start_paused = true)]
async fn an_end_that_proves_nothing_is_no_success() {
    let over = Execution {
        name: name().to_string(),
        completion_time: Some(prost_types::Timestamp::default()),
        ..Execution::default()
    };
    let script = Script::new(move |_, _, _| Ok(over.encode_to_vec()));
    let client = script.client().build().await.expect("a client");
    assert_eq!(outcome(&mut client.attach(&name())).await, Outcome::Unknown);
}

/// Case 53: answers about another execution are ridden out, from either source.
#[tokio::test(start_paused = true)]
async fn the_end_of_another_execution_is_not_taken_for_ours() {
    let other = || Execution { name: format!("{}/executions/echo-other", job()), ..succeeded() };
    let by_execution = Script::new(move |_, before, _| {
        Ok(if before < 3 { other() } else { execution(State::ConditionFailed) }.encode_to_vec())
    });
    let client = by_execution.client().build().await.expect("a client");
    assert_eq!(outcome(&mut client.attach(&name())).await, Outcome::Failed(Vec::new()));

    let by_operation = after_start(move |rpc, before| match rpc {
        "GetExecution" if before < 3 => Ok(running().encode_to_vec()),
        "GetExecution" => Ok(execution(State::ConditionFailed).encode_to_vec()),
        "WaitOperation" => Ok(operation(true, &other())),
        _ => Err("7"),
    });
    assert_eq!(outcome(&mut start(&by_operation).await).await, Outcome::Failed(Vec::new()));
}

/// A list that tells of another job is read no further, and each is asked for by itself.
#[tokio::test(start_paused = true)]
async fn a_shared_list_of_another_job_settles_nothing() {
    use runjob::proto::run::v2::ListExecutionsResponse;
    let script = Script::new(|rpc, _, _| {
        let foreign = Execution { name: name().to_string().replace("jobs/echo", "jobs/zzz"), ..succeeded() };
        Ok(match rpc {
            "ListExecutions" => {
                ListExecutionsResponse { executions: vec![foreign], ..ListExecutionsResponse::default() }
                    .encode_to_vec()
            }
            _ => execution(State::ConditionFailed).encode_to_vec(),
        })
    });
    let client = script.client().build().await.expect("a client");
    let runs: Vec<_> =
        (0..9).map(|at| client.attach(&job().execution(format!("echo-abcd{at}")).expect("a name"))).collect();
    let mut ended = client.watch(runs.into_iter().chain([client.attach(&name())]));
    let first = timeout(Duration::from_secs(60), async {
        loop {
            let (ended, result) = ended.next().await.expect("one");
            if ended == name() {
                return result;
            }
        }
    });
    assert_eq!(first.await.expect("it ends").expect("waited").outcome(), &Outcome::Failed(Vec::new()));
}

/// An emulator that is not reachable while `is_up` is not set.
async fn absent(kind: io::ErrorKind) -> (Emulator, Arc<AtomicBool>, runjob::ClientBuilder) {
    let emulator = Emulator::builder().no_listener().runtime(Runtime::Simulated(Simulation::default()));
    let emulator = emulator.start().await.expect("an emulator");
    let (connector, is_up) = (emulator.connector(), Arc::new(AtomicBool::new(false)));
    let switch = Arc::clone(&is_up);
    let builder = Client::builder().connector(tower::service_fn(move |uri| {
        let (is_up, mut connector) = (switch.load(Relaxed), connector.clone());
        async move { if is_up { connector.call(uri).await } else { Err(io::Error::from(kind)) } }
    }));
    (emulator, is_up, builder)
}

/// Case 54: a fresh process, and a service that is away for three minutes.
#[tokio::test(start_paused = true)]
async fn a_wait_by_name_rides_out_an_absent_service_and_says_so_each_minute() {
    for kind in [io::ErrorKind::ConnectionRefused, io::ErrorKind::ConnectionReset, io::ErrorKind::TimedOut] {
        let (emulator, is_up, builder) = absent(kind).await;
        let other = Client::builder().connector(emulator.connector()).build().await.expect("a client");
        let ticket = other.run(&job()).start().await.expect("started").ticket();
        let client = builder.build().await.expect("a client");
        let mut run = client.resume(&ticket);
        let began = Instant::now();
        let (mut changes, mut reported) = (run.changes(), Vec::new());
        let finished = loop {
            match changes.next().await.expect("the end comes last").expect("ridden out") {
                Change::Progress(now) => {
                    if let Some(trouble) = now.trouble {
                        assert_eq!((now.phase, trouble.error.kind()), (Phase::Unknown, ErrorKind::Unreachable));
                        reported.push(began.elapsed().as_secs() / 60);
                    }
                    is_up.store(began.elapsed() >= Duration::from_secs(180), Relaxed);
                }
                Change::Finished(finished) => break finished,
            }
        };
        assert_eq!(finished.outcome(), &Outcome::Succeeded);
        assert_eq!(reported, [0, 1, 2, 3], "{kind}");
        assert!(changes.next().await.is_none());
    }
}

/// Case 54: the setting.
#[tokio::test(start_paused = true)]
async fn a_wait_that_is_to_fail_fast_does_not_ride_out_an_absent_service() {
    let (_emulator, _, builder) = absent(io::ErrorKind::ConnectionRefused).await;
    let client = builder.fail_fast(true).build().await.expect("a client");
    assert_eq!(client.attach(&name()).wait().await.expect_err("away").kind(), ErrorKind::Unreachable);
}

#[tokio::test]
async fn a_host_that_does_not_resolve_is_not_waited_for() {
    let nowhere = Client::builder().emulator("no-such-host.invalid:1").build().await.expect("a client");
    let error = nowhere.attach(&name()).wait().await.expect_err("no such host");
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unreachable, false), "{error}");
}

#[tokio::test]
async fn a_server_that_is_no_grpc_server_is_not_waited_for() {
    let web = crate::client::frames::raw(|mut socket| async move {
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await?;
        socket.read_to_end(&mut Vec::new()).await.map(drop)
    })
    .await;
    let client = Client::builder().emulator(web.address.to_string()).build().await.expect("a client");
    assert_eq!(client.attach(&name()).wait().await.expect_err("a web server").kind(), ErrorKind::NotGrpc);

    // And where TLS is asked of it.
    let secure = Client::builder().endpoint(format!("https://{}", web.address)).credentials(Credentials::anonymous());
    let client = secure.build().await.expect("a client");
    let error = client.attach(&name()).wait().await.expect_err("no TLS");
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unreachable, false), "{error}");
}

/// Case 55: the operation is gone when the ticket is used.
#[tokio::test(start_paused = true)]
async fn a_ticket_goes_on_by_the_execution_once_the_operation_is_forgotten() {
    let (_, emulator) = slow(Duration::from_secs(100)).await;
    let client = || async { Client::builder().connector(emulator.connector()).build().await.expect("a client") };
    for forgets in [false, true] {
        let text = client().await.run(&job()).start().await.expect("started").ticket().to_string();
        if forgets {
            emulator.fault(Fault::before(Rpc::WaitOperation).answer(Status::new(Code::NotFound, "expired")));
        }
        let ticket: RunTicket = text.parse().expect("a ticket");
        let (mut run, began) = (client().await.resume(&ticket), Instant::now());
        assert_eq!(outcome(&mut run).await, Outcome::Succeeded);
        let limit = if forgets { 110 } else { 100 };
        assert!((100..=limit).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }
}

/// Progress and the end by one series of calls.
#[tokio::test(start_paused = true)]
async fn changes_tell_of_progress_and_of_the_end_at_once() {
    let script = Simulation::new(|attempt| {
        Simulated::exits(0).after(Duration::from_secs(5 * (1 + u64::from(attempt.task_index))))
    });
    let emulator =
        Emulator::builder().no_listener().runtime(Runtime::Simulated(script)).start().await.expect("an emulator");
    let client = Client::builder().connector(emulator.connector()).build().await.expect("a client");
    let run = client.run(&job()).task_count(3).start().await.expect("started");
    let (began, mut changes, mut seen) = (Instant::now(), run.into_changes(), Vec::new());
    while let Some(change) = changes.next().await {
        match change.expect("no trouble") {
            Change::Progress(now) => seen.push((now.succeeded, now.tasks)),
            Change::Finished(finished) => {
                assert_eq!((finished.outcome(), began.elapsed().as_secs()), (&Outcome::Succeeded, 15));
            }
        }
    }
    seen.dedup();
    assert_eq!(seen, [(0, 3), (1, 3), (2, 3), (3, 3)]);
    let calls = [Rpc::WaitOperation, Rpc::GetOperation, Rpc::GetExecution].map(|rpc| emulator.calls(rpc));
    assert!(calls[0] <= 16 && calls[1..] == [0, 0], "{calls:?} for 15 seconds");
}

#[tokio::test(start_paused = true)]
async fn changes_cost_few_requests_in_a_long_run_and_keep_to_the_limit() {
    let (client, emulator) = slow(Duration::from_secs(3_600)).await;
    let mut run = client.run(&job()).task_timeout(Duration::from_secs(7_200)).start().await.expect("started");
    run.set_wait_limit(Some(Duration::from_secs(10)));
    let last = run.changes().collect::<Vec<_>>().await.pop().expect("the limit");
    assert_eq!(last.expect_err("it runs").kind(), ErrorKind::WaitLimit);
    run.set_wait_limit(None);
    let changes = run.changes().collect::<Vec<_>>().await;
    assert!(matches!(changes.last(), Some(Ok(Change::Finished(_)))), "{changes:?}");
    let calls = emulator.calls(Rpc::WaitOperation);
    assert!(calls < 300, "{calls} requests for an hour");
}
