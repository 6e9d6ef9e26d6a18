//! The host of tasks is maintained: told and moved without a GPU, ended with one (api-facts 7, 10.2).

use std::{collections::BTreeMap, time::Duration};

use runjob::{
    emulator::{Clock, Emulator, EmulatorBuilder, Fault, Rpc, Runtime, Simulated, Simulation},
    proto::run::v2::{
        CancelExecutionRequest, Execution, Job, NodeSelector, ResourceRequirements, run_job_request::Overrides,
    },
};
use tonic::Code;

use super::{Api, error, job, metadata, processes::next_line, response, rest::request, retries, scripted_in, seconds};

const SECOND: Duration = Duration::from_secs(1);

/// A minute for each task.
async fn simulated() -> Api {
    let minute = Simulation::new(|_| Simulated::exits(0).after(SECOND * 60));
    Api::start(virtually().runtime(Runtime::Simulated(minute))).await
}

fn virtually() -> EmulatorBuilder {
    Emulator::builder().clock(Clock::Virtual)
}

/// An execution whose next look, this one, finds the host maintained.
async fn maintain(api: &mut Api, execution: &str) {
    api.emulator.fault(Fault::before(Rpc::GetExecution).maintenance().times(1));
    api.execution(execution).await.expect("it is there");
}

/// The second after its start at which an execution ends.
async fn end(api: &mut Api, execution: &str) -> i64 {
    let ended = api.execution(execution).await.expect("it is there");
    let second = |time: Option<prost_types::Timestamp>| time.map_or(0, |time| time.seconds);
    second(ended.completion_time) - second(ended.start_time)
}

fn with_gpu(max_retries: i32) -> Job {
    job("echo", |_, task| {
        task.retries = retries(max_retries);
        let limits = [("cpu", "4"), ("memory", "16Gi"), ("nvidia.com/gpu", "1")];
        let limits: BTreeMap<_, _> = limits.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        task.containers[0].resources = Some(ResourceRequirements { limits, ..ResourceRequirements::default() });
        task.node_selector = Some(NodeSelector { accelerator: "nvidia-l4".to_owned() });
        task.gpu_zonal_redundancy_disabled = Some(true);
    })
}

#[tokio::test]
async fn a_simulated_task_stands_still_for_ten_seconds_and_that_of_another_job_does_not() {
    let mut api = simulated().await;
    let [moved, spared] = [api.run("echo").await, api.run("sleep").await].map(|it| metadata::<Execution>(&it).name);
    api.emulator.clock().advance(SECOND * 30);
    maintain(&mut api, &moved).await;
    api.emulator.clock().advance(SECOND * 60);
    assert_eq!((end(&mut api, &moved).await, end(&mut api, &spared).await), (70, 60));
}

#[tokio::test]
async fn a_call_about_no_job_finds_the_hosts_of_all_of_them_maintained() {
    let mut api = simulated().await;
    let operation = api.run("echo").await;
    let other = metadata::<Execution>(&api.run("sleep").await).name;
    api.emulator.fault(Fault::before(Rpc::GetOperation).maintenance().nth(1));
    api.operation(&operation.name).await;
    api.emulator.clock().advance(SECOND * 80);
    assert_eq!(end(&mut api, &other).await, 70);
}

#[tokio::test]
async fn the_timeout_of_a_task_goes_on_while_it_stands_still() {
    let mut api = simulated().await;
    let overrides = Overrides { timeout: seconds(65), ..Overrides::default() };
    api.create("once", job("echo", |_, task| task.retries = retries(0))).await.expect("valid");
    let operation = api.run_with("once", overrides).await.expect("accepted");
    maintain(&mut api, &metadata::<Execution>(&operation).name).await;
    api.emulator.clock().advance(SECOND * 80);
    assert_eq!(error(&api.operation(&operation.name).await).0, Code::DeadlineExceeded as i32);
}

#[tokio::test]
async fn a_task_with_a_gpu_is_ended_and_tried_again_if_it_has_retries() {
    let mut api = simulated().await;
    for (max_retries, succeeded, retried, ended) in [(1, 1, 1, 90), (0, 0, 0, 30)] {
        let id = format!("gpu-{max_retries}");
        api.create(&id, with_gpu(max_retries)).await.expect("valid");
        let name = metadata::<Execution>(&api.run(&id).await).name;
        api.emulator.clock().advance(SECOND * 30);
        maintain(&mut api, &name).await;
        api.emulator.clock().advance(SECOND * 90);
        let execution = api.execution(&name).await.expect("there");
        assert_eq!((execution.succeeded_count, execution.retried_count), (succeeded, retried));
        assert_eq!(end(&mut api, &name).await, ended);
    }
    let failed = &api.tasks("projects/demo/locations/us-central1/jobs/gpu-0/executions/-").await[0];
    assert_eq!(failed.last_attempt_result.as_ref().expect("one").term_signal, 15);
}

/// The process is told ten seconds before and right after it has moved.
#[tokio::test]
async fn a_process_gets_sigtstp_and_ten_seconds_later_sigcont() {
    let handler =
        "trap 'echo told' TSTP; trap 'echo moved; exit 0' CONT; echo ready; while :; do sleep 1000 & wait; done";
    let mut api = scripted_in(virtually(), handler).await;
    let mut output = api.emulator.output();
    let operation = api.run("script").await;
    assert_eq!(next_line(&mut output).await.line, "ready");
    maintain(&mut api, &metadata::<Execution>(&operation).name).await;
    assert_eq!(next_line(&mut output).await.line, "told");
    api.emulator.clock().advance(SECOND * 10);
    assert_eq!(next_line(&mut output).await.line, "moved");
    assert_eq!(response::<Execution>(&api.wait(&operation).await).succeeded_count, 1);
}

#[cfg(target_os = "linux")]
async fn stands_still(process: &str) {
    let state = || std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it is there");
    while !state().contains(") T ") {
        tokio::task::yield_now().await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_that_does_not_care_stands_still_and_can_be_cancelled_meanwhile() {
    let mut api = scripted_in(virtually(), "echo $$; exec sleep 1000").await;
    let mut output = api.emulator.output();
    let operation = api.run("script").await;
    let name = metadata::<Execution>(&operation).name;
    let process = next_line(&mut output).await.line;
    maintain(&mut api, &name).await;
    stands_still(&process).await;
    let cancel = CancelExecutionRequest { name, ..CancelExecutionRequest::default() };
    api.executions.cancel_execution(cancel).await.expect("it runs");
    assert_eq!(response::<Execution>(&api.wait(&operation).await).cancelled_count, 1);
}

#[tokio::test]
async fn maintenance_is_set_over_http_as_well() {
    let mut api = simulated().await;
    let name = metadata::<Execution>(&api.run("echo").await).name;
    let json = [("content-type", "application/json")];
    let fault = r#"{"at": "before", "rpc": "GetExecution", "job": "echo", "do": "maintenance", "times": 1}"#;
    let answer = request(&api.emulator, "POST", "/emulator/v1/faults", &json, fault).await;
    assert_eq!(answer.json()["faults"][0]["do"], "maintenance");
    api.execution(&name).await.expect("there");
    api.emulator.clock().advance(SECOND * 80);
    assert_eq!(end(&mut api, &name).await, 70);
}
