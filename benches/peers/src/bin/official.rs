//! Google's `google-cloud-run-v2`: REST over HTTP/1.1.

use google_cloud_auth::{
    credentials::{Builder, CacheableResource, Credentials, CredentialsProvider, EntityTag, anonymous},
    errors::CredentialsError,
};
use google_cloud_run_v2::{
    client::Jobs,
    model::{
        RunJobRequest,
        run_job_request::{Overrides, overrides::ContainerOverride},
    },
};
use http::{Extensions, HeaderMap, HeaderValue, header::AUTHORIZATION};
use peers::{Answer, JOB, Peer};

#[derive(Clone)]
struct Official(Jobs);

/// A token that is not renewed.
#[derive(Debug)]
struct Fixed(HeaderValue);

impl CredentialsProvider for Fixed {
    async fn headers(&self, _: Extensions) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        let data = HeaderMap::from_iter([(AUTHORIZATION, self.0.clone())]);
        Ok(CacheableResource::New { entity_tag: EntityTag::new(), data })
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}

impl Peer for Official {
    async fn connect(address: &str) -> Answer<Self> {
        let builder = Jobs::builder().with_endpoint(format!("http://{address}"));
        Ok(Self(builder.with_credentials(anonymous::Builder::new().build()).build().await?))
    }

    async fn connect_as(url: &str, token: Option<&str>) -> Answer<Self> {
        let credentials = match token {
            Some(token) => Credentials::from(Fixed(format!("Bearer {token}").parse()?)),
            None => Builder::default().build()?,
        };
        Ok(Self(Jobs::builder().with_endpoint(url).with_credentials(credentials).build().await?))
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
