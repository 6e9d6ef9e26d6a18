//! What an answer proves of a start, a row of the table in `docs/reliability.md` at a time: peers that have processed the
//! start, and say whatever they like about it afterwards.
//!
//! `peers.rs` has the rows in which nothing was processed. Run twice, as that.

use std::io;

use runjob::{Error, ErrorKind};
use tonic::Code;

use super::{
    frames::{END_STREAM, NO_ERROR, Peer, REFUSED_STREAM, Wire, http2, prefixed, raw},
    peers::{accepted, ends, start, to, unknown},
};

const HEAD: [(&str, &str); 2] = [(":status", "200"), ("content-type", "application/grpc")];

/// The head of an answer with this behind it.
fn head(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&HEAD[..], more].concat()
}

/// What a start ends in at a peer that reads nothing but the preface before the client has sent all, and says this then.
async fn after_silence(bytes: &'static [u8]) -> Error {
    let peer = raw(move |socket| async move {
        let mut wire = Wire::mute(socket).await?;
        wire.request().await?;
        wire.say(bytes).await?;
        wire.until_closed().await
    })
    .await;
    ends(to(&peer), ErrorKind::StartUnknown).await
}

#[tokio::test]
async fn a_peer_whose_first_frame_is_a_ping_speaks_http2() {
    let peer = raw(|socket| async move {
        let mut wire = Wire::mute(socket).await?;
        wire.request().await?;
        wire.ping().await?;
        wire.until_closed().await
    })
    .await;
    ends(to(&peer), ErrorKind::StartUnknown).await;
}

#[tokio::test]
async fn bytes_that_are_no_http2_prove_nothing_once_the_message_has_left() {
    assert!(after_silence(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.to_string().contains("HTTP/1"));
    assert!(after_silence(&[21, 3, 3, 0, 2, 2, 10]).await.to_string().contains("https://"));
    after_silence(b"220 mail.example.com ready").await;
    after_silence(&[]).await;
}

#[tokio::test]
async fn a_refusal_behind_a_message_proves_nothing() {
    for message in [prefixed(0, accepted().len(), &accepted()), vec![0]] {
        let peer = http2(move |mut wire| {
            let message = message.clone();
            async move {
                let stream = wire.request().await?;
                wire.accept(stream, &[]).await?;
                wire.body(stream, &message).await?;
                wire.trailers(stream, "5").await?;
                wire.until_closed().await
            }
        })
        .await;
        unknown(&peer).await;
    }
}

#[tokio::test]
async fn a_refusal_in_trailers_that_are_malformed_or_not_right_behind_the_head_proves_nothing() {
    for status in ["200", "503"] {
        let peer = http2(move |mut wire| async move {
            let stream = wire.request().await?;
            wire.accept(stream, &[]).await?;
            wire.headers(stream, END_STREAM, &[(":status", status), ("grpc-status", "5")]).await?;
            wire.until_closed().await
        });
        unknown(&peer.await).await;
    }
    let peer = http2(|mut wire| async move {
        let stream = wire.request().await?;
        wire.accept(stream, &[]).await?;
        wire.body(stream, &[]).await?;
        wire.trailers(stream, "5").await?;
        wire.until_closed().await
    });
    unknown(&peer.await).await;
}

#[tokio::test]
async fn a_status_in_a_head_that_does_not_end_the_answer_proves_nothing() {
    let refuses = |mut wire: Wire, then: &'static [u8]| async move {
        let stream = wire.request().await?;
        wire.headers(stream, 0, &head(&[("grpc-status", "5")])).await?;
        wire.body(stream, then).await?;
        wire.trailers(stream, "5").await?;
        wire.until_closed().await
    };
    unknown(&http2(move |wire| refuses(wire, b"")).await).await;
    unknown(&http2(move |wire| refuses(wire, b"\0\0\0\0\x01a")).await).await;
}

#[tokio::test]
async fn a_refusal_after_an_interim_head_proves_nothing() {
    let peer = http2(|mut wire| async move {
        let stream = wire.request().await?;
        wire.headers(stream, 0, &[(":status", "103")]).await?;
        wire.refuse(stream, "5").await?;
        wire.until_closed().await
    });
    unknown(&peer.await).await;
    let peer = http2(|mut wire| async move {
        let stream = wire.request().await?;
        wire.headers(stream, 0, &[(":status", "103")]).await?;
        wire.reset(stream, REFUSED_STREAM).await?;
        wire.until_closed().await
    });
    unknown(&peer.await).await;
}

