//! Credentials: where a bearer token comes from. Knows nothing of Cloud Run but its one OAuth scope.
//!
//! One file for each kind of source, one cache above them, one HTTP client below them.

mod cache;
mod carried;
mod external;
mod file;
mod finder;
mod impersonated;
mod key;
mod metadata;
mod source;
#[cfg(test)]
mod tests;
mod token_file;
mod trust;
mod web;

use std::{
    fmt::{self, Debug, Formatter},
    path::{Path, PathBuf},
    sync::Arc,
};

use http::HeaderValue;

use self::{cache::Cache, metadata::Metadata, token_file::TokenFile};
pub use self::{
    finder::CredentialsBuilder,
    source::{AccessToken, TokenError, TokenSource},
};
use crate::error::{Error, ErrorKind, Result};

/// The only scope that run/v2 accepts (`google.api.oauth_scopes` of its services).
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Who the caller is. Cheap to clone; clones share their cached token. `Debug` shows the kind and no secret.
///
/// docs/credentials.md lists the kinds, and what each asks of which server.
#[derive(Clone)]
pub struct Credentials {
    kind: Arc<str>,
    tokens: Tokens,
    facts: Arc<Facts>,
}

#[derive(Clone)]
enum Tokens {
    Anonymous,
    Fixed(Authorization),
    Cached(Cache),
}

/// What credentials say beside who the caller is.
#[derive(Clone, Default)]
struct Facts {
    quota_project: Option<String>,
    project: Option<String>,
    metadata: Option<Metadata>,
    /// Where they were found, as people name that; empty where the caller has given them.
    origin: String,
}

/// What a call shows for itself.
#[derive(Clone, Debug)]
pub(crate) struct Authorization {
    /// The value of the `authorization` header, marked sensitive.
    pub(crate) value: HeaderValue,
    /// Which of the credentials' tokens it is.
    pub(crate) generation: u64,
}

impl Credentials {
    /// No credentials: nothing is sent. What emulators are called with.
    pub fn anonymous() -> Self {
        Self { kind: "anonymous".into(), tokens: Tokens::Anonymous, facts: Arc::default() }
    }

    /// This access token, as printed by `gcloud auth print-access-token`. It is not renewed.
    ///
    /// # Errors
    /// When it is empty or has characters that a header cannot hold.
    pub fn access_token(token: impl AsRef<str>) -> Result<Self> {
        let value = bearer(token.as_ref().trim()).map_err(refused)?;
        let tokens = Tokens::Fixed(Authorization { value, generation: 0 });
        Ok(Self { kind: "access token".into(), tokens, facts: Arc::default() })
    }

    /// A file that another program keeps a fresh access token in. It is read again each minute, and when the service
    /// has refused the token.
    pub fn token_file(path: impl Into<PathBuf>) -> Self {
        Self::cached("token file", Cache::new(TokenFile(path.into())), Facts::default())
    }

    /// A credentials file: the key of a service account, what `gcloud auth application-default login` writes, or the
    /// configuration of an identity of another provider.
    ///
    /// # Errors
    /// When the file cannot be read, is no such file, or is of a kind that is not supported.
    pub async fn file(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder().file(path).await
    }

    /// Application Default Credentials, in Google's order: the file that `GOOGLE_APPLICATION_CREDENTIALS` names, else
    /// the one in gcloud's directory (`$CLOUDSDK_CONFIG` or `~/.config/gcloud`), else the metadata server of this
    /// machine (`GCE_METADATA_HOST` names another; `NO_GCE_CHECK=true` leaves it out).
    ///
    /// # Errors
    /// When a file that was found cannot be used, or there are no credentials.
    pub async fn adc() -> Result<Self> {
        Self::builder().adc().await
    }

    /// The service account of this machine at Google.
    ///
    /// # Errors
    /// When `HTTPS_PROXY` holds no proxy that can be used.
    pub fn metadata_server() -> Result<Self> {
        Self::builder().metadata_server()
    }

    /// A source of the caller's own; `kind` is what errors and `Debug` call it.
    pub fn from_source(kind: &str, source: impl TokenSource) -> Self {
        Self::cached(kind, Cache::new(source), Facts::default())
    }

