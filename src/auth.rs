//! Credentials: where a bearer token comes from. Knows nothing of Cloud Run but its one OAuth scope.
//!
//! Tokens are fetched, cached and renewed by yup-oauth2; this room finds the credentials, bounds the time a token
//! may take, and keeps secrets out of every output.

mod adc;

use std::{
    fmt::{self, Debug, Formatter},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use http::HeaderValue;

use crate::error::{Error, ErrorKind, Result};

/// The only scope that run/v2 accepts (`google.api.oauth_scopes` of its services).
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// How long a token may take. yup-oauth2 has no limit of its own, and a metadata server that is not there would
/// otherwise hold a call for ever.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Who the caller is. Cheap to clone; clones share their cached token. `Debug` shows the kind and no secret.
#[derive(Clone)]
pub struct Credentials {
    source: Source,
    quota_project: Option<Arc<str>>,
}

#[derive(Clone)]
enum Source {
    Anonymous,
    /// A complete `authorization` value, marked sensitive.
    Fixed(HeaderValue),
    Renewed {
        kind: &'static str,
        tokens: Arc<dyn Tokens>,
        /// Whether the token in the cache was refused, though its time is not over.
        stale: Arc<AtomicBool>,
    },
}

/// A source of tokens that renews them by itself.
trait Tokens: Send + Sync {
    /// The token in the cache while it is good; with `fresh`, a new one in any case.
    fn token(&self, fresh: bool) -> BoxFuture<'_, Result<String, yup_oauth2::Error>>;
}

impl Credentials {
    /// No credentials: nothing is sent. What emulators are called with.
    pub fn anonymous() -> Self {
        Self { source: Source::Anonymous, quota_project: None }
    }

    /// This access token, as printed by `gcloud auth print-access-token`. It is not renewed.
    ///
    /// # Errors
    /// When it is empty or has characters that a header cannot hold.
    pub fn access_token(token: impl AsRef<str>) -> Result<Self> {
        let token = token.as_ref().trim();
        if token.is_empty() {
            return Err(Error::new(ErrorKind::Credentials, "the access token is empty"));
        }
        Ok(Self { source: Source::Fixed(bearer(token)?), quota_project: None })
    }

    /// The key file of a service account, or the file that `gcloud auth application-default login` writes.
    ///
    /// # Errors
    /// When the file cannot be read, is no such file, or is of a kind that is not supported.
    pub async fn key_file(path: impl AsRef<Path>) -> Result<Self> {
        adc::from_file(path.as_ref()).await
    }

    /// Application Default Credentials: the file named by `GOOGLE_APPLICATION_CREDENTIALS`, else gcloud's user
    /// credentials (`$CLOUDSDK_CONFIG` or `~/.config/gcloud`), else the metadata server of the machine
    /// (`GCE_METADATA_HOST` replaces its address).
    ///
    /// No token is asked for yet: that a metadata server is not there shows at the first call.
    ///
    /// # Errors
    /// When a file that was found cannot be used.
    pub async fn application_default() -> Result<Self> {
        adc::find(&|name| std::env::var(name).ok()).await
    }

    /// The project that quota is counted against, where the credentials name one.
    pub(crate) fn quota_project(&self) -> Option<&str> {
        self.quota_project.as_deref()
    }

    pub(crate) fn is_anonymous(&self) -> bool {
        matches!(self.source, Source::Anonymous)
    }

    /// Gives up the token in the cache, because the service did not accept it. Whether there can be another one.
    pub(crate) fn renew(&self) -> bool {
        match &self.source {
            Source::Renewed { stale, .. } => {
                stale.store(true, Relaxed);
                true
            }
            Source::Anonymous | Source::Fixed(_) => false,
        }
    }

    /// The value of the `authorization` header, or none for anonymous credentials.
    pub(crate) async fn authorization(&self) -> Result<Option<HeaderValue>> {
        match &self.source {
            Source::Anonymous => Ok(None),
            Source::Fixed(value) => Ok(Some(value.clone())),
            Source::Renewed { tokens, stale, .. } => {
                let fresh = stale.swap(false, Relaxed);
                let token = tokio::time::timeout(TOKEN_TIMEOUT, tokens.token(fresh))
                    .await
                    .map_err(|_| {
                        Error::new(ErrorKind::Credentials, "no access token: the token server did not answer in 10 s")
                    })?
                    .map_err(|cause| Error::new(ErrorKind::Credentials, "no access token").with_source(cause))?;
                bearer(&token).map(Some)
            }
        }
    }
}

impl Debug for Credentials {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = match &self.source {
            Source::Anonymous => "anonymous",
            Source::Fixed(_) => "access token",
            Source::Renewed { kind, .. } => kind,
        };
        f.debug_struct("Credentials").field("kind", &kind).field("quota_project", &self.quota_project).finish()
    }
}

fn bearer(token: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
        Error::new(ErrorKind::Credentials, "the access token has characters that no token has, such as a line break")
    })?;
    // Keeps it out of Debug output and of the compression tables of HTTP/2.
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_output_shows_a_token() {
        let credentials = Credentials::access_token("canary-4711\n").expect("a token");
        let header = credentials.authorization().await.expect("no I/O").expect("a header");
        assert_eq!(header, "Bearer canary-4711");
        assert!(!format!("{credentials:?} {header:?}").contains("canary"));
    }

    #[test]
    fn a_token_that_no_header_can_hold_is_refused_without_showing_it() {
        for token in ["", "  ", "canary\r\nx: y"] {
            let error = Credentials::access_token(token).expect_err("not a token");
            assert_eq!(error.kind(), ErrorKind::Credentials);
            assert!(!error.to_string().contains("canary"));
        }
    }
}
