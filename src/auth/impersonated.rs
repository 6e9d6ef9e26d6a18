//! Another service account's tokens, asked of the IAM Credentials API with a token of one's own.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header::AUTHORIZATION};
use serde::Deserialize;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Authorization, SCOPE, Tokens,
    cache::{self, Cache},
    source::{AccessToken, TokenError, TokenSource},
    web::{self, Http},
};

/// The usual life. More needs a policy of the organisation.
pub(super) const LIFE: Duration = Duration::from_secs(3600);

/// A source of another account's tokens.
pub(super) struct Impersonated {
    pub(super) http: Http,
    /// The `generateAccessToken` of the account.
    pub(super) url: Uri,
    /// Accounts in between, each of which may act as the next.
    pub(super) delegates: Vec<String>,
    pub(super) life: Duration,
    /// The caller's own tokens.
    pub(super) base: Tokens,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GeneratedToken {
    access_token: String,
    expire_time: String,
}

/// The URL at which the tokens of this account are had.
pub(super) fn url(universe: &str, account: &str) -> Result<Uri, String> {
    let is_account =
        account.contains('@') && account.chars().all(|c| c.is_ascii_alphanumeric() || "@.-_+:".contains(c));
    let url = format!("https://iamcredentials.{universe}/v1/projects/-/serviceAccounts/{account}:generateAccessToken");
    let url = url.parse().ok().filter(|_| is_account);
    url.ok_or_else(|| {
        format!("\"{}\" is no service account; write NAME@PROJECT.iam.gserviceaccount.com", account.escape_debug())
    })
}

/// The accounts in between, as the API spells them.
pub(super) fn delegates<'a>(accounts: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let prefixed = |account: &str| match account.starts_with("projects/") {
        true => account.to_owned(),
        false => format!("projects/-/serviceAccounts/{account}"),
    };
    accounts.into_iter().map(prefixed).collect()
}

impl Impersonated {
    /// A cache above this source, which waits for the base's token first.
    pub(super) fn cached(self) -> Cache {
        let base = match &self.base {
            Tokens::Cached(base) => base.limit(),
            Tokens::Anonymous | Tokens::Fixed(_) => Duration::ZERO,
        };
        Cache::within(base + cache::LIMIT, self)
    }

    async fn base(&self) -> Result<Authorization, TokenError> {
        let own = self.base.authorization().await?;
        own.ok_or_else(|| TokenError::permanent("anonymous credentials cannot act as an account"))
    }

    async fn ask(&self, authorization: HeaderValue) -> Result<AccessToken, TokenError> {
        let answer = self.http.send(self.request(authorization)).await?;
        let answer: GeneratedToken = serde_json::from_slice(&answer.body)
            .map_err(|_| TokenError::permanent("the IAM Credentials API's answer has no access token"))?;
        let token = AccessToken::new(answer.access_token);
        Ok(match OffsetDateTime::parse(&answer.expire_time, &Rfc3339) {
            Ok(end) => token.expires_at(SystemTime::from(end)),
            Err(_) => token.expires_in(self.life),
        })
    }

    fn request(&self, authorization: HeaderValue) -> Request<Bytes> {
        let lifetime = format!("{}s", self.life.as_secs());
        let mut request =
            web::json(&self.url, &json!({"delegates": self.delegates, "scope": [SCOPE], "lifetime": lifetime}));
        request.headers_mut().insert(AUTHORIZATION, authorization);
        request
    }
}

impl TokenSource for Impersonated {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        let own = self.base().await?;
        let outcome = match self.ask(own.value).await {
            Err(error) if error.status == Some(401) && self.base.renew(own.generation) => {
                self.ask(self.base().await?.value).await
            }
            outcome => outcome,
        };
        outcome.map_err(|error| match error.status {
            Some(403) => error.within("acting as the service account needs roles/iam.serviceAccountTokenCreator on it"),
            _ => error,
        })
    }
}
