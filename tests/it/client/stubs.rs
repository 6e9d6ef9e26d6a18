//! The generated stubs over the client's connection.

use runjob::{
    Client, Location, Routing,
    emulator::Emulator,
    proto::run::v2::{GetJobRequest, jobs_client::JobsClient},
};

#[tokio::test]
async fn a_stub_over_the_transport_needs_only_its_routing_header() {
    let emulator = Emulator::builder().start().await.expect("an emulator");
    let address = emulator.addr().expect("a listener").to_string();
    let client = Client::builder().emulator(address).build().await.expect("a client");
    let location = Location::new("demo", "us-central1").expect("a location");
    let message = GetJobRequest { name: format!("{location}/jobs/echo") };

    let mut jobs = JobsClient::new(client.transport());
    let job = jobs.get_job(Routing::location(&location).request(message.clone())).await.expect("the job");
    assert_eq!(job.into_inner().name, message.name);
    let refused = jobs.get_job(message).await.expect_err("no routing header");
    assert_eq!(refused.code(), tonic::Code::Unimplemented);
}
