//! Which server: an endpoint as people write it, parsed and made safe. No I/O.

use std::{
    fmt::{self, Display, Formatter},
    net::IpAddr,
};

use http::{Uri, uri::Scheme};

use crate::error::{Error, ErrorKind, Result};

/// A server to connect to: scheme, host and port, and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServerAddress {
    uri: Uri,
}

impl ServerAddress {
    /// The service itself: the regional host when a region is known, else the global one.
    pub(crate) fn service(region: Option<&str>) -> Result<Self> {
        match region {
            Some(region) => Self::parse(&format!("https://{region}-run.googleapis.com")),
            None => Self::parse("https://run.googleapis.com"),
        }
    }

    /// `https://HOST[:PORT]`, `http://HOST[:PORT]` or `HOST[:PORT]`, which means https.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        Self::from_url(text, &whole)
    }

    /// The address of an emulator, as `RUN_EMULATOR_HOST` has it: `HOST:PORT`, always plaintext.
    pub(crate) fn emulator(text: &str) -> Result<Self> {
        if text.contains("://") && !text.starts_with("http://") {
            return Err(invalid(text, "an emulator speaks plaintext; write HOST:PORT"));
        }
        let target = Self::from_url(text, &format!("http://{}", text.trim_start_matches("http://")))?;
        match target.uri.port() {
            Some(_) => Ok(target),
            None => Err(invalid(text, "the port is missing; write HOST:PORT")),
        }
    }

    fn from_url(text: &str, url: &str) -> Result<Self> {
        let uri: Uri = url.parse().map_err(|_| invalid(text, "it is not a URL; write https://HOST[:PORT]"))?;
        if uri.scheme() != Some(&Scheme::HTTPS) && uri.scheme() != Some(&Scheme::HTTP) {
            return Err(invalid(text, "the scheme must be https:// or http://"));
        }
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            // Not repeated: what stands before the @ may be a password.
            return Err(invalid("(not shown)", "it has user information before an @; leave that out"));
        }
        if uri.host().is_none_or(str::is_empty) {
            return Err(invalid(text, "the host is missing"));
        }
        let port_text = authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        if port_text.is_some() && uri.port_u16().is_none_or(|port| port == 0) {
            return Err(invalid(text, "the port must be a number from 1 to 65535"));
        }
        if uri.path().len() > 1 || uri.query().is_some() || url.contains('#') {
            return Err(invalid(text, "it has a path or a query; gRPC takes only https://HOST[:PORT]"));
        }
        Ok(Self { uri })
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }

    /// Lets a bearer token be sent there: over TLS, or in plaintext within this machine, unless the caller's own dialer
    /// may lead elsewhere.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) when it would travel in plaintext to another machine.
    pub(crate) fn check_for_tokens(&self, is_dialed_elsewhere: bool) -> Result<()> {
        if self.is_tls() || (self.is_loopback() && !is_dialed_elsewhere) {
            return Ok(());
        }
        let message = format!(
            "endpoint {self} is plaintext, and a bearer token is sent in plaintext to this machine only: \
             write https://, or use no credentials"
        );
        Err(Error::new(ErrorKind::InvalidInput, message))
    }

    fn is_loopback(&self) -> bool {
        let host = self.uri.host().unwrap_or_default();
        match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            // The one name that RFC 6761 reserves for loopback.
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// The server as a URL without a path.
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }
}

impl Display for ServerAddress {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        write!(f, "{scheme}://{}", self.uri.authority().map_or("", |authority| authority.as_str()))
    }
}

fn invalid(text: &str, why: &str) -> Error {
    let text: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    Error::new(ErrorKind::InvalidInput, format!("endpoint \"{text}\": {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_scheme_a_host_and_a_port() {
        for (text, printed) in [
            ("run.googleapis.com", "https://run.googleapis.com"),
            ("https://run.googleapis.com/", "https://run.googleapis.com"),
            ("http://127.0.0.1:8085", "http://127.0.0.1:8085"),
            ("[::1]:443", "https://[::1]:443"),
        ] {
            assert_eq!(ServerAddress::parse(text).expect(text).to_string(), printed);
        }
        assert_eq!(ServerAddress::emulator("localhost:8085").expect("HOST:PORT").to_string(), "http://localhost:8085");
        assert_eq!(
            ServerAddress::service(Some("us-central1")).expect("regional").to_string(),
            "https://us-central1-run.googleapis.com"
        );
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        for (text, reason) in [
            ("https://host/v2", "path"),
            ("https://host?x=1", "query"),
            ("https://host#x", "path"),
            ("ftp://host", "scheme"),
            ("https://", "not a URL"),
            ("", "not a URL"),
            ("https://host:99999", "port"),
            ("https://host:0", "port"),
            ("https://host:", "port"),
            ("ho st", "not a URL"),
        ] {
            let error = ServerAddress::parse(text).expect_err(text);
            assert!(error.to_string().contains(reason), "{text}: {error}");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        assert!(ServerAddress::emulator("localhost").is_err());
        assert!(ServerAddress::emulator("https://localhost:1").is_err());
    }

    #[test]
    fn user_information_is_refused_and_not_repeated() {
        let error = ServerAddress::parse("https://me:canary@host").expect_err("user information");
        assert!(!error.to_string().contains("canary"));
    }

    #[test]
    fn tokens_travel_over_tls_or_within_this_machine() {
        for (text, may) in [
            ("https://example.com", true),
            ("http://127.0.0.1:1", true),
            ("http://127.8.9.1:1", true),
            ("http://[::1]:1", true),
            ("http://LocalHost:1", true),
            ("http://localhost.example.com:1", false),
            ("http://10.0.0.1:1", false),
            ("http://0.0.0.0:1", false),
            ("http://[::ffff:10.0.0.1]:1", false),
        ] {
            assert_eq!(ServerAddress::parse(text).expect(text).check_for_tokens(false).is_ok(), may, "{text}");
        }
    }
}
