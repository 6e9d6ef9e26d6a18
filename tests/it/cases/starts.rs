//! Cases 1 to 26 but 25: starts.

use std::{
    future::pending,
    io,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper_util::rt::TokioIo;
use prost::Message as _;
use runjob::{
    Client, Credentials, ErrorKind,
    emulator::{Emulator, Fault, Reason, Rpc, Runtime, Simulation},
    proto::longrunning::Operation,
};
use tokio::{
    io::{DuplexStream, copy_bidirectional},
    net::{TcpSocket, TcpStream},
    task::yield_now,
    time::Instant,
};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{
    NOT_STARTED, STARTED, UNKNOWN_0, UNKNOWN_1, job, metadata::Metadata, ran_at, rejected, start_at, start_ends,
    start_with_key_is_adopted,
};
use crate::{
    cli::place::Place,
    client::frames::{self, Peer, Wire},
    program::Running,
};

const REASONS: [Reason; 3] = [Reason::NoError, Reason::InternalError, Reason::EnhanceYourCalm];

/// An emulator without a socket, and a client of it, for made-up time.
async fn in_process() -> (Client, Emulator) {
    let runtime = Runtime::Simulated(Simulation::default());
    let emulator = Emulator::builder().no_listener().runtime(runtime).start().await.expect("an emulator");
    let client = Client::builder().connector(emulator.connector()).build().await.expect("a client");
    (client, emulator)
}

fn sends(emulator: &Emulator) -> usize {
    emulator.journal().iter().filter(|call| call.rpc == Rpc::RunJob).count()
}

/// Case 1, for the program; `client::runs` has it for the library, on a connector that counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_up_is_waited_for() {
    let place = Place::new().await;
    let socket = TcpSocket::new_v4().expect("a socket");
    // Bound and not listening: whoever connects is refused.
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let address = socket.local_addr().expect("an address");
    let mut command = place.command("execute echo");
    command.env("RUN_EMULATOR_HOST", address.to_string());
    let mut running = Running::start(command);
    running.line_of_stderr("calling the emulator");
    let listener = socket.listen(8).expect("a listener");
    let to = place.address();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(&to).await.expect("it listens");
            tokio::spawn(async move { copy_bidirectional(&mut near, &mut far).await });
        }
    });
    let ran = running.end();
    assert_eq!((ran.status, place.starts()), (0, 1), "{ran:#?}");
}

/// Case 5. A handshake that stalls is in `client::peers`: the program's own limits are 10 s for each connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_plaintext_port_spoken_to_in_tls_has_started_nothing_and_is_not_spoken_to_in_plaintext() {
    let place = Place::new().await;
    let address = format!("https://{}", place.address());
    let anonymous = Client::builder().endpoint(&address).credentials(Credentials::anonymous());
    let error = anonymous.build().await.expect("a client").run(&job()).start().await.expect_err("no TLS");
    assert_eq!(error.kind(), ErrorKind::NotStarted, "{error}");
    let metadata = Metadata::start().await;
    let ran = metadata.ran(&format!("execute {} --endpoint={address}", job()), &[]);
    assert_eq!((ran.status, place.starts()), (3, 0), "{ran:#?}");
}

/// Case 6: ten seconds a connection, and the RPC timeout for all of them.
#[tokio::test(start_paused = true)]
async fn connections_that_never_come_about_end_within_the_deadline() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&attempts);
    let nowhere = tower::service_fn(move |_| {
        count.fetch_add(1, Relaxed);
        pending::<Result<TokioIo<DuplexStream>, io::Error>>()
    });
    for limit in [1, 25, 60, 300].map(Duration::from_secs) {
        attempts.store(0, Relaxed);
        let client = Client::builder().connector(nowhere.clone()).rpc_timeout(limit).build().await.expect("a client");
        let began = Instant::now();
        let error = client.run(&job()).start().await.expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::NotStarted, "{error}");
        let (took, attempts) = (began.elapsed(), attempts.load(Relaxed));
        assert!(took <= limit && attempts <= 6, "{took:?} of {limit:?}, {attempts} connections");
    }
}

