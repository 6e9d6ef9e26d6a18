//! The metadata server of a machine at Google: tokens of its service account, its project, its region.
//!
//! It is asked in plaintext and never through a proxy: it is as near as the machine itself.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};
use serde::Deserialize;
use serde_json::Value;

use super::{
    SCOPE,
    source::{AccessToken, TokenError, TokenSource, read_seconds},
    web::{self, Http},
};

const FLAVOR: (HeaderName, HeaderValue) =
    (HeaderName::from_static("metadata-flavor"), HeaderValue::from_static("Google"));

/// The name of the server on every machine at Google, and its address, which needs no name server.
const HOST: &str = "metadata.google.internal";
const ADDRESS: &str = "169.254.169.254";

/// How long the server may take to show that it is there. The first answer on GKE takes a second or two.
const PROBE: Duration = Duration::from_secs(1);
const PROBES: u32 = 3;

/// A metadata server.
#[derive(Clone)]
pub(super) struct Metadata {
    http: Http,
    host: String,
    probed: String,
}

#[derive(Deserialize)]
struct MetadataToken {
    access_token: String,
    #[serde(default, deserialize_with = "read_seconds")]
    expires_in: Option<f64>,
}

impl Metadata {
    /// The server that the environment names, else the one of every machine at Google; `env` looks a variable up.
    pub(super) fn new(http: Http, env: &dyn Fn(&str) -> Option<String>) -> Self {
        let named = env("GCE_METADATA_HOST").or_else(|| env("GCE_METADATA_ROOT"));
        let probed = env("GCE_METADATA_IP").or_else(|| named.clone());
        Self {
            http,
            host: named.unwrap_or_else(|| HOST.to_owned()),
            probed: probed.unwrap_or_else(|| ADDRESS.to_owned()),
        }
    }

    /// As `HOST[:PORT]`.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Whether the server is there.
    pub(super) async fn probe(&self) -> Result<(), TokenError> {
        self.ask(&self.probed, "/", PROBES, PROBE).await.map(drop)
    }

    /// The project of the machine.
    pub(super) async fn project(&self) -> Result<String, TokenError> {
        self.text("project/project-id").await
    }

    /// The region of the machine: what follows the last slash of `projects/NUMBER/regions/REGION`.
    pub(super) async fn region(&self) -> Result<String, TokenError> {
        let region = match self.text("instance/region").await {
            Ok(region) => region,
            // A virtual machine has a zone instead, which is a region and a letter.
            Err(error) if error.status == Some(404) => {
                let zone = self.text("instance/zone").await?;
                zone.rsplit_once('-').map_or_else(|| zone.clone(), |(region, _)| region.to_owned())
            }
            Err(error) => return Err(error),
        };
        Ok(region.rsplit('/').next().unwrap_or_default().to_owned())
    }

    async fn text(&self, path: &str) -> Result<String, TokenError> {
        self.get(path).await.map(|body| String::from_utf8_lossy(&body).trim().to_owned())
    }

    async fn get(&self, path: &str) -> Result<Vec<u8>, TokenError> {
        self.ask(&self.host, &format!("/computeMetadata/v1/{path}"), web::ATTEMPTS, web::ATTEMPT).await
    }

    async fn ask(&self, host: &str, path: &str, attempts: u32, limit: Duration) -> Result<Vec<u8>, TokenError> {
        let url: Uri = format!("http://{host}{path}")
            .parse()
            .map_err(|_| TokenError::permanent("GCE_METADATA_HOST is no HOST[:PORT]"))?;
        let mut request = web::get(&url);
        request.headers_mut().extend([FLAVOR].map(|(name, value)| (Some(name), value)));
        let answer = self.http.send_within(request, attempts, limit).await?;
        match answer.headers.get(&FLAVOR.0) == Some(&FLAVOR.1) {
            true => Ok(answer.body.to_vec()),
            false => Err(TokenError::permanent(format!(
                "what answers at {host} is no metadata server: its answer lacks \"Metadata-Flavor: Google\""
            ))),
        }
    }
}

impl TokenSource for Metadata {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        let scope: String = form_urlencoded::byte_serialize(SCOPE.as_bytes()).collect();
        let body = self.get(&format!("instance/service-accounts/default/token?scopes={scope}")).await;
        let body = body.map_err(|error| match error.status {
            Some(404) => error.within("this machine has no service account"),
            _ => error,
        })?;
        let unreadable = |_| TokenError::permanent("the metadata server's answer has no access token");
        let answer: MetadataToken =
            serde_json::from_slice::<Value>(&body).and_then(MetadataToken::deserialize).map_err(unreadable)?;
        Ok(AccessToken::new(answer.access_token).expires_in_seconds(answer.expires_in))
    }
}
