//! The example of a backend, against the emulator in this process.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use runjob::{
    Client,
    emulator::{Emulator, Fault, Rpc},
};
use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Status};

use self::example::{
    Backend, serve,
    wire::{News, Order, ScreenshotsClient, Ticket},
};
use super::runs::{job, setup};

#[allow(dead_code)]
#[path = "../../../examples/backend.rs"]
mod example;

fn order(id: &str, url: &str) -> Request<Order> {
    Request::new(Order { id: id.to_owned(), url: url.to_owned() })
}

async fn another_client(emulator: &Emulator) -> Client {
    Client::builder().connector(emulator.connector()).build().await.expect("a client")
}

/// What is streamed for this ticket, to the end.
async fn news(backend: &Backend, ticket: Ticket) -> Vec<News> {
    let news = backend.follow(Request::new(ticket)).await.expect("a ticket of its own").into_inner();
    news.try_collect().await.expect("news")
}

#[tokio::test(start_paused = true)]
async fn an_order_is_answered_before_its_end_and_one_that_comes_twice_is_started_once() {
    let (client, emulator) = setup().await;
    let backend = Backend::new(client, job("sleep"));
    let first = backend.take(order("order-1", "600")).await.expect("accepted").into_inner();
    let again = backend.take(order("order-1", "600")).await.expect("accepted").into_inner();
    let other = backend.take(order("order-2", "600")).await.expect("accepted").into_inner();
    assert!(first.ticket.split('#').next() == again.ticket.split('#').next() && first.ticket != other.ticket);
    assert_eq!(emulator.ledger().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_start_comes_to_its_end_although_its_caller_hangs_up() {
    let (client, emulator) = setup().await;
    let backend = Backend::new(client, job("echo"));
    emulator.fault(Fault::before(Rpc::RunJob).delay(Duration::from_secs(5)).times(1));
    timeout(Duration::from_secs(1), backend.take(order("order-1", "a"))).await.expect_err("the caller hangs up");
    assert_eq!(emulator.ledger().len(), 0);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(emulator.ledger().len(), 1);
    backend.take(order("order-1", "a")).await.expect("adopted");
    assert_eq!(emulator.ledger().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_backend_goes_on_by_the_ticket_also_where_the_operation_is_forgotten() {
    let (client, emulator) = setup().await;
    let ticket = Backend::new(client.clone(), job("fail")).take(order("order-1", "3")).await.expect("accepted");
    let ticket = ticket.into_inner();
    let restarted = Backend::new(another_client(&emulator).await, job("fail"));
    let told = news(&restarted, ticket.clone()).await;
    let last = told.last().expect("an end");
    assert_eq!((last.phase.as_str(), last.outcome.as_str()), ("failed", "failed"));
    assert!(told[..told.len() - 1].iter().all(|news| news.outcome.is_empty()), "{told:?}");

    let operations: Vec<_> = client.list_operations(job("fail").location()).try_collect().await.expect("operations");
    for operation in operations {
        client.delete_operation(&operation.name.parse().expect("a name")).await.expect("deleted");
    }
    assert_eq!(news(&restarted, ticket).await.last().expect("an end").outcome, "failed");
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_reaches_the_caller_with_its_code_and_a_foreign_ticket_is_refused() {
    let (client, emulator) = setup().await;
    let code = |answer: Result<_, Status>| answer.map(drop).expect_err("not accepted").code();
    let backend = Backend::new(client.clone(), job("nope"));
    assert_eq!(code(backend.take(order("order-1", "a")).await), Code::NotFound);
    let backend = Backend::new(client.clone(), job("echo"));
    assert_eq!(code(backend.take(order("no key", "a")).await), Code::InvalidArgument);
    emulator.fault(Fault::before(Rpc::ListExecutions).answer(Status::unavailable("later")));
    let lost = backend.take(order("order-1", "a")).await;
    assert_eq!(code(lost), Code::Unavailable, "nothing was sent: the search has failed");

    let other = client.run(&job("sleep")).args(["600"]).start().await.expect("started");
    for (ticket, refusal) in
        [(other.ticket().to_string(), Code::PermissionDenied), ("no ticket".to_owned(), Code::InvalidArgument)]
    {
        let answer = backend.follow(Request::new(Ticket { ticket })).await;
        assert_eq!(answer.map(drop).expect_err("refused").code(), refusal);
    }
}

#[tokio::test]
async fn orders_and_news_travel_over_grpc() {
    let (client, _emulator) = setup().await;
    let (channel, serving) = serve(Backend::new(client, job("echo"))).await.expect("a backend");
    let mut caller = ScreenshotsClient::new(channel);
    let ticket = caller.take(order("order-1", "a").into_inner()).await.expect("accepted").into_inner();
    let news: Vec<_> = caller.follow(ticket).await.expect("a stream").into_inner().collect().await;
    assert_eq!(news.last().expect("an end").as_ref().expect("news").outcome, "succeeded");
    serving.abort();
}