/// Case 7. What has left is not sent again, also where the peer closed before it read; which of the two it was is a race.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_closes_its_first_connections_gets_the_start_once_or_not_at_all() {
    let place = Place::new().await;
    for by_library in [true, false] {
        place.emulator.reset();
        let to = place.address();
        let accepted = Arc::new(AtomicUsize::new(0));
        let peer = frames::raw(move |mut near| {
            let (to, closes) = (to.clone(), accepted.fetch_add(1, Relaxed) < 3);
            async move {
                if !closes {
                    let mut far = TcpStream::connect(&to).await?;
                    copy_bidirectional(&mut near, &mut far).await?;
                }
                Ok(())
            }
        })
        .await;
        let status = if by_library {
            match start_at(peer.address).await {
                Ok(_) => 0,
                Err(error) if error.kind() == ErrorKind::StartUnknown => 4,
                Err(error) => panic!("{error}"),
            }
        } else {
            ran_at(peer.address, "execute echo").status
        };
        assert!(matches!((status, place.starts()), (0, 1) | (4, 0)), "{status}, {} starts", place.starts());
    }
}

/// Case 18. The first token is one that the service does not accept.
#[tokio::test(flavor = "multi_thread")]
async fn a_stale_token_is_renewed_once_and_the_start_sent_again() {
    let emulator = Emulator::builder().runtime(Runtime::Simulated(Simulation::default()));
    let place = Place::of(
        emulator.caller("canary-2", "user:ada@example.com").grant("user:ada@example.com", "roles/run.developer"),
    );
    let (place, metadata) = (place.await, Metadata::start().await);
    let line = format!("execute {} --endpoint=http://{}", job(), place.address());
    let ran = metadata.ran(&line, &[]);
    assert_eq!((ran.status, place.starts(), sends(&place.emulator)), (0, 1, 2), "{ran:#?}");
    assert!(!ran.stderr.contains("canary") && !ran.stdout.contains("canary"), "{ran:#?}");

    // From here on every token is another one, and none of them is known.
    let ran = metadata.ran(&line, &[]);
    assert_eq!((ran.status, place.starts(), sends(&place.emulator)), (6, 1, 4), "{ran:#?}");
}

/// Case 21, for the library; the program's deadline is a minute.
#[tokio::test(start_paused = true)]
async fn a_deadline_in_flight_leaves_the_start_unknown() {
    for (fault, starts) in [
        (Fault::before(Rpc::RunJob).delay(Duration::from_secs(3600)), 0),
        (Fault::after(Rpc::RunJob).delay(Duration::from_secs(3600)), 1),
    ] {
        let (client, emulator) = in_process().await;
        emulator.fault(fault);
        let began = Instant::now();
        let error = client.run(&job()).start().await.expect_err("late");
        assert_eq!((error.kind(), began.elapsed().as_secs()), (ErrorKind::StartUnknown, 60), "{error}");
        assert_eq!((emulator.ledger().len(), sends(&emulator)), (starts, 1));
    }
}

/// Case 22, for the library; `cli::recover` interrupts and kills the program.
#[tokio::test(start_paused = true)]
async fn a_start_that_its_caller_drops_is_not_sent_again() {
    for (fault, starts) in [
        (Fault::before(Rpc::RunJob).delay(Duration::from_secs(3600)), 0),
        (Fault::after(Rpc::RunJob).delay(Duration::from_secs(3600)), 1),
    ] {
        let (client, emulator) = in_process().await;
        emulator.fault(fault);
        let start = client.run(&job()).start();
        let in_flight = async {
            while sends(&emulator) == 0 || emulator.ledger().len() < starts {
                yield_now().await;
            }
        };
        tokio::select! {
            started = start => panic!("{started:?}"),
            () = in_flight => {}
        }
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!((emulator.ledger().len(), sends(&emulator)), (starts, 1));
    }
}

