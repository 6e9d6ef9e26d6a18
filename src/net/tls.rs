//! TLS by rustls: which roots are trusted, and which protocol is spoken inside.

use std::{io, sync::Arc};

use http::Uri;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

use crate::error::{Error, ErrorKind, Result};

/// Makes TLS connections that offer one application protocol.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    protocol: &'static [u8],
}

impl Tls {
    /// TLS with the machine's root certificates; a machine without any, such as a slim container, gets Mozilla's.
    ///
    /// # Errors
    /// When rustls refuses its own defaults, which no known platform does.
    pub(crate) fn new(protocol: &'static [u8]) -> Result<Self> {
        let unusable = |cause| Error::new(ErrorKind::InvalidInput, "no TLS on this machine").with_source(cause);
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(roots())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), protocol })
    }

    /// Shakes hands over a connection to the host of this URL.
    ///
    /// # Errors
    /// [`Unreachable`](ErrorKind::Unreachable), for which another attempt is pointless when the peer's certificate is
    /// not accepted; [`NotGrpc`](ErrorKind::NotGrpc) when the peer does not speak the protocol.
    pub(crate) async fn handshake(&self, tcp: TcpStream, uri: &Uri) -> Result<TlsStream<TcpStream>> {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|cause| {
            Error::new(ErrorKind::InvalidInput, format!("{host} is no host that TLS can name")).with_source(cause)
        })?;
        let stream = self.connector.connect(name, tcp).await.map_err(refused)?;
        if stream.get_ref().1.alpn_protocol() != Some(self.protocol) {
            let protocol = String::from_utf8_lossy(self.protocol);
            let message = format!("the server does not agree on the protocol {protocol} (ALPN), which is needed here");
            return Err(Error::new(ErrorKind::NotGrpc, message));
        }
        Ok(stream)
    }
}

/// A failed handshake. rustls reports what it finds wrong with the peer as `InvalidData`: that does not pass.
fn refused(cause: io::Error) -> Error {
    let error = Error::new(ErrorKind::Unreachable, format!("no connection to the service: TLS: {cause}"));
    if cause.kind() == io::ErrorKind::InvalidData { error.lasting() } else { error }
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // What cannot be loaded is missing at the handshake, which says so.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}
