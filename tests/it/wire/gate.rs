//! The port: who is answered, and what every call needs (api-facts 6; DESIGN 7.1, 7.6).

use std::{net::SocketAddr, time::Duration};

use runjob::{
    emulator::{Emulator, EmulatorBuilder, Simulated},
    proto::{
        longrunning::WaitOperationRequest,
        run::v2::{GetJobRequest, jobs_client::JobsClient, run_job_request::Overrides},
    },
};
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::{Api, channel, job_name, seconds};

async fn listening(builder: EmulatorBuilder) -> (Emulator, Channel) {
    let emulator = builder.start().await.expect("it starts");
    let addr = emulator.addr().expect("it listens");
    let endpoint: Endpoint = format!("http://{addr}").parse().expect("an address");
    let channel = endpoint.connect().await.expect("it takes connections");
    (emulator, channel)
}

fn get(headers: &[(&'static str, &'static str)]) -> Request<GetJobRequest> {
    let mut request = Request::new(GetJobRequest { name: job_name("echo") });
    for (name, value) in headers {
        request.metadata_mut().insert(*name, value.parse().expect("a value"));
    }
    request
}

/// api-facts 6: without a routing header the service does not find the region.
#[tokio::test]
async fn a_call_without_a_routing_header_is_not_implemented() {
    let (_emulator, channel) = listening(Emulator::builder()).await;
    let mut jobs = JobsClient::new(channel);
    let status = jobs.get_job(get(&[])).await.expect_err("it has none");
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(status.message(), "Operation is not implemented, or supported, or enabled.");
    jobs.get_job(get(&[("x-goog-request-params", "location=us-central1")])).await.expect("it has one");
}

#[tokio::test]
async fn a_lenient_emulator_asks_for_no_routing_header() {
    let (_emulator, channel) = listening(Emulator::builder().lenient(true)).await;
    JobsClient::new(channel).get_job(get(&[])).await.expect("it is lenient");
}

/// A page cannot hide where it comes from.
#[tokio::test]
async fn a_call_with_an_origin_is_refused() {
    let (_emulator, channel) = listening(Emulator::builder().lenient(true)).await;
    let status = JobsClient::new(channel).get_job(get(&[("origin", "http://example.com")])).await.expect_err("a page");
    assert_eq!(status.code(), Code::PermissionDenied);
}

/// A name that was rebound to loopback reaches the port, and stays a foreign name.
#[tokio::test]
async fn a_call_to_a_foreign_host_is_refused() {
    let (emulator, _channel) = listening(Emulator::builder().lenient(true)).await;
    let addr = emulator.addr().expect("it listens");
    for (host, code) in [("example.com", Some(Code::PermissionDenied)), ("localhost", None)] {
        let endpoint: Endpoint = format!("http://{addr}").parse().expect("an address");
        let endpoint = endpoint.origin(format!("http://{host}:{}", addr.port()).parse().expect("an address"));
        let mut jobs = JobsClient::new(endpoint.connect().await.expect("it takes connections"));
        let refused = jobs.get_job(get(&[])).await.err().map(|status| status.code());
        assert_eq!(refused, code, "{host}");
    }
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    let open: SocketAddr = "0.0.0.0:0".parse().expect("an address");
    let error = Emulator::builder().listen(open).start().await.expect_err("it is not loopback");
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let (emulator, _channel) = listening(Emulator::builder()).await;
    let addr = emulator.addr().expect("it listens");
    let error = Emulator::builder().listen(addr).start().await.expect_err("it is taken");
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}

#[tokio::test]
async fn an_emulator_without_a_socket_answers_its_connector() {
    let emulator = Emulator::builder().no_listener().lenient(true).start().await.expect("it starts");
    assert_eq!(emulator.addr(), None);
    JobsClient::new(channel(&emulator).await).get_job(get(&[])).await.expect("it answers");
    let connector = emulator.connector();
    emulator.stop().await.expect("it did not panic");
    let refused = Endpoint::from_static("http://emulator").connect_with_connector(connector).await;
    refused.expect_err("nobody is there");
}

/// DESIGN 7.1: tools find the services, without a routing header.
#[tokio::test]
async fn health_and_reflection_are_on() {
    let (_emulator, channel) = listening(Emulator::builder()).await;
    let request = HealthCheckRequest { service: "google.cloud.run.v2.Jobs".to_owned() };
    let health = HealthClient::new(channel.clone()).check(request).await.expect("it is known").into_inner();
    assert_eq!(health.status(), ServingStatus::Serving);

    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let request = futures_util::stream::iter([list]);
    let mut answers =
        ServerReflectionClient::new(channel).server_reflection_info(request).await.expect("it is on").into_inner();
    let answer = answers.message().await.expect("no error").expect("an answer").message_response;
    let Some(MessageResponse::ListServicesResponse(services)) = answer else { panic!("no list but {answer:?}") };
    let names: Vec<_> = services.service.into_iter().map(|service| service.name).collect();
    for name in ["Jobs", "Executions", "Tasks"] {
        assert!(names.contains(&format!("google.cloud.run.v2.{name}")), "{names:?}");
    }
    assert!(names.contains(&"google.longrunning.Operations".to_owned()), "{names:?}");
}

#[tokio::test]
async fn a_panic_in_a_call_is_its_answer_and_is_reported() {
    let mut api = Api::simulated(|_, _| panic!("a bug")).await;
    let status = api.run_with("echo", Overrides::default()).await.expect_err("it panicked");
    assert_eq!(status.code(), Code::Internal);
    let error = api.emulator.stop().await.expect_err("it panicked");
    assert!(error.to_string().contains("a bug"), "{error}");
}

/// A bug of the emulator fails the test that hits it, and leaves nobody waiting.
#[tokio::test]
async fn a_panic_inside_is_reported() {
    let mut api = Api::simulated(|_, attempt| match attempt {
        0 => Simulated::exits(1).after(Duration::from_millis(1)),
        _ => panic!("a bug"),
    })
    .await;
    let operation = api.run("echo").await;
    let request = WaitOperationRequest { name: operation.name, timeout: seconds(60) };
    // Whichever comes first: the wait ends early, or is refused.
    _ = api.operations.wait_operation(request).await;
    assert_eq!(api.job("echo").await.expect_err("it panicked").code(), Code::Internal);
    let error = api.emulator.stop().await.expect_err("it panicked");
    assert!(error.to_string().contains("a bug"), "{error}");
}