    /// The service account `account`, as which these credentials may act
    /// (`roles/iam.serviceAccountTokenCreator`). A list with commas names accounts in between.
    ///
    /// # Errors
    /// When that is no name of an account.
    pub fn impersonate(&self, account: &str) -> Result<Self> {
        Self::builder().impersonate(self, account)
    }

    /// Settings for the cases that the short ways above do not cover.
    pub fn builder() -> CredentialsBuilder {
        CredentialsBuilder::new()
    }

    /// The project that the credentials belong to, where their file or the metadata server says.
    ///
    /// # Errors
    /// When the metadata server could not be asked.
    pub async fn project(&self) -> Result<Option<String>> {
        match (&self.facts.project, &self.facts.metadata) {
            (Some(project), _) => Ok(Some(project.clone())),
            (None, Some(server)) => server.project().await.map(Some).map_err(|error| self.failed("project", error)),
            (None, None) => Ok(None),
        }
    }

    /// The region of this machine, where the credentials come from its metadata server.
    ///
    /// # Errors
    /// When the metadata server could not be asked.
    pub async fn region(&self) -> Result<Option<String>> {
        match &self.facts.metadata {
            Some(server) => server.region().await.map(Some).map_err(|error| self.failed("region", error)),
            None => Ok(None),
        }
    }

    /// The project that quota is counted against, where the credentials name one.
    pub(crate) fn quota_project(&self) -> Option<&str> {
        self.facts.quota_project.as_deref()
    }

    /// Of which kind they are, as errors call it.
    #[cfg(feature = "cli")]
    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    /// Where they were found, as people name that.
    pub(crate) fn origin(&self) -> &str {
        &self.facts.origin
    }

    pub(crate) fn is_anonymous(&self) -> bool {
        matches!(self.tokens, Tokens::Anonymous)
    }

    /// What a call shows, or nothing for anonymous credentials. From memory while the token is good.
    pub(crate) async fn authorization(&self) -> Result<Option<Authorization>> {
        self.tokens.authorization().await.map_err(|error| self.failed("access token", error))
    }

    /// Gives up the token of this generation, because the service did not accept it; a newer one stays. Whether there
    /// can be another.
    pub(crate) fn renew(&self, generation: u64) -> bool {
        self.tokens.renew(generation)
    }

    fn cached(kind: &str, cache: Cache, facts: Facts) -> Self {
        Self { kind: kind.into(), tokens: Tokens::Cached(cache), facts: Arc::new(facts) }
    }

    fn found_in(mut self, origin: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.facts).origin = origin.into();
        self
    }

    fn failed(&self, what: &str, cause: TokenError) -> Error {
        let error = Error::new(ErrorKind::Credentials, format!("no {what} ({}): {cause}", self.kind));
        let error = if cause.is_transient() { error } else { error.lasting() };
        error.with_source(cause)
    }
}

impl Tokens {
    async fn authorization(&self) -> Result<Option<Authorization>, TokenError> {
        match self {
            Self::Anonymous => Ok(None),
            Self::Fixed(authorization) => Ok(Some(authorization.clone())),
            Self::Cached(cache) => cache.authorization().await.map(Some),
        }
    }

    fn renew(&self, generation: u64) -> bool {
        match self {
            Self::Anonymous | Self::Fixed(_) => false,
            Self::Cached(cache) => {
                cache.renew(generation);
                true
            }
        }
    }
}

impl Debug for Credentials {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("kind", &self.kind)
            .field("quota_project", &self.facts.quota_project)
            .finish()
    }
}

/// Credentials that cannot be used, whatever is tried again.
fn refused(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Credentials, why).lasting()
}

fn bearer(token: &str) -> Result<HeaderValue, &'static str> {
    if token.is_empty() {
        return Err("the access token is empty");
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| "the access token has characters that no token has, such as a line break")?;
    // Keeps it out of Debug output and of the compression tables of HTTP/2.
    value.set_sensitive(true);
    Ok(value)
}
