//! Operations: get, wait, list, delete (api-facts 5).

use std::time::Duration;

use runjob::{
    emulator::Simulated,
    proto::{
        longrunning::{
            CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest,
            WaitOperationRequest,
        },
        run::v2::{CancelExecutionRequest, Execution},
    },
};
use tokio::time::Instant;
use tonic::Code;

use super::{Api, LOCATION, metadata, seconds};

async fn endless() -> Api {
    Api::simulated(|_, _| Simulated::exits(0).after(Duration::from_secs(100_000))).await
}

/// api-facts 5: a wait that runs out is no error.
#[tokio::test(start_paused = true)]
async fn a_wait_that_runs_out_returns_the_operation_as_it_is() {
    let mut api = endless().await;
    let operation = api.run("echo").await;
    let before = Instant::now();
    let request = WaitOperationRequest { name: operation.name.clone(), timeout: seconds(20) };
    let now = api.operations.wait_operation(request).await.expect("no error").into_inner();
    assert_eq!((now.done, now.name, before.elapsed().as_secs()), (false, operation.name, 20));
}

/// DESIGN 1.2: the end is learned at once.
#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_execution() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0).after(Duration::from_secs(7))).await;
    let before = Instant::now();
    let operation = api.run("echo").await;
    api.wait(&operation).await;
    // Timers of tokio count in whole milliseconds.
    assert!(before.elapsed() < Duration::from_millis(7_010), "{:?}", before.elapsed());
}

/// api-facts 5: deleting takes away the interest, not the work.
#[tokio::test]
async fn a_deleted_operation_is_gone_and_its_execution_goes_on() {
    let mut api = endless().await;
    let operation = api.run("echo").await;
    let request = DeleteOperationRequest { name: operation.name.clone() };
    api.operations.delete_operation(request).await.expect("it is there");
    let request = GetOperationRequest { name: operation.name.clone() };
    assert_eq!(api.operations.get_operation(request).await.expect_err("it is gone").code(), Code::NotFound);
    let execution = api.execution(&metadata::<Execution>(&operation).name).await.expect("it goes on");
    assert!(execution.reconciling);
}

/// api-facts 5: not published.
#[tokio::test]
async fn cancelling_an_operation_is_not_implemented() {
    let mut api = endless().await;
    let name = api.run("echo").await.name;
    let status = api.operations.cancel_operation(CancelOperationRequest { name }).await.expect_err("unpublished");
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(status.message(), "Operation is not implemented, or supported, or enabled.");
}

#[tokio::test]
async fn operations_are_listed_newest_first() {
    let mut api = endless().await;
    let first = api.run("echo").await.name;
    let second = api.run("env").await.name;
    let request = ListOperationsRequest { name: LOCATION.to_owned(), page_size: 2, ..ListOperationsRequest::default() };
    let page = api.operations.list_operations(request).await.expect("valid").into_inner();
    let names: Vec<_> = page.operations.into_iter().map(|operation| operation.name).collect();
    assert_eq!(names, [second, first]);
    // The operations that created the sample jobs follow.
    assert!(!page.next_page_token.is_empty());
}

/// Ten thousand callers wait for one execution, and all are woken by its end.
#[tokio::test]
async fn every_waiter_is_woken() {
    const WAITERS: usize = 10_000;
    let mut api = endless().await;
    let operation = api.run("echo").await;
    let mut waits = tokio::task::JoinSet::new();
    // A connection carries 256 calls at a time; each of these takes its share.
    for _ in 0..WAITERS.div_ceil(250) {
        let channel = super::channel(&api.emulator).await;
        for _ in 0..250 {
            let mut client = runjob::proto::longrunning::operations_client::OperationsClient::with_interceptor(
                channel.clone(),
                super::Routed,
            );
            let request = WaitOperationRequest { name: operation.name.clone(), timeout: seconds(120) };
            waits.spawn(async move { client.wait_operation(request).await.expect("woken").into_inner().done });
        }
    }
    let name = metadata::<Execution>(&operation).name;
    let request = CancelExecutionRequest { name, ..CancelExecutionRequest::default() };
    api.executions.cancel_execution(request).await.expect("it runs");
    let woken = waits.join_all().await.into_iter().filter(|done| *done).count();
    assert_eq!(woken, WAITERS);
}
