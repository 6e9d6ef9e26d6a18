//! Calls the generated stubs over the client's connection: `cargo run --example bare_stubs`.
//!
//! For backends that speak gRPC already and want the credentials, headers and keepalive, and none of the verbs.

use std::error::Error as StdError;

use runjob::{
    Client, Location, Routing,
    emulator::Emulator,
    proto::run::v2::{ListJobsRequest, jobs_client::JobsClient},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let emulator = Emulator::builder().no_listener().start().await?;
    let client = Client::builder().connector(emulator.connector()).build().await?;

    let here = Location::new("demo", "us-central1")?;
    let message = ListJobsRequest { parent: here.to_string(), ..ListJobsRequest::default() };
    let page = JobsClient::new(client.transport()).list_jobs(Routing::location(&here).request(message)).await?;
    for job in page.into_inner().jobs {
        println!("{}", job.name);
    }
    Ok(())
}
