//! Operations by name, against the emulator in this process.

use std::collections::HashSet;

use futures_util::TryStreamExt as _;
use runjob::{Client, ErrorKind, OperationName, proto::longrunning::operation::Result};

use super::runs::{here, job, setup};

async fn started(client: &Client, name: &str) -> OperationName {
    client.run(&job(name)).start().await.expect("started").operation().expect("known").clone()
}

#[tokio::test(start_paused = true)]
async fn an_operation_is_read_while_it_runs_and_waited_for_to_its_end() {
    let (client, _emulator) = setup().await;
    let name = started(&client, "fail").await;
    assert_eq!(client.get_operation(&name).await.expect("read").name, name.to_string());
    let done = client.wait_operation(&name).await.expect("waited");
    // The operation has failed; the wait for it has not.
    assert!(done.done && matches!(done.result, Some(Result::Error(_))), "{done:?}");
}

#[tokio::test]
async fn operations_are_listed_over_more_than_one_page() {
    let (client, _emulator) = setup().await;
    let mut names = Vec::new();
    for _ in 0..130 {
        names.push(started(&client, "echo").await.to_string());
    }
    let listed = client.list_operations(&here()).map_ok(|operation| operation.name).try_collect();
    let listed: Vec<_> = listed.await.expect("operations");
    let distinct: HashSet<_> = listed.iter().collect();
    assert_eq!(distinct.len(), listed.len(), "an operation twice");
    assert!(names.iter().all(|name| distinct.contains(name)), "the list is not whole: {listed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_operation_is_forgotten_and_its_execution_is_not() {
    let (client, emulator) = setup().await;
    let run = client.run(&job("sleep")).args(["600"]).start().await.expect("started");
    let name = run.operation().expect("known");
    client.delete_operation(name).await.expect("deleted");
    assert_eq!(client.get_operation(name).await.expect_err("gone").kind(), ErrorKind::NotFound);
    let error = client.delete_operation(name).await.expect_err("gone");
    assert_eq!((error.kind(), error.resource()), (ErrorKind::NotFound, Some(&*name.to_string())));
    assert_eq!(client.wait_operation(name).await.expect_err("gone").kind(), ErrorKind::NotFound);
    assert!(client.execution(run.execution()).await.expect("there").completion_time.is_none());
    assert_eq!(emulator.ledger().len(), 1);
}
