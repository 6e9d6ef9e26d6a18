//! What every kind of credentials has in common: a source gives an access token and says how long it lives.

use std::{
    error::Error as StdError,
    fmt::{self, Debug, Display, Formatter},
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;
use serde::{Deserialize as _, Deserializer};
use serde_json::Value;

/// The longest life that any token is believed to have: Google's own limit for extended lifetimes. A server's answer
/// may say anything.
pub(super) const LONGEST_LIFE: Duration = Duration::from_secs(12 * 3600);

/// The life of a token whose server does not say: the usual one. A token that ends earlier is refused by the service,
/// and renewed then.
const USUAL_LIFE: Duration = Duration::from_secs(3600);

/// A life in seconds as servers say it: a number, or a number in quotes, as some do. Anything else says nothing.
pub(super) fn seconds(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// The same as a part of an answer.
pub(super) fn read_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Value::deserialize(deserializer).map(|value| seconds(&value))
}

/// A source of access tokens that this crate does not know, such as a vault or another authentication library.
///
/// The client caches what it returns: it is asked once for any number of calls, again in the background some minutes
/// before the token ends, and when the service has refused the token.
///
/// ```
/// use std::time::Duration;
/// use runjob::{AccessToken, Credentials, TokenError, TokenSource};
///
/// #[derive(Debug)]
/// struct Vault;
///
/// impl TokenSource for Vault {
///     async fn token(&self) -> Result<AccessToken, TokenError> {
///         let text = std::fs::read_to_string("/run/vault/token")
///             .map_err(|cause| TokenError::permanent(format!("the vault's token cannot be read: {cause}")))?;
///         Ok(AccessToken::new(text).expires_in(Duration::from_secs(600)))
///     }
/// }
///
/// let credentials = Credentials::from_source("vault", Vault);
/// assert!(format!("{credentials:?}").contains("vault"));
/// ```
pub trait TokenSource: Send + Sync + 'static {
    /// A new token. It is not called again before it has returned.
    fn token(&self) -> impl Future<Output = Result<AccessToken, TokenError>> + Send;
}

/// A [`TokenSource`] behind a pointer.
pub(super) trait AnySource: Send + Sync {
    fn fetch(&self) -> BoxFuture<'_, Result<AccessToken, TokenError>>;
}

impl<S: TokenSource> AnySource for S {
    fn fetch(&self) -> BoxFuture<'_, Result<AccessToken, TokenError>> {
        Box::pin(self.token())
    }
}

/// An access token and how long it lives. `Debug` shows no secret.
#[derive(Clone)]
pub struct AccessToken {
    text: String,
    life: Duration,
}

impl AccessToken {
    /// A token that lives for an hour, which is the usual life.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), life: USUAL_LIFE }
    }

    /// How long it lives from now on. More than twelve hours is taken for twelve hours.
    #[must_use]
    pub fn expires_in(mut self, life: Duration) -> Self {
        self.life = life.min(LONGEST_LIFE);
        self
    }

    /// When it ends, by this machine's clock.
    #[must_use]
    pub fn expires_at(self, end: SystemTime) -> Self {
        self.expires_in(end.duration_since(SystemTime::now()).unwrap_or_default())
    }

    /// How long it lives in seconds, as a server says; no number is the usual life.
    pub(super) fn expires_in_seconds(self, seconds: Option<f64>) -> Self {
        match seconds {
            Some(seconds) => self.expires_in(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(LONGEST_LIFE)),
            None => self,
        }
    }

    pub(super) fn text(&self) -> &str {
        self.text.trim()
    }

    pub(super) fn life(&self) -> Duration {
        self.life
    }
}

impl Debug for AccessToken {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken").field("life", &self.life).finish_non_exhaustive()
    }
}

/// Why a [`TokenSource`] has no token. Its text is shown to people and must hold no secret.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenError {
    message: String,
    pub(super) transient: bool,
    /// The HTTP status that a server refused with.
    pub(super) status: Option<u16>,
}

impl TokenError {
    /// A failure that another attempt may not meet, such as a server that is busy.
    pub fn transient(message: impl Into<String>) -> Self {
        Self { message: message.into(), transient: true, status: None }
    }

    /// A failure that stays until somebody changes something, such as a deleted key.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { transient: false, ..Self::transient(message) }
    }

    /// Whether another attempt may succeed without a change.
    pub fn is_transient(&self) -> bool {
        self.transient
    }

    pub(super) fn with_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    pub(super) fn within(self, what: impl Display) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }
}

impl Display for TokenError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for TokenError {}
