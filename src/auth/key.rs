//! The key of a service account. It signs its own tokens (AIP-4111), which needs no server.

use std::{
    fmt::{self, Debug, Formatter},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::json;
use tokio_rustls::rustls::{
    SignatureScheme,
    crypto::ring::sign::RsaSigningKey,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
    sign::{Signer, SigningKey as _},
};

use super::{
    SCOPE,
    source::{AccessToken, TokenError, TokenSource},
};

/// The longest life that Google accepts.
const LIFE: Duration = Duration::from_secs(3600);

/// How far this machine's clock may be ahead of Google's, which refuses tokens from the future.
const SKEW: Duration = Duration::from_secs(10);

/// What a key file holds of interest.
#[derive(Deserialize)]
pub(super) struct KeyFile {
    pub(super) client_email: String,
    pub(super) private_key: String,
    pub(super) private_key_id: Option<String>,
    pub(super) token_uri: Option<String>,
}

/// A source of tokens that are signed here.
pub(super) struct SelfSigned {
    email: String,
    key_id: Option<String>,
    signer: Box<dyn Signer>,
}

impl SelfSigned {
    pub(super) fn new(file: KeyFile) -> Result<Self, String> {
        let unusable = "its private_key is not a usable PEM key of RSA";
        let key = PrivateKeyDer::from_pem_slice(file.private_key.as_bytes()).map_err(|_| unusable)?;
        let key = RsaSigningKey::new(&key).map_err(|_| unusable)?;
        let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).ok_or(unusable)?;
        Ok(Self { email: file.client_email, key_id: file.private_key_id, signer })
    }

    /// A token that is good from `now` on. It names a scope and so no audience, as AIP-4111 asks.
    fn signed(&self, now: SystemTime) -> Result<String, TokenError> {
        let issued = now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(SKEW).as_secs();
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        if let Some(id) = &self.key_id {
            header["kid"] = id.as_str().into();
        }
        let claims = json!({
            "iss": self.email,
            "sub": self.email,
            "scope": SCOPE,
            "iat": issued,
            "exp": issued + LIFE.as_secs(),
        });
        let encoded = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encoded(&header), encoded(&claims));
        let signature = self.signer.sign(message.as_bytes());
        let signature = signature.map_err(|_| TokenError::permanent("the private key cannot sign"))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl TokenSource for SelfSigned {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        Ok(AccessToken::new(self.signed(SystemTime::now())?).expires_in(LIFE.saturating_sub(SKEW)))
    }
}

impl Debug for KeyFile {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("client_email", &self.client_email).finish_non_exhaustive()
    }
}
