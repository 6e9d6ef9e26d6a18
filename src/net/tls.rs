//! TLS by rustls: which roots are trusted, which certificate is shown, and which protocol is spoken inside.

use std::{io, sync::Arc};

use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    },
};

use crate::error::{Error, ErrorKind, Result};

/// What a server speaks that says nothing about it.
const HTTP_1: &[u8] = b"http/1.1";

/// Makes TLS connections that offer one application protocol.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    protocol: &'static [u8],
}

impl Tls {
    /// TLS with these certificates.
    ///
    /// # Errors
    /// When a client certificate and its key do not fit together.
    pub(crate) fn new(protocol: &'static [u8], certificates: &Certificates) -> Result<Self> {
        let unusable = |cause| Error::new(ErrorKind::InvalidInput, "no TLS on this machine").with_source(cause);
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(certificates.roots.store());
        let mut config = match &certificates.identity {
            None => config.with_no_client_auth(),
            Some(Identity { chain, key }) => config
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|cause| invalid("client certificate", &cause.to_string()))?,
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), protocol })
    }

    /// Shakes hands over a connection to the host of this URL.
    ///
    /// # Errors
    /// [`Unreachable`](ErrorKind::Unreachable), for which another attempt is pointless when the peer's certificate is
    /// not accepted; [`NotGrpc`](ErrorKind::NotGrpc) when the peer does not speak the protocol.
    pub(crate) async fn handshake<S>(&self, socket: S, uri: &Uri) -> Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|cause| {
            Error::new(ErrorKind::InvalidInput, format!("{host} is no host that TLS can name")).with_source(cause)
        })?;
        let stream = self.connector.connect(name, socket).await.map_err(refused)?;
        // A server of HTTP/1.1 need not know ALPN; HTTP/2 needs it (RFC 9113 3.2).
        let agreed = stream.get_ref().1.alpn_protocol().unwrap_or(HTTP_1);
        if agreed != self.protocol {
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

/// Whom a connection trusts, and what it shows for itself.
#[derive(Clone, Default)]
pub(crate) struct Certificates {
    pub(crate) roots: Roots,
    pub(crate) identity: Option<Identity>,
}

/// A client certificate: its chain and its key.
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// The certificate, with what leads to its authority, and its key, both as PEM. Whether they fit together shows when
    /// TLS is set up.
    ///
    /// # Errors
    /// When a text holds no certificate or no key.
    pub(crate) fn pem(chain: &[u8], key: &[u8]) -> Result<Self> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| invalid("client certificate", "there is no certificate as PEM"))?;
        // The cause is left out: it may quote what was given, which is a secret.
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| invalid("client certificate", "there is no private key as PEM"))?;
        Ok(Self { chain, key })
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// Which certificate authorities are trusted.
#[derive(Clone, Default)]
pub(crate) enum Roots {
    /// The machine's; a machine without any, such as a slim container, gets Mozilla's.
    #[default]
    Machine,
    /// These, and no others.
    Given(Arc<RootCertStore>),
}

impl Roots {
    /// The certificates of this PEM text.
    ///
    /// # Errors
    /// When it has no certificate that can be used.
    pub(crate) fn pem(text: &[u8]) -> Result<Self> {
        let unusable = |why| invalid("root certificates", why);
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(text) {
            let certificate = certificate.map_err(|_| unusable("not PEM"))?;
            store.add(certificate).map_err(|_| unusable("one of them cannot be used"))?;
        }
        if store.is_empty() { Err(unusable("there is no certificate")) } else { Ok(Self::Given(Arc::new(store))) }
    }

    fn store(&self) -> Arc<RootCertStore> {
        let mut roots = match self {
            Self::Given(roots) => return Arc::clone(roots),
            Self::Machine => RootCertStore::empty(),
        };
        // What cannot be loaded is missing at the handshake, which says so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Arc::new(roots)
    }
}

fn invalid(what: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("{what}: {why}"))
}
