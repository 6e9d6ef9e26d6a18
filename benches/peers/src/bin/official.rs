//! Google's `google-cloud-run-v2`: REST over HTTP/1.1.

use google_cloud_auth::credentials::anonymous;
use google_cloud_run_v2::{
    client::Jobs,
    model::{
        RunJobRequest,
        run_job_request::{Overrides, overrides::ContainerOverride},
    },
};
use peers::{Answer, JOB, Peer};

#[derive(Clone)]
struct Official(Jobs);

impl Peer for Official {
    async fn connect(address: &str) -> Answer<Self> {
        let builder = Jobs::builder().with_endpoint(format!("http://{address}"));
        Ok(Self(builder.with_credentials(anonymous::Builder::new().build()).build().await?))
    }

    async fn start(&self) -> Answer<String> {
        let container = ContainerOverride::new().set_args(["hello"]);
        let overrides = Overrides::new().set_container_overrides([container]);
        let request = RunJobRequest::new().set_name(JOB).set_overrides(overrides);
        Ok(self.0.run_job().with_request(request).send().await?.name)
    }

    async fn poll(&self, operation: String) -> Answer<()> {
        Ok(self.0.get_operation().set_name(operation).send().await.map(drop)?)
    }
}

fn main() -> Answer<()> {
    peers::main::<Official>()
}
