//! What goes wrong on purpose, as it arrives at a bare stub: which proof it carries, and whether the call had its effect.

use std::{error::Error as StdError, time::Duration};

use h2::Reason as Code2;
use hyper_util::rt::TokioIo;
use runjob::{
    emulator::{Clock, Emulator, Fault, Reason, Rpc, Runtime, Simulated, Simulation},
    proto::{
        longrunning::{Operation, WaitOperationRequest},
        run::v2::{RunJobRequest, run_job_request::Overrides},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::{JoinSet, yield_now},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::ServiceExt as _;

use super::{Api, LOCATION, job_name, rest::request, seconds};

const SECOND: Duration = Duration::from_secs(1);

async fn api() -> Api {
    let runtime = Runtime::Simulated(Simulation::new(|_| Simulated::exits(0).after(SECOND * 60)));
    Api::start(Emulator::builder().clock(Clock::Virtual).runtime(runtime)).await
}

async fn run(api: &mut Api) -> Result<Operation, Status> {
    api.run_with("echo", Overrides::default()).await
}

fn start() -> RunJobRequest {
    RunJobRequest { name: job_name("echo"), ..RunJobRequest::default() }
}

/// How a start ends with this fault, and how many executions came of it. The fault acts once, so that a start after it
/// works.
async fn struck(fault: Fault) -> (Result<Operation, Status>, usize) {
    let mut api = api().await;
    api.emulator.fault(fault.times(1));
    let answer = run(&mut api).await;
    let starts = api.emulator.ledger().len();
    run(&mut api).await.expect("it is over");
    assert_eq!(api.emulator.ledger().len(), starts + 1);
    (answer, starts)
}

/// What HTTP/2 says of why a call failed.
fn h2_error(status: &Status) -> Option<&h2::Error> {
    let mut source = status.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

fn busy() -> Status {
    let details = ErrorDetails::with_retry_info(Some(SECOND * 3));
    Status::with_error_details(Code::ResourceExhausted, "too many", details)
}

#[tokio::test]
async fn a_status_before_the_handler_comes_with_its_details_and_nothing_has_started() {
    let (answer, starts) = struck(Fault::before(Rpc::RunJob).answer(busy())).await;
    let status = answer.expect_err("it was refused");
    assert_eq!((status.code(), status.message(), starts), (Code::ResourceExhausted, "too many", 0));
    assert_eq!(status.get_details_retry_info().expect("it has one").retry_delay, Some(SECOND * 3));
}

#[tokio::test]
async fn a_status_after_the_handler_hides_a_start() {
    let (answer, starts) = struck(Fault::after(Rpc::RunJob).answer(busy())).await;
    assert_eq!((answer.expect_err("it was hidden").code(), starts), (Code::ResourceExhausted, 1));
}

#[tokio::test]
async fn a_connection_dropped_before_the_handler_proves_nothing_and_nothing_has_started() {
    let (answer, starts) = struck(Fault::before(Rpc::RunJob).drop_connection()).await;
    let status = answer.expect_err("it broke");
    assert!(!h2_error(&status).is_some_and(|error| error.is_go_away() || error.is_reset()), "{status:?}");
    assert_eq!(starts, 0);
}

#[tokio::test]
async fn a_lost_reply_looks_the_same_and_something_has_started() {
    let (answer, starts) = struck(Fault::after(Rpc::RunJob).lose_reply()).await;
    let status = answer.expect_err("it broke");
    assert!(!h2_error(&status).is_some_and(|error| error.is_go_away() || error.is_reset()), "{status:?}");
    assert_eq!(starts, 1);
}

#[tokio::test]
async fn a_refused_stream_arrives_with_its_reason_and_nothing_has_started() {
    let (answer, starts) = struck(Fault::before(Rpc::RunJob).reset(Reason::RefusedStream)).await;
    let status = answer.expect_err("it was reset");
    let error = h2_error(&status).expect("it says why");
    assert_eq!((error.is_reset(), error.reason(), starts), (true, Some(Code2::REFUSED_STREAM), 0));
}

#[tokio::test]
async fn a_stream_reset_after_the_handler_has_started_something() {
    for (reason, code) in [
        (Reason::NoError, Code2::NO_ERROR),
        (Reason::ProtocolError, Code2::PROTOCOL_ERROR),
        (Reason::InternalError, Code2::INTERNAL_ERROR),
        (Reason::Cancel, Code2::CANCEL),
        (Reason::EnhanceYourCalm, Code2::ENHANCE_YOUR_CALM),
    ] {
        let (answer, starts) = struck(Fault::after(Rpc::RunJob).reset(reason)).await;
        let status = answer.expect_err("it was reset");
        let error = h2_error(&status).expect("it says why");
        assert_eq!((error.is_reset(), error.reason(), starts), (true, Some(code), 1));
    }
}

#[tokio::test]
async fn a_goaway_before_the_handler_does_not_cover_the_call_and_nothing_has_started() {
    for (reason, code) in [(Reason::NoError, Code2::NO_ERROR), (Reason::EnhanceYourCalm, Code2::ENHANCE_YOUR_CALM)] {
        let (answer, starts) = struck(Fault::before(Rpc::RunJob).go_away(reason)).await;
        let status = answer.expect_err("it was not covered");
        let error = h2_error(&status).expect("it says why");
        assert_eq!((error.is_go_away(), error.is_remote(), error.reason(), starts), (true, true, Some(code), 0));
    }
}

/// The calls before it go on where they are.
#[tokio::test]
async fn a_goaway_covers_the_calls_before_it() {
    let mut api = api().await;
    let operation = run(&mut api).await.expect("accepted");
    let request = WaitOperationRequest { name: operation.name, timeout: seconds(60) };
    let mut operations = api.operations.clone();
    let waiting = tokio::spawn(async move { operations.wait_operation(request).await });
    while !api.emulator.journal().iter().any(|call| call.rpc == Rpc::WaitOperation) {
        yield_now().await;
    }
    api.emulator.fault(Fault::before(Rpc::RunJob).go_away(Reason::NoError).times(1));
    let status = run(&mut api).await.expect_err("it was not covered");
    assert!(h2_error(&status).expect("it says why").is_go_away(), "{status:?}");
    api.emulator.clock().advance(SECOND * 60);
    assert!(waiting.await.expect("no panic").expect("it was covered").into_inner().done);
}

/// Whatever else is under way on the connection: who is told that a call had no effect can send it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_a_time_and_no_proof_is_false() {
    const CALLS: usize = 2_000;
    let api = api().await;
    api.emulator.fault(Fault::before(Rpc::RunJob).go_away(Reason::NoError).random(0.02, 1));
    api.emulator.fault(Fault::before(Rpc::RunJob).reset(Reason::RefusedStream).random(0.02, 2));
    let (mut calls, mut accepted, mut proofs) = (JoinSet::new(), 0, 0);
    let mut count = |answer: Result<Result<_, Status>, _>| match answer.expect("no panic") {
        Ok(_) => accepted += 1,
        Err(status) => proofs += usize::from(h2_error(&status).is_some()),
    };
    for _ in 0..CALLS {
        let mut jobs = api.jobs.clone();
        calls.spawn(async move { jobs.run_job(start()).await });
        if calls.len() == 64 {
            calls.join_next().await.into_iter().for_each(&mut count);
        }
    }
    calls.join_all().await.into_iter().map(Ok).for_each(&mut count);
    assert_eq!(api.emulator.ledger().len(), accepted);
    assert!(proofs > CALLS / 100, "only {proofs} calls failed");
}

#[tokio::test]
async fn a_goaway_after_the_handler_lets_the_answer_through() {
    let (answer, starts) = struck(Fault::after(Rpc::RunJob).go_away(Reason::NoError)).await;
    assert!(answer.is_ok());
    assert_eq!(starts, 1);

    let api = api().await;
    api.emulator.fault(Fault::after(Rpc::GetJob).go_away(Reason::NoError));
    let io = api.emulator.connector().oneshot("http://emulator".parse().expect("a URI")).await.expect("open");
    let (mut calls, connection) = h2::client::handshake(TokioIo::into_inner(io)).await.expect("open");
    let connection = tokio::spawn(connection);
    let call = http::Request::get(format!("http://127.0.0.1/v2/{}", job_name("echo"))).body(()).expect("valid");
    let (answer, _) = calls.send_request(call, true).expect("open");
    assert_eq!(answer.await.expect("it is covered").status(), 200);
    // The connection ends by itself, because it may carry no other call.
    connection.await.expect("no panic").expect("nothing was wrong");
}

#[tokio::test]
async fn a_goaway_that_covers_a_call_and_a_lost_reply_leave_it_unknown() {
    let mut api = api().await;
    api.emulator.fault(Fault::after(Rpc::RunJob).go_away(Reason::NoError).times(1));
    api.emulator.fault(Fault::after(Rpc::RunJob).lose_reply().times(1));
    run(&mut api).await.expect_err("it broke");
    assert_eq!(api.emulator.ledger().len(), 1);
}

#[tokio::test]
async fn a_truncated_or_corrupt_reply_is_no_message_and_something_has_started() {
    for fault in [Fault::after(Rpc::RunJob).truncate_reply(), Fault::after(Rpc::RunJob).corrupt_reply()] {
        let (answer, starts) = struck(fault).await;
        assert_eq!((answer.expect_err("it is no message").code(), starts), (Code::Internal, 1));
    }
}

#[tokio::test]
async fn a_delay_passes_on_the_emulators_clock() {
    for (fault, starts) in
        [(Fault::before(Rpc::RunJob).delay(SECOND * 3600), 0), (Fault::after(Rpc::RunJob).delay(SECOND * 3600), 1)]
    {
        let mut api = api().await;
        api.emulator.fault(fault);
        let mut jobs = api.jobs.clone();
        let call = tokio::spawn(async move { jobs.run_job(start()).await });
        while api.emulator.journal().is_empty() {
            yield_now().await;
        }
        api.emulator.clock().advance(SECOND * 3599);
        api.job("echo").await.expect("other calls are not kept waiting");
        assert!(!call.is_finished());
        assert_eq!(api.emulator.ledger().len(), starts);
        api.emulator.clock().advance(SECOND);
        call.await.expect("no panic").expect("it was only late");
        let noted = &api.emulator.journal()[0];
        assert_eq!((noted.code, noted.duration), (Some(Code::Ok), SECOND * 3600));
    }
}

#[tokio::test]
async fn faults_act_in_the_order_in_which_they_were_set_until_one_ends_the_call() {
    let mut api = api().await;
    api.emulator.fault(Fault::before(Rpc::RunJob).answer(Status::unavailable("first")).nth(1));
    api.emulator.fault(Fault::before(Rpc::RunJob).answer(Status::unavailable("second")));
    assert_eq!(run(&mut api).await.expect_err("refused").message(), "first");
    assert_eq!(run(&mut api).await.expect_err("refused").message(), "second");
    api.emulator.clear_faults();
    run(&mut api).await.expect("there are no faults");
}

#[tokio::test]
async fn a_fault_of_a_job_spares_the_others() {
    let mut api = api().await;
    api.emulator.fault(Fault::before(None).answer(Status::unavailable("down")).job("echo"));
    assert_eq!(run(&mut api).await.expect_err("it is down").code(), Code::Unavailable);
    assert_eq!(api.job("echo").await.expect_err("it is down").code(), Code::Unavailable);
    api.run("sleep").await;
    api.emulator.fault(Fault::before(None).answer(Status::aborted("all")));
    assert_eq!(api.job("sleep").await.expect_err("all are").code(), Code::Aborted);
}

#[tokio::test]
async fn rest_calls_are_struck_as_grpc_calls_are() {
    let api = api().await;
    let path = format!("/v2/{}:run", job_name("echo"));
    api.emulator.fault(Fault::before(Rpc::RunJob).answer(busy()).times(1));
    let answer = request(&api.emulator, "POST", &path, &[], "{}").await;
    assert_eq!((answer.status, answer.message().as_str()), (429, "too many"));
    assert_eq!(answer.json()["error"]["details"][0]["retryDelay"], "3s");

    api.emulator.fault(Fault::after(Rpc::RunJob).truncate_reply().times(1));
    let answer = request(&api.emulator, "POST", &path, &[], "{}").await;
    assert_eq!(answer.status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&answer.body).is_err());
    assert_eq!(api.emulator.ledger().len(), 1);

    api.emulator.fault(Fault::after(Rpc::RunJob).lose_reply().times(1));
    let io = api.emulator.connector().oneshot("http://emulator".parse().expect("a URI")).await.expect("open");
    let mut io = TokioIo::into_inner(io);
    let text = format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n");
    io.write_all(text.as_bytes()).await.expect("open");
    let mut answer = Vec::new();
    io.read_to_end(&mut answer).await.expect("it ends");
    assert_eq!((answer.len(), api.emulator.ledger().len()), (0, 2));
}

#[tokio::test]
async fn the_journal_has_every_call_by_grpc_and_by_rest() {
    let mut api = api().await;
    let began = api.emulator.clock().now();
    api.run("echo").await;
    api.emulator.clock().advance(SECOND);
    api.job("none").await.expect_err("there is none");
    assert_eq!(api.get("jobs/echo").await.status, 200);
    api.emulator.fault(Fault::after(Rpc::RunJob).lose_reply());
    run(&mut api).await.expect_err("it was lost");

    let journal = api.emulator.journal();
    let seen: Vec<_> = journal.iter().map(|call| (call.rpc, call.resource.clone(), call.code)).collect();
    let (echo, none) = (job_name("echo"), job_name("none"));
    let expected = [
        (Rpc::RunJob, echo.clone(), Some(Code::Ok)),
        (Rpc::GetJob, none, Some(Code::NotFound)),
        (Rpc::GetJob, echo.clone(), Some(Code::Ok)),
        (Rpc::RunJob, echo, None),
    ];
    assert_eq!(seen, expected);
    assert_eq!(journal[0].routing.as_deref(), Some("location=us-central1"));
    assert_eq!((journal[0].time, journal[1].time), (began, began + SECOND));
    assert!(journal[2].routing.is_some());
    assert!(journal.iter().all(|call| call.resource.starts_with(LOCATION)));
}
