//! `google-run2`: generated REST over HTTP/1.1, by the google-apis-rs project.

use std::sync::Arc;

use google_run2::{
    CloudRun,
    api::{GoogleCloudRunV2ContainerOverride, GoogleCloudRunV2Overrides, GoogleCloudRunV2RunJobRequest},
    common::NoToken,
    hyper_util::{
        client::legacy::{Client, connect::HttpConnector},
        rt::TokioExecutor,
    },
};
use peers::{Answer, JOB, Peer};

#[derive(Clone)]
struct Generated(Arc<CloudRun<HttpConnector>>);

impl Peer for Generated {
    async fn connect(address: &str) -> Answer<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut hub = CloudRun::new(Client::builder(TokioExecutor::new()).build(connector), NoToken);
        hub.base_url(format!("http://{address}/"));
        Ok(Self(Arc::new(hub)))
    }

    async fn start(&self) -> Answer<String> {
        let container =
            GoogleCloudRunV2ContainerOverride { args: Some(vec!["hello".to_owned()]), ..Default::default() };
        let overrides = GoogleCloudRunV2Overrides { container_overrides: Some(vec![container]), ..Default::default() };
        let request = GoogleCloudRunV2RunJobRequest { overrides: Some(overrides), ..Default::default() };
        let (_, operation) = self.0.projects().locations_jobs_run(request, JOB).doit().await?;
        Ok(operation.name.unwrap_or_default())
    }

    async fn poll(&self, operation: String) -> Answer<()> {
        Ok(self.0.projects().locations_operations_get(&operation).doit().await.map(drop)?)
    }
}

fn main() -> Answer<()> {
    peers::main::<Generated>()
}
