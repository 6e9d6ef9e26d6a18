//! Ways to the server: roots and client certificates, a dialer of the caller, and connections made beforehand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use runjob::{
    AccessToken, Client, ClientBuilder, Credentials, ErrorKind, JobName, TokenError, TokenSource, emulator::Emulator,
};
use tokio::net::TcpStream;
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};

use crate::{
    cases::tls::{Authority, behind_tls},
    cli::{JOBS, place::Place},
    client::frames,
};

fn job() -> JobName {
    format!("{JOBS}/echo").parse().expect("a name")
}

/// An emulator at which only the token `canary` may do anything.
async fn guarded() -> Place {
    let builder = Emulator::builder().caller("canary", "user:me@example.com");
    Place::of(builder.grant("user:me@example.com", "roles/owner")).await
}

fn token() -> Credentials {
    Credentials::access_token("canary").expect("a token")
}

fn pem(authority: &Authority) -> Vec<u8> {
    std::fs::read(authority.file()).expect("it was written")
}

async fn refused(builder: ClientBuilder) -> String {
    let error = builder.build().await.expect_err("it cannot work");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    error.to_string()
}

#[tokio::test]
async fn an_authority_that_the_caller_names_is_trusted_and_no_other() {
    let (place, own, other) = (guarded().await, Authority::new("own"), Authority::new("other"));
    let (peer, _) = behind_tls(&place, own.server("127.0.0.1", 4000)).await;
    let builder = || Client::builder().endpoint(format!("https://{}", peer.address)).credentials(token());
    let client = builder().root_certificates(pem(&own)).expect("a certificate").build().await.expect("a client");
    assert_eq!(client.job(&job()).await.expect("a job").name, job().to_string());
    let client = builder().root_certificates(pem(&other)).expect("a certificate").build().await.expect("a client");
    let error = client.job(&job()).await.expect_err("not trusted");
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Unreachable, false), "{error}");
    for text in ["", "canary", "-----BEGIN CERTIFICATE-----\nY2FuYXJ5\n-----END CERTIFICATE-----\n"] {
        let error = Client::builder().root_certificates(text).expect_err("no certificate");
        assert!(error.to_string().contains("root certificates") && !error.to_string().contains("canary"), "{error}");
    }
}

/// A server that asks each client for a certificate of this authority.
fn mutual(authority: &Authority) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem(authority)).expect("a certificate")).expect("an authority");
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier");
    let key = KeyPair::generate().expect("a key");
    let names = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    let certificate: CertificateDer<'static> = names.signed_by(&key, &authority.issuer).expect("signed").into();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder().with_client_cert_verifier(verifier);
    let mut config = config.with_single_cert(vec![certificate], key).expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_server_that_asks_for_one() {
    let (place, authority) = (guarded().await, Authority::new("own"));
    let (peer, _) = behind_tls(&place, mutual(&authority)).await;
    let key = KeyPair::generate().expect("a key");
    let names = CertificateParams::new(["me".to_owned()]).expect("a name");
    let chain = names.signed_by(&key, &authority.issuer).expect("signed").pem();
    let key = key.serialize_pem();
    let builder = || {
        let builder = Client::builder().endpoint(format!("https://{}", peer.address)).credentials(token());
        builder.root_certificates(pem(&authority)).expect("a certificate")
    };
    let client = builder().client_certificate(&chain, &key).expect("a pair").build().await.expect("a client");
    assert_eq!(client.job(&job()).await.expect("a job").name, job().to_string());
    assert!(builder().build().await.expect("a client").job(&job()).await.is_err(), "there is no certificate");

    let other = KeyPair::generate().expect("a key").serialize_pem();
    let text = refused(builder().client_certificate(&chain, other).expect("both are PEM")).await;
    assert!(text.contains("client certificate"), "{text}");
    for (chain, key) in [("canary", key.as_str()), (&chain, "canary")] {
        let error = Client::builder().client_certificate(chain, key).expect_err("not PEM").to_string();
        assert!(error.contains("client certificate") && !error.contains("canary"), "{error}");
    }
    let plain = Client::builder().endpoint("http://127.0.0.1:1").credentials(token());
    let text = refused(plain.client_certificate(&chain, &key).expect("a pair")).await;
    assert!(text.contains("plaintext"), "{text}");
}