#[tokio::test]
async fn a_goodbye_that_takes_back_an_earlier_one_proves_nothing() {
    let peer = http2(|mut wire| async move {
        let stream = wire.request().await?;
        wire.goaway(0, NO_ERROR).await?;
        wire.goaway(stream, NO_ERROR).await?;
        wire.until_closed().await
    })
    .await;
    let client = to(&peer).build().await.expect("a client");
    let error = start(&client).await.expect_err("nothing is answered");
    // h2 may have ended the stream at the first of them already, which then stood alone.
    assert!(matches!(error.kind(), ErrorKind::StartUnknown | ErrorKind::NotStarted), "{error}");
}

/// A peer that answers to a start with this head and nothing else.
async fn refusing(head: Vec<(&'static str, &'static str)>) -> Peer {
    http2(move |mut wire| {
        let head = head.clone();
        async move {
            let stream = wire.request().await?;
            wire.headers(stream, END_STREAM, &head).await?;
            wire.until_closed().await
        }
    })
    .await
}

#[tokio::test]
async fn a_status_that_is_not_exactly_one_code_proves_nothing() {
    unknown(&refusing(head(&[("grpc-status", "5"), ("grpc-status", "5")])).await).await;
    unknown(&refusing(head(&[("grpc-status", "05")])).await).await;
    unknown(&refusing(head(&[("grpc-status", "99")])).await).await;
    unknown(&refusing(head(&[])).await).await;
    unknown(&refusing(vec![(":status", "200"), ("grpc-status", "5")]).await).await;
    unknown(&refusing(vec![(":status", "404"), ("content-type", "application/grpc"), ("grpc-status", "5")]).await)
        .await;
}

#[tokio::test]
async fn details_that_cannot_be_read_are_dropped_and_the_code_counts() {
    let details = ("grpc-status-details-bin", "!!!");
    let error = ends(to(&refusing(head(&[("grpc-status", "5"), details])).await), ErrorKind::Rejected).await;
    assert_eq!(error.code(), Some(Code::NotFound));

    let peer = http2(move |mut wire| async move {
        let stream = wire.request().await?;
        wire.accept(stream, &[("x-odd-bin", "###"), details]).await?;
        wire.body(stream, &prefixed(0, accepted().len(), &accepted())).await?;
        wire.headers(stream, END_STREAM, &[("grpc-status", "0"), details]).await?;
        wire.until_closed().await
    })
    .await;
    let client = to(&peer).build().await.expect("a client");
    assert_eq!(start(&client).await.expect("started").execution().id(), "echo-abcde");
}

#[tokio::test]
async fn stubs_survive_details_that_cannot_be_read() {
    use runjob::proto::run::v2::{GetJobRequest, jobs_client::JobsClient};
    let peer = refusing(head(&[("grpc-status", "7"), ("grpc-status-details-bin", "!!!")])).await;
    let client = to(&peer).build().await.expect("a client");
    let answer = JobsClient::new(client.transport()).get_job(GetJobRequest::default()).await;
    assert_eq!(answer.expect_err("refused").code(), Code::PermissionDenied);
}

#[tokio::test]
async fn an_answer_before_the_request_has_left_is_no_start() {
    let peer = http2(|mut wire| async move {
        wire.settings(&[(super::frames::INITIAL_WINDOW_SIZE, 0)]).await?;
        let stream = wire.head().await?;
        wire.reply(stream, &accepted()).await?;
        wire.until_closed().await
    })
    .await;
    let client = to(&peer).build().await.expect("a client");
    let error = start(&client).await.expect_err("it cannot have been read");
    assert_eq!(error.kind(), ErrorKind::NotStarted, "{error}");
}

#[tokio::test]
async fn a_refusal_before_the_request_has_left_is_a_refusal() -> io::Result<()> {
    let peer = http2(|mut wire| async move {
        wire.settings(&[(super::frames::INITIAL_WINDOW_SIZE, 0)]).await?;
        let stream = wire.head().await?;
        wire.refuse(stream, "16").await?;
        wire.reset(stream, NO_ERROR).await?;
        wire.until_closed().await
    })
    .await;
    assert_eq!(ends(to(&peer), ErrorKind::Rejected).await.code(), Some(Code::Unauthenticated));
    Ok(())
}