/// Case 24. Case 23, where nothing is listed because nothing has started yet, is in `client::keys`.
#[tokio::test(start_paused = true)]
async fn an_execution_that_is_listed_late_is_adopted_while_it_is_looked_for() {
    for (lag, is_seen) in [(10, true), (25, true), (60, false)] {
        let (client, emulator) = in_process().await;
        emulator.fault(Fault::after(Rpc::RunJob).lose_reply());
        emulator.fault(Fault::before(Rpc::ListExecutions).lag(Duration::from_secs(lag)));
        let key = "order-1".parse().expect("a key");
        let began = Instant::now();
        let started = client.run(&job()).start_key(key).start().await;
        assert_eq!((emulator.ledger().len(), sends(&emulator)), (1, 1));
        let took = began.elapsed().as_secs();
        match started {
            Ok(run) => assert!(is_seen && run.was_adopted() && (lag..=lag + 5).contains(&took), "{lag} s: {took} s"),
            Err(error) => assert!(!is_seen && error.kind() == ErrorKind::StartUnknown && took == 30, "{error}"),
        }
    }
}

/// Case 24, for the program.
#[tokio::test(flavor = "multi_thread")]
async fn an_execution_that_is_listed_late_is_adopted_by_the_program() {
    let place = Place::new().await;
    let lag = Fault::before(Rpc::ListExecutions).lag(Duration::from_secs(1));
    start_with_key_is_adopted(&place, &[lag, Fault::after(Rpc::RunJob).lose_reply()]).await;
}

/// Cases 2 and 3.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_to_connect_to_has_started_nothing() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    for address in [closed.to_string(), "nothing.invalid:1".to_owned()] {
        let error = start_at(&address).await.expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::NotStarted, "{error}");
        let ran = ran_at(&address, "execute echo");
        assert_eq!(ran.status, 3, "{ran:#?}");
    }
}

/// Case 8.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_stream_is_sent_again_and_given_up_in_the_end() {
    let place = Place::new().await;
    let refused = Fault::before(Rpc::RunJob).reset(Reason::RefusedStream);
    start_ends(&place, &[refused.clone().times(1)], STARTED).await;
    start_ends(&place, &[refused], NOT_STARTED).await;
}

/// Case 9.
#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_that_excludes_the_start_sends_it_again_on_another_connection() {
    let place = Place::new().await;
    for reason in REASONS {
        start_ends(&place, &[Fault::before(Rpc::RunJob).go_away(reason).times(1)], STARTED).await;
    }
}

/// Case 10.
#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_that_covers_the_start_lets_its_answer_through() {
    let place = Place::new().await;
    for reason in REASONS {
        start_ends(&place, &[Fault::after(Rpc::RunJob).go_away(reason)], STARTED).await;
    }
}

/// Case 11.
#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_that_covers_the_start_and_a_cut_leave_it_unknown_without_a_key() {
    let place = Place::new().await;
    for reason in REASONS {
        let goodbye = Fault::after(Rpc::RunJob).go_away(reason);
        let faults = [goodbye, Fault::after(Rpc::RunJob).lose_reply()];
        start_ends(&place, &faults, UNKNOWN_1).await;
        start_with_key_is_adopted(&place, &faults).await;
    }
}

/// Case 12.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_reset_after_the_start_leaves_it_unknown_without_a_key() {
    let place = Place::new().await;
    for reason in [Reason::InternalError, Reason::Cancel, Reason::EnhanceYourCalm, Reason::NoError] {
        let faults = [Fault::after(Rpc::RunJob).reset(reason)];
        start_ends(&place, &faults, UNKNOWN_1).await;
        start_with_key_is_adopted(&place, &faults).await;
    }
}

/// Case 13.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_leaves_the_start_unknown_without_a_key() {
    let place = Place::new().await;
    let faults = [Fault::after(Rpc::RunJob).lose_reply()];
    start_ends(&place, &faults, UNKNOWN_1).await;
    start_with_key_is_adopted(&place, &faults).await;
    start_ends(&place, &[Fault::before(Rpc::RunJob).drop_connection()], UNKNOWN_0).await;
}

/// Cases 14 and 15: the same words before the start and after it, and so the same answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_the_service_leaves_the_start_unknown_whether_it_comes_before_or_after_it() {
    let place = Place::new().await;
    for status in [
        Status::unavailable("overloaded"),
        Status::internal("oh"),
        Status::unknown("who knows"),
        Status::deadline_exceeded("late"),
    ] {
        start_ends(&place, &[Fault::before(Rpc::RunJob).answer(status.clone())], UNKNOWN_0).await;
        let after = [Fault::after(Rpc::RunJob).answer(status)];
        start_ends(&place, &after, UNKNOWN_1).await;
        start_with_key_is_adopted(&place, &after).await;
    }
}

