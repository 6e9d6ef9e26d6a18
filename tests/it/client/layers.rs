//! A caller's tower layers around the transport, harmless ones and those that would make a start happen twice.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Request, Response};
use runjob::{
    Answer, Client, ClientBuilder, ErrorKind, Transport,
    emulator::{Emulator, Fault, Reason, Rpc},
    proto::run::v2::{GetJobRequest, jobs_client::JobsClient},
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tonic::{Code, Status, body::Body, codegen::StdError};
use tower::{ServiceExt as _, layer::layer_fn, service_fn, util::MapRequestLayer};

use super::runs::{here, job};

async fn emulator() -> (Emulator, ClientBuilder) {
    let emulator = Emulator::builder().no_listener().start().await.expect("an emulator");
    let client = Client::builder().connector(emulator.connector()).rpc_timeout(Duration::from_secs(5));
    (emulator, client)
}

/// How a start ends whose requests are sent by `send`, and how many there were.
async fn start<F>(fault: Option<Fault>, send: impl Fn(Transport, Request<Body>) -> F + Send + Sync + 'static) -> Ended
where
    F: Future<Output = Result<Response<Answer>, StdError>> + Send + 'static,
{
    let (emulator, client) = emulator().await;
    let send = Arc::new(send);
    let layer = layer_fn(move |transport: Transport| {
        let send = Arc::clone(&send);
        service_fn(move |request| send(transport.clone(), request))
    });
    let client = client.layer(layer).build().await.expect("a client");
    fault.into_iter().for_each(|fault| emulator.fault(fault));
    let end = client.run(&job("echo")).start().await.map(drop).map_err(|error| error.kind());
    (end, emulator.ledger().len())
}

type Ended = (Result<(), ErrorKind>, usize);

async fn pass(transport: Transport, request: Request<Body>) -> Result<Response<Answer>, StdError> {
    transport.oneshot(request).await
}

fn named(
    name: &'static str,
    seen: UnboundedSender<(&'static str, bool)>,
) -> MapRequestLayer<impl Fn(Request<Body>) -> Request<Body> + Clone> {
    MapRequestLayer::new(move |mut request: Request<Body>| {
        let _ = seen.send((name, request.headers().contains_key("x-outer")));
        request.headers_mut().insert("x-outer", HeaderValue::from_static("1"));
        request
    })
}

fn all<T>(mut seen: UnboundedReceiver<T>) -> Vec<T> {
    std::iter::from_fn(|| seen.try_recv().ok()).collect()
}

#[tokio::test(start_paused = true)]
async fn each_attempt_of_verbs_and_stubs_passes_the_layers_from_the_first_to_the_last() {
    let (emulator, client) = emulator().await;
    let (note, seen) = unbounded_channel();
    let client = client.layer(named("outer", note.clone())).layer(named("inner", note));
    let client = client.build().await.expect("a client");
    emulator.fault(Fault::before(Rpc::GetJob).answer(Status::unavailable("later")).times(1));
    assert_eq!(client.job(&job("echo")).await.expect("at the second attempt").name, job("echo").to_string());
    let message = GetJobRequest { name: job("none").to_string() };
    let request = runjob::Routing::location(&here()).request(message);
    let refused = JobsClient::new(client.transport()).get_job(request).await.expect_err("no such job");
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(all(seen), [("outer", false), ("inner", true)].repeat(3));
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_lets_everything_pass_changes_no_verdict() {
    let ended = start(None, pass).await;
    assert_eq!(ended, (Ok(()), 1));
    for (fault, kind, starts) in [
        (Fault::before(Rpc::RunJob).reset(Reason::RefusedStream), ErrorKind::NotStarted, 0),
        (Fault::before(Rpc::RunJob).answer(Status::not_found("gone")), ErrorKind::Rejected, 0),
        (Fault::after(Rpc::RunJob).lose_reply(), ErrorKind::StartUnknown, 1),
        (Fault::after(Rpc::RunJob).reset(Reason::Cancel), ErrorKind::StartUnknown, 1),
        (Fault::before(Rpc::RunJob).delay(Duration::from_secs(9)), ErrorKind::StartUnknown, 0),
    ] {
        let ended = start(Some(fault.clone()), pass).await;
        assert_eq!(ended.0, Err(kind), "{fault:?}");
        assert!(ended.1 <= starts, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_layers_word_is_no_proof_that_nothing_started() {
    let kept = start(None, |_, _| async { Err(Status::not_found("says the layer").into()) }).await;
    assert_eq!(kept, (Err(ErrorKind::StartUnknown), 0));
    let swallowed = |transport, request| async {
        pass(transport, request).await?;
        Err(Status::not_found("says the layer").into())
    };
    assert_eq!(start(None, swallowed).await, (Err(ErrorKind::StartUnknown), 1));
    let renamed = |transport, request| async {
        let _ = pass(transport, request).await;
        Err(Status::permission_denied("says the layer").into())
    };
    let lost = Fault::after(Rpc::RunJob).reset(Reason::Cancel);
    assert_eq!(start(Some(lost), renamed).await, (Err(ErrorKind::StartUnknown), 1));
}

#[tokio::test(start_paused = true)]
async fn no_layer_sends_a_request_a_second_time() {
    let twice = |transport: Transport, request: Request<Body>| async move {
        let (head, body) = request.into_parts();
        let whole = Body::new(http_body_util::Full::new(http_body_util::BodyExt::collect(body).await?.to_bytes()));
        let again = Request::from_parts(head.clone(), Body::empty());
        let first = pass(transport.clone(), Request::from_parts(head, whole)).await;
        let second = pass(transport, again).await.expect_err("refused");
        assert!(second.to_string().contains("sent a request again"), "{second}");
        first
    };
    assert_eq!(start(None, twice).await, (Ok(()), 1));
    let refused = Fault::before(Rpc::RunJob).answer(Status::not_found("gone"));
    assert_eq!(start(Some(refused), twice).await, (Err(ErrorKind::Rejected), 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_a_layer_holds_back_is_not_sent_after_its_end() {
    let (ask, mut told) = unbounded_channel();
    let held = move |transport: Transport, request: Request<Body>| {
        let ask = ask.clone();
        let late = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            let refused = pass(transport, request).await.map(drop).map_err(|cause| cause.to_string());
            let _ = ask.send(refused);
        });
        async move {
            late.await?;
            Err(Status::internal("never told").into())
        }
    };
    assert_eq!(start(None, held).await, (Err(ErrorKind::StartUnknown), 0));
    let refused = told.recv().await.expect("sent at last").expect_err("after its end");
    assert!(refused.contains("until after its end"), "{refused}");
}
