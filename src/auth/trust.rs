//! Which servers a credentials file may name. A file that comes from elsewhere could send keys and tokens anywhere.

use std::net::IpAddr;

use http::{Uri, uri::Scheme};

/// The domain of Google Cloud itself; other universes are Google Cloud run by somebody else.
pub(super) const GOOGLE: &str = "googleapis.com";

/// Where old key files of service accounts have their token server.
const OLD_TOKEN_HOST: &str = "accounts.google.com";

/// Where clouds have their metadata servers, which speak plaintext.
const LINK_LOCAL: &str = "169.254.169.254";

/// How a caller trusts another server, as an error says it.
const WAY_OUT: &str = "if you trust it, name it with CredentialsBuilder::trust or in RUNJOB_TRUSTED_TOKEN_SERVERS";

/// The universe, and what the caller trusts beside it.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    pub(super) universe: String,
    /// As `https://HOST[:PORT]` or `http://HOST[:PORT]`.
    pub(super) origins: Vec<String>,
}

impl Default for Trust {
    fn default() -> Self {
        Self { universe: GOOGLE.to_owned(), origins: Vec::new() }
    }
}

impl Trust {
    /// Trusts this server: `HOST[:PORT]`, which means TLS, or a URL.
    pub(super) fn add(&mut self, server: &str) {
        let server = server.trim().trim_end_matches('/').to_lowercase();
        self.origins.push(if server.contains("://") { server } else { format!("https://{server}") });
    }

    /// The URL of a server that is given secrets to exchange for tokens: of the universe, by TLS, or trusted.
    pub(super) fn issuer(&self, field: &str, url: &str) -> Result<Uri, String> {
        let uri = parse(field, url)?;
        if self.has(&uri) || (uri.scheme() == Some(&Scheme::HTTPS) && self.is_google(host(&uri))) {
            return Ok(uri);
        }
        let (origin, universe) = (origin(&uri), &self.universe);
        Err(format!("its {field} names {origin}, which is no server of {universe} over TLS; {WAY_OUT}"))
    }

    /// The URL of a server that proves who the caller is: any over TLS, because it is not Google's; in plaintext this
    /// machine and its metadata server, or one that is trusted.
    pub(super) fn witness(&self, field: &str, url: &str) -> Result<Uri, String> {
        let uri = parse(field, url)?;
        let name = host(&uri);
        let is_near = name == "localhost"
            || name == LINK_LOCAL
            || name.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback());
        if uri.scheme() == Some(&Scheme::HTTPS) || is_near || self.has(&uri) {
            return Ok(uri);
        }
        Err(format!("its {field} names {}, in plaintext on another machine; {WAY_OUT}", origin(&uri)))
    }

    /// Whether the caller has named this server, as opposed to one of the universe.
    pub(super) fn has(&self, uri: &Uri) -> bool {
        self.origins.contains(&origin(uri))
    }

    fn is_google(&self, host: &str) -> bool {
        let inside =
            host.strip_suffix(self.universe.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        inside || (self.universe == GOOGLE && host == OLD_TOKEN_HOST)
    }
}

fn parse(field: &str, url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|_| format!("its {field} is no URL"))?;
    let known = uri.scheme() == Some(&Scheme::HTTPS) || uri.scheme() == Some(&Scheme::HTTP);
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if !known || authority.is_empty() || authority.contains('@') {
        return Err(format!("its {field} is no URL of the form https://HOST/PATH"));
    }
    Ok(uri)
}

fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default()
}

fn origin(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    format!("{}://{authority}", uri.scheme_str().unwrap_or_default()).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_to_the_universe_over_tls_or_to_who_is_trusted() {
        let mut trust = Trust::default();
        trust.add("sts.example.com");
        trust.add("http://127.0.0.1:8080/");
        for (url, may) in [
            ("https://oauth2.googleapis.com/token", true),
            ("https://googleapis.com/token", true),
            ("https://accounts.google.com/o/oauth2/token", true),
            ("https://sts.example.com/v1", true),
            ("http://127.0.0.1:8080/token", true),
            ("http://oauth2.googleapis.com/token", false),
            ("https://evilgoogleapis.com/token", false),
            ("https://googleapis.com.evil.com/token", false),
            ("https://googleapis.com@evil.com/token", false),
            ("https://sts.example.com:8443/v1", false),
            ("http://sts.example.com/v1", false),
            ("http://127.0.0.1:8081/token", false),
            ("file:///etc/passwd", false),
            ("/token", false),
        ] {
            assert_eq!(trust.issuer("token_uri", url).is_ok(), may, "{url}");
        }
        trust.universe = "example.goog".to_owned();
        assert!(trust.issuer("token_uri", "https://oauth2.example.goog/token").is_ok());
        assert!(trust.issuer("token_uri", "https://oauth2.googleapis.com/token").is_err());
    }

    #[test]
    fn a_witness_may_be_anywhere_over_tls_and_near_in_plaintext() {
        let trust = Trust::default();
        for (url, may) in [
            ("https://pipelines.actions.githubusercontent.com/x?y", true),
            ("http://169.254.169.254/metadata/identity", true),
            ("http://127.0.0.1:5000/token", true),
            ("http://[::1]:5000/token", true),
            ("http://idp.example.com/token", false),
            ("http://10.0.0.1/token", false),
        ] {
            assert_eq!(trust.witness("credential_source.url", url).is_ok(), may, "{url}");
        }
    }
}