#[tokio::test]
async fn a_dialer_of_the_caller_leads_to_the_server_under_our_tls_and_credentials() {
    let (place, authority) = (guarded().await, Authority::new("own"));
    let (peer, _) = behind_tls(&place, authority.server("localhost", 4000)).await;
    let address = peer.address;
    let dialer = tower::service_fn(move |uri: http::Uri| async move {
        assert_eq!(uri, "https://localhost:1/");
        TcpStream::connect(address).await.map(TokioIo::new)
    });
    let builder = Client::builder().endpoint("https://localhost:1").credentials(token()).dial(dialer);
    let client = builder.root_certificates(pem(&authority)).expect("a certificate").build().await.expect("a client");
    assert_eq!(client.job(&job()).await.expect("a job").name, job().to_string());
}

#[tokio::test]
async fn settings_that_do_not_go_together_are_refused() {
    let dialer = tower::service_fn(|_: http::Uri| async { TcpStream::connect("127.0.0.1:1").await.map(TokioIo::new) });
    let builder = || Client::builder().credentials(token());
    for (builder, why) in [
        (builder().endpoint("http://127.0.0.1:1").dial(dialer), "plaintext"),
        (builder().dial(dialer).proxy("http://127.0.0.1:1"), "proxy has no part"),
        (Client::builder().connector(dialer).proxy("http://127.0.0.1:1"), "leave the proxy out"),
        (Client::builder().connector(dialer).dial(dialer), "leave one of them out"),
        (builder().proxy("socks5://canary"), "names no proxy"),
    ] {
        let text = refused(builder).await;
        assert!(text.contains(why) && !text.contains("canary"), "{text}");
    }
}

/// Counts its tokens.
struct Counted(Arc<AtomicUsize>);

impl TokenSource for Counted {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        self.0.fetch_add(1, Relaxed);
        Ok(AccessToken::new("canary"))
    }
}

#[tokio::test]
async fn a_client_that_was_warmed_up_has_its_connection_and_its_token_and_has_called_nothing() {
    let (place, authority, tokens) = (guarded().await, Authority::new("own"), Arc::<AtomicUsize>::default());
    let (peer, connections) = behind_tls(&place, authority.server("127.0.0.1", 4000)).await;
    let builder = Client::builder().endpoint(format!("https://{}", peer.address));
    let builder = builder.credentials(Credentials::from_source("counted", Counted(Arc::clone(&tokens))));
    let client = builder.root_certificates(pem(&authority)).expect("a certificate").build().await.expect("a client");
    client.warm_up().await.expect("it is there");
    assert_eq!((connections.load(Relaxed), tokens.load(Relaxed)), (1, 1));
    assert!(place.emulator.journal().is_empty());
    client.job(&job()).await.expect("a job");
    assert_eq!((connections.load(Relaxed), tokens.load(Relaxed)), (1, 1));

    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let builder = Client::builder().endpoint(format!("https://{closed}")).credentials(token());
    let error = builder.build().await.expect("a client").warm_up().await.expect_err("nothing listens");
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
}

#[tokio::test]
async fn a_proxy_that_hangs_is_named_within_the_connect_timeout() {
    let proxy = frames::raw(|socket| async move {
        let _held = socket;
        std::future::pending().await
    })
    .await;
    let builder = Client::builder().endpoint("https://run.invalid").credentials(token());
    let builder = builder.proxy(format!("http://me:canary@{}", proxy.address));
    let client = builder.connect_timeout(Duration::from_millis(200)).build().await.expect("a client");
    let error = client.warm_up().await.expect_err("it hangs");
    let text = format!("no connection to the service by the proxy {} within 0.2 s", proxy.address);
    assert_eq!((error.to_string(), error.is_retryable()), (text, true));
}
