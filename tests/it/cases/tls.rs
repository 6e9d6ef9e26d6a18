//! Case 4: servers whose certificate is not to be trusted get no start, neither again nor in plaintext.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use runjob::{Client, Credentials, ErrorKind};
use tempfile::TempDir;
use tokio::{io::copy_bidirectional, net::TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
};

use super::{job, metadata::Metadata};
use crate::{
    cli::place::Place,
    client::frames::{self, Peer},
};

/// A TLS record that carries a handshake.
const HANDSHAKE: u8 = 22;

/// An authority, and the file that it is trusted by.
pub(crate) struct Authority {
    pub(crate) issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let folder = tempfile::tempdir().expect("a directory");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        fs::write(folder.path().join("ca.pem"), pem).expect("a file");
        Self { issuer: Issuer::new(params, key), folder }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// What a server of this name needs, with a certificate that is good until the beginning of this year.
    pub(crate) fn server(&self, name: &str, until: i32) -> ServerConfig {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(until, 1, 1));
        let certificate: CertificateDer<'static> = params.signed_by(&key, &self.issuer).expect("signed").into();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
        let mut config = config.expect("a pair");
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

/// The emulator behind TLS, and how many connections came in, all of which began with a handshake.
pub(crate) async fn behind_tls(place: &Place, config: ServerConfig) -> (Peer, Arc<AtomicUsize>) {
    let (acceptor, to) = (TlsAcceptor::from(Arc::new(config)), place.address());
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let peer = frames::raw(move |near: TcpStream| {
        let (acceptor, to, count) = (acceptor.clone(), to.clone(), Arc::clone(&count));
        async move {
            let mut first = [0];
            near.peek(&mut first).await?;
            assert_eq!(first[0], HANDSHAKE, "plaintext");
            count.fetch_add(1, Relaxed);
            let mut near = acceptor.accept(near).await?;
            let mut far = TcpStream::connect(&to).await?;
            copy_bidirectional(&mut near, &mut far).await.map(drop)
        }
    })
    .await;
    (peer, connections)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_to_be_trusted_ends_the_start_at_once_with_3() {
    let (place, metadata) = (Place::new().await, Metadata::start().await);
    let (trusted, other) = (Authority::new("trusted"), Authority::new("other"));
    for (config, status, why) in [
        (trusted.server("127.0.0.1", 2001), 3, "expired"),
        (trusted.server("example.com", 4000), 3, "not valid for name"),
        (other.server("127.0.0.1", 4000), 3, "UnknownIssuer"),
        // So that what is refused above is the certificate alone.
        (trusted.server("127.0.0.1", 4000), 0, "started"),
    ] {
        let (peer, connections) = behind_tls(&place, config).await;
        let line = format!("execute {} --endpoint=https://{}", job(), peer.address);
        let ran = metadata.ran(&line, &[("SSL_CERT_FILE", trusted.file().to_str().expect("Unicode"))]);
        let starts = usize::from(status == 0);
        assert_eq!((ran.status, place.starts(), connections.load(Relaxed)), (status, starts, 1), "{why}: {ran:#?}");
        assert!(ran.stderr.contains(why), "{why}: {ran:#?}");
    }
}

/// The same by the library, which trusts the machine's authorities here.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_nobody_knows_is_not_tried_again() {
    let place = Place::new().await;
    let (peer, connections) = behind_tls(&place, Authority::new("other").server("127.0.0.1", 4000)).await;
    let client = Client::builder().endpoint(format!("https://{}", peer.address)).credentials(Credentials::anonymous());
    let error = client.build().await.expect("a client").run(&job()).start().await.expect_err("not trusted");
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::NotStarted, false), "{error}");
    assert_eq!((place.starts(), connections.load(Relaxed)), (0, 1));
}