/// Case 17. When to come back is told; coming back is the caller's decision, or `Client::start_all`'s for the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_quota_leaves_the_start_unknown_and_says_when_to_come_back() {
    let place = Place::new().await;
    let later = ErrorDetails::with_retry_info(Some(Duration::from_secs(7)));
    let status = Status::with_error_details(tonic::Code::ResourceExhausted, "Quota exceeded.", later);
    let faults = [Fault::before(Rpc::RunJob).answer(status)];
    start_ends(&place, &faults, UNKNOWN_0).await;
    let error = place.client().await.run(&job()).start().await.expect_err("exhausted");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
}

/// Cases 19 and 20. A missing permission is 6: README.md has one status for it, whatever the command.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_has_started_nothing_and_is_not_repeated() {
    let place = Place::new().await;
    for (status, exit) in [
        (Status::permission_denied("Permission 'run.jobs.run' denied"), 6),
        (Status::not_found("no such job"), 7),
        (Status::invalid_argument("args: too many"), 2),
        (Status::aborted("the etag does not match"), 7),
        (Status::failed_precondition("not ready"), 7),
    ] {
        start_ends(&place, &[Fault::before(Rpc::RunJob).answer(status)], rejected(exit)).await;
        let sends = place.emulator.journal().iter().filter(|call| call.rpc == Rpc::RunJob).count();
        assert_eq!(sends, 1);
    }
}

/// Case 26.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_understood_leaves_the_start_unknown() {
    let place = Place::new().await;
    for faults in [[Fault::after(Rpc::RunJob).truncate_reply()], [Fault::after(Rpc::RunJob).corrupt_reply()]] {
        start_ends(&place, &faults, UNKNOWN_1).await;
        start_with_key_is_adopted(&place, &faults).await;
    }
    let of_another_type =
        prost_types::Any { type_url: "type.googleapis.com/google.cloud.run.v2.Job".into(), value: vec![] };
    let operation = Operation {
        name: format!("{}/operations/1", job().location()),
        metadata: Some(of_another_type),
        ..Operation::default()
    };
    let nameless = Operation { name: String::new(), ..operation.clone() };
    for answer in [operation, nameless] {
        let peer = peer(move |mut wire, stream| {
            let answer = answer.encode_to_vec();
            async move { wire.reply(stream, &answer).await.map(|()| wire) }
        })
        .await;
        unknown_at(&peer).await;
    }
}

/// Case 16.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_front_end_leaves_the_start_unknown_and_is_shown_without_its_escapes() {
    for status in ["429", "502", "503"] {
        let peer = peer(move |mut wire, stream| async move {
            wire.page(stream, status, b"<html>\x1b[2Jtry later\x1b]0;own\x07</html>").await.map(|()| wire)
        })
        .await;
        let shown = unknown_at(&peer).await;
        assert!(shown.contains(&format!("HTTP status {status}")) && shown.contains("[2Jtry later"), "{shown}");
        assert!(!shown.contains(['\x1b', '\x07']), "{shown}");
    }
}

/// A peer that answers each request so.
async fn peer<F, Fut>(answer: F) -> Peer
where
    F: Fn(Wire, u32) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = std::io::Result<Wire>> + Send + 'static,
{
    frames::http2(move |mut wire| {
        let answer = answer.clone();
        async move {
            let stream = wire.request().await?;
            answer(wire, stream).await?.until_closed().await
        }
    })
    .await
}

/// Both the library and the program leave a start at this peer unknown, and have sent it once. What the program says.
async fn unknown_at(peer: &Peer) -> String {
    let error = start_at(peer.address).await.expect_err("no answer to be understood");
    assert_eq!((error.kind(), peer.requests()), (ErrorKind::StartUnknown, 1), "{error}");
    let ran = ran_at(peer.address, "execute echo");
    assert_eq!((ran.status, peer.requests()), (4, 2), "{ran:#?}");
    ran.stderr
}
