//! Quotas and what is kept (api-facts 1.3, 4.1, 7).

use std::time::Duration;

use runjob::{
    emulator::{Emulator, EmulatorBuilder, Quota, Runtime, Simulated, Simulation},
    proto::run::v2::{CancelExecutionRequest, Execution, ListExecutionsRequest, run_job_request::Overrides},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{Api, job, job_name, metadata};

fn endless() -> EmulatorBuilder {
    let script = Simulation::new(|_| Simulated::exits(0).after(Duration::from_secs(100_000)));
    Emulator::builder().runtime(Runtime::Simulated(script))
}

async fn refused(api: &mut Api) -> Status {
    let status = api.run_with("echo", Overrides::default()).await.expect_err("over the quota");
    assert_eq!(status.code(), Code::ResourceExhausted);
    let quota = status.get_error_details().quota_failure().expect("it has the detail").violations.clone();
    assert!(quota[0].subject.starts_with("project:") && quota[0].description == status.message());
    status
}

/// api-facts 7: 180 a minute.
#[tokio::test(start_paused = true)]
async fn run_requests_over_the_rate_are_refused_until_the_minute_is_over() {
    let mut api = Api::start(endless().quota(Quota::documented())).await;
    for _ in 0..180 {
        api.run("echo").await;
    }
    let status = refused(&mut api).await;
    assert!(status.message().contains("'Job run requests per minute per region'"), "{}", status.message());
    let rest = status.get_error_details().retry_info().and_then(|info| info.retry_delay).expect("it says when");
    assert!(rest <= Duration::from_secs(60), "{rest:?}");
    tokio::time::advance(rest).await;
    api.run("echo").await;
    assert_eq!(api.emulator.ledger().len(), 181);
}

/// api-facts 1.3, last row: the call itself fails, and there is no execution.
#[tokio::test]
async fn a_start_beyond_the_running_executions_is_refused_until_one_ends() {
    let mut api = Api::start(endless().quota(Quota::default().running_executions(2))).await;
    let name = metadata::<Execution>(&api.run("echo").await).name;
    api.run("env").await;
    let status = refused(&mut api).await;
    assert!(status.get_error_details().retry_info().is_none());
    assert_eq!(api.emulator.ledger().len(), 2);
    let cancel = CancelExecutionRequest { name: name.clone(), ..CancelExecutionRequest::default() };
    let operation = api.executions.cancel_execution(cancel).await.expect("it runs").into_inner();
    api.wait(&operation).await;
    api.run("echo").await;
}

/// api-facts 7.
#[tokio::test]
async fn a_job_beyond_the_limit_is_refused() {
    let mut api = Api::start(endless().quota(Quota::default().jobs(6))).await;
    api.create("sixth", job("echo", |_, _| {})).await.expect("there are five samples");
    let status = api.create("seventh", job("echo", |_, _| {})).await.expect_err("over the limit");
    assert_eq!(status.code(), Code::ResourceExhausted);
}

/// api-facts 7: a job keeps a thousand; the oldest is removed.
#[tokio::test]
async fn the_oldest_of_too_many_finished_executions_is_removed() {
    let mut api = Api::simulated(|_, _| Simulated::exits(0)).await;
    let mut names = Vec::new();
    for _ in 0..1001 {
        let operation = api.run("echo").await;
        api.wait(&operation).await;
        names.push(metadata::<Execution>(&operation).name);
    }
    assert_eq!(api.execution(&names[0]).await.expect_err("it was the oldest").code(), Code::NotFound);
    let request = ListExecutionsRequest { parent: job_name("echo"), page_size: 1000, ..Default::default() };
    let page = api.executions.list_executions(request).await.expect("valid").into_inner();
    assert_eq!((page.executions.len(), page.next_page_token.as_str()), (1000, ""));
    assert_eq!(page.executions[999].name, names[1]);
    assert_eq!(api.job("echo").await.expect("a sample").execution_count, 1001);
}
