//! `gcloud-sdk`: the other gRPC client in Rust, generated stubs over tonic's `Channel`.

use gcloud_sdk::{
    GoogleApi, GoogleAuthMiddleware,
    google::{
        cloud::run::v2::{
            RunJobRequest,
            jobs_client::JobsClient,
            run_job_request::{Overrides, overrides::ContainerOverride},
        },
        longrunning::{GetOperationRequest, operations_client::OperationsClient},
    },
    tonic::Request,
};
use google_cloud_auth::credentials::anonymous;
use peers::{Answer, JOB, Peer};

#[derive(Clone)]
struct Sdk {
    jobs: JobsClient<GoogleAuthMiddleware>,
    operations: OperationsClient<GoogleAuthMiddleware>,
}

impl Peer for Sdk {
    async fn connect(address: &str) -> Answer<Self> {
        let credentials = anonymous::Builder::new().build();
        let url = format!("http://{address}");
        let api = GoogleApi::from_function_with_credentials(JobsClient::new, url, None, credentials).await?;
        Ok(Self { jobs: api.get(), operations: api.get_with(OperationsClient::new) })
    }

    async fn start(&self) -> Answer<String> {
        let container = ContainerOverride { args: vec!["hello".to_owned()], ..ContainerOverride::default() };
        let overrides = Some(Overrides { container_overrides: vec![container], ..Overrides::default() });
        let request = RunJobRequest { name: JOB.to_owned(), overrides, ..RunJobRequest::default() };
        Ok(self.jobs.clone().run_job(Request::new(request)).await?.into_inner().name)
    }

    async fn poll(&self, operation: String) -> Answer<()> {
        let request = Request::new(GetOperationRequest { name: operation });
        Ok(self.operations.clone().get_operation(request).await.map(drop)?)
    }
}

fn main() -> Answer<()> {
    peers::main::<Sdk>()
}
