//! Identities of other providers (workload and workforce identity federation): a token of theirs is exchanged at the
//! Security Token Service (RFC 8693).

mod subject;

use std::sync::{Mutex, PoisonError};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header::AUTHORIZATION};
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) use self::subject::Subject;
use super::{
    SCOPE,
    source::{AccessToken, TokenError, TokenSource, read_seconds},
    web::{self, Http},
};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What an `external_account` file says of the exchange.
#[derive(Deserialize)]
pub(super) struct ExternalFile {
    pub(super) audience: String,
    pub(super) subject_token_type: String,
    pub(super) token_url: String,
    pub(super) service_account_impersonation_url: Option<String>,
    #[serde(default)]
    pub(super) service_account_impersonation: Impersonation,
    client_id: Option<String>,
    client_secret: Option<String>,
    workforce_pool_user_project: Option<String>,
    pub(super) credential_source: Value,
}

#[derive(Default, Deserialize)]
pub(super) struct Impersonation {
    pub(super) token_lifetime_seconds: Option<u64>,
}

/// A source of tokens for an identity of another provider.
pub(super) struct External {
    pub(super) http: Http,
    /// The Security Token Service.
    pub(super) url: Uri,
    pub(super) file: ExternalFile,
    pub(super) subject: Subject,
}

/// What a server of OAuth answers.
#[derive(Deserialize)]
struct OauthAnswer {
    access_token: String,
    #[serde(default, deserialize_with = "read_seconds")]
    expires_in: Option<f64>,
    refresh_token: Option<String>,
}

impl External {
    fn exchange(&self, subject_token: &str) -> Result<Request<Bytes>, TokenError> {
        let file = &self.file;
        let mut fields = vec![
            ("grant_type", EXCHANGE),
            ("audience", &file.audience),
            ("scope", SCOPE),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token", subject_token),
            ("subject_token_type", &file.subject_token_type),
        ];
        // A workforce pool has no project; one is named for quota, unless the client itself belongs to one.
        let project = file.workforce_pool_user_project.as_ref().filter(|_| file.client_id.is_none());
        let options = project.map(|project| json!({"userProject": project}).to_string());
        fields.extend(options.as_deref().map(|options| ("options", options)));
        let mut request = web::form(&self.url, &fields);
        if let (Some(id), Some(secret)) = (&file.client_id, &file.client_secret) {
            request.headers_mut().insert(AUTHORIZATION, basic(id, secret)?);
        }
        Ok(request)
    }
}

impl TokenSource for External {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        let subject_token = self.subject.token(&self.http).await?;
        let answer = self.http.send(self.exchange(&subject_token)?).await?;
        read(&answer.body).map(OauthAnswer::token)
    }
}

/// What an `external_account_authorized_user` file holds of interest.
#[derive(Deserialize)]
pub(super) struct ExternalUserFile {
    client_id: String,
    client_secret: String,
    refresh_token: String,
    pub(super) token_url: String,
}

/// A person of a workforce pool who has signed in with gcloud.
pub(super) struct ExternalUser {
    http: Http,
    url: Uri,
    client: HeaderValue,
    /// The server may replace it with each token.
    refresh_token: Mutex<String>,
}

impl ExternalUser {
    pub(super) fn new(http: Http, url: Uri, file: ExternalUserFile) -> Result<Self, String> {
        let client = basic(&file.client_id, &file.client_secret).map_err(|cause| cause.to_string())?;
        Ok(Self { http, url, client, refresh_token: Mutex::new(file.refresh_token) })
    }

    fn request(&self) -> Request<Bytes> {
        let refresh_token = self.refresh_token.lock().unwrap_or_else(PoisonError::into_inner);
        let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str())];
        let mut request = web::form(&self.url, &fields);
        request.headers_mut().insert(AUTHORIZATION, self.client.clone());
        request
    }
}

impl TokenSource for ExternalUser {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        let mut answer = read(&self.http.send(self.request()).await?.body)?;
        if let Some(newer) = answer.refresh_token.take() {
            *self.refresh_token.lock().unwrap_or_else(PoisonError::into_inner) = newer;
        }
        Ok(answer.token())
    }
}

impl OauthAnswer {
    fn token(self) -> AccessToken {
        AccessToken::new(self.access_token).expires_in_seconds(self.expires_in)
    }
}

fn read(body: &[u8]) -> Result<OauthAnswer, TokenError> {
    let unreadable = |_| TokenError::permanent("the token server's answer has no access token");
    serde_json::from_slice(body).map_err(unreadable)
}

/// HTTP basic authentication (RFC 7617), marked sensitive.
fn basic(id: &str, secret: &str) -> Result<HeaderValue, TokenError> {
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))))
        .map_err(|_| TokenError::permanent("the client id cannot be sent"))?;
    value.set_sensitive(true);
    Ok(value)
}
