//! Cases 1 to 26 but 25: starts.

use std::{net::TcpListener, time::Duration};

use prost::Message as _;
use runjob::{
    ErrorKind,
    emulator::{Fault, Reason, Rpc},
    proto::longrunning::Operation,
};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{
    NOT_STARTED, STARTED, UNKNOWN_0, UNKNOWN_1, job, ran_at, rejected, start_at, start_ends, start_with_key_is_adopted,
};
use crate::{
    cli::place::Place,
    client::frames::{self, Peer, Wire},
};

const REASONS: [Reason; 3] = [Reason::NoError, Reason::InternalError, Reason::EnhanceYourCalm];

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
    for fault in [Fault::after(Rpc::RunJob).truncate_reply(), Fault::after(Rpc::RunJob).corrupt_reply()] {
        start_ends(&place, &[fault.clone()], UNKNOWN_1).await;
        start_with_key_is_adopted(&place, &[fault]).await;
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
