//! Who the program calls as, and by which way: flags, variables and gcloud's configuration, in this order.

use std::{
    fs,
    io::{self, ErrorKind::InvalidInput},
    path::Path,
    sync::{Arc, Mutex},
};

use rcgen::{CertificateParams, KeyPair};
use runjob::emulator::Emulator;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::TcpStream,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
};

use super::{JOBS, Ran, place::Place, ran, runjob};
use crate::{
    cases::tls::Authority,
    client::frames::{self, Peer},
};

/// A service that notes the `authorization` of each request, and answers it with NOT_FOUND.
pub(super) async fn noting() -> (Peer, Arc<Mutex<Vec<String>>>) {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&seen);
    let peer = frames::raw(move |socket| {
        let noted = Arc::clone(&noted);
        async move {
            let Ok(mut connection) = h2::server::handshake(socket).await else { return Ok(()) };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let value = request.headers().get("authorization").map_or("", |value| value.to_str().expect("text"));
                noted.lock().expect("no panic").push(value.to_owned());
                let head =
                    http::Response::builder().header("content-type", "application/grpc").header("grpc-status", "5");
                let _ = respond.send_response(head.body(()).expect("a head"), true);
            }
            Ok(())
        }
    })
    .await;
    (peer, seen)
}

/// A directory of gcloud with this configuration, and files that hold tokens: `flag`, `variable`, `property`.
fn gcloud(configuration: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    fs::create_dir(folder.path().join("configurations")).expect("a directory");
    write("configurations/config_default", configuration);
    for name in ["flag", "variable", "property"] {
        write(name, &format!("canary-{name}\n"));
    }
    folder
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().expect("Unicode").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_comes_from_the_flag_else_the_variable_else_gclouds_property() {
    let (peer, seen) = noting().await;
    let folder = gcloud("");
    let property = format!("[auth]\naccess_token_file = {}\n", path(&folder, "property"));
    fs::write(folder.path().join("configurations/config_default"), property).expect("a file");
    let flag = format!("--access-token-file={}", path(&folder, "flag"));
    let file = ("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", path(&folder, "variable"));
    let token = ("CLOUDSDK_AUTH_ACCESS_TOKEN", "canary-token".to_owned());
    for (flag, variables, expected) in [
        (flag.as_str(), vec![&file, &token], "Bearer canary-flag"),
        ("", vec![&file, &token], "Bearer canary-token"),
        ("", vec![&file], "Bearer canary-variable"),
        ("", vec![], "Bearer canary-property"),
    ] {
        let mut command =
            runjob(&format!("describe echo-abcde --project=p --region=r --endpoint=http://{} {flag}", peer.address));
        command.env("CLOUDSDK_CONFIG", folder.path());
        command.envs(variables.into_iter().map(|(name, value)| (name, value)));
        let ran = Ran::of(command);
        assert_eq!(ran.status, 7, "{ran:#?}");
        assert!(!ran.stderr.contains("canary"), "{ran:#?}");
        assert_eq!(seen.lock().expect("no panic").pop().as_deref(), Some(expected));
    }
}

#[test]
fn flags_that_an_emulator_cannot_use_are_refused() {
    for flag in
        ["--access-token-file=/x", "--impersonate-service-account=a@b.c", "--proxy=http://h:1", "--ca-file=/dev/null"]
    {
        let name = flag.split('=').next().expect("a flag");
        let by_flag = ran(&format!("jobs list --emulator {flag}"));
        assert_eq!(by_flag.status, 2, "{by_flag:#?}");
        assert!(by_flag.stderr.contains(name) && by_flag.stderr.contains("--emulator"), "{by_flag:#?}");
        if name == "--ca-file" {
            continue;
        }
        let mut command = runjob(&format!("jobs list {flag}"));
        command.env("RUN_EMULATOR_HOST", "127.0.0.1:1");
        let by_variable = Ran::of(command);
        assert_eq!(by_variable.status, 2, "{by_variable:#?}");
        let expected = format!("error: {name} is for the service, and RUN_EMULATOR_HOST names an emulator");
        assert!(by_variable.stderr.starts_with(&expected), "{by_variable:#?}");
    }
}

#[test]
fn credentials_and_ways_that_cannot_be_used_are_named_and_not_shown() {
    let folder = gcloud("");
    let line = "jobs list --project=p --region=r --endpoint=https://192.0.2.1";
    let file = path(&folder, "flag");
    for (flags, status, expected) in [
        ("--access-token-file=/nowhere/token".to_owned(), 6, "/nowhere/token"),
        (format!("--access-token-file={file} --impersonate-service-account=canary"), 6, "is no service account"),
        (format!("--access-token-file={file} --proxy=socks5://canary"), 2, "names no proxy that can be used"),
        (format!("--access-token-file={file} --ca-file=/nowhere/ca.pem"), 2, "--ca-file: /nowhere/ca.pem"),
        (format!("--ca-file={file}"), 2, "root certificates: there is no certificate"),
    ] {
        let ran = ran(&format!("{line} {flags}"));
        assert_eq!((ran.status, ran.stdout.as_str()), (status, ""), "{ran:#?}");
        assert!(ran.stderr.contains(expected) && !ran.stderr.contains("canary-flag"), "{ran:#?}");
    }
    let mut command = runjob(line);
    command.env("CLOUDSDK_AUTH_ACCESS_TOKEN", "canary\n1");
    let ran = Ran::of(command);
    assert_eq!(ran.status, 6, "{ran:#?}");
    assert!(
        ran.stderr.contains("CLOUDSDK_AUTH_ACCESS_TOKEN cannot be used") && !ran.stderr.contains("canary"),
        "{ran:#?}"
    );
}

/// A proxy that is all of Google behind it: the IAM Credentials API, and the emulator as Cloud Run. It notes what it is
/// asked for, and with which authorization.
async fn google(place: &Place, authority: &Authority) -> (Peer, Arc<Mutex<Vec<String>>>) {
    let config = certified(authority, ["iamcredentials.googleapis.com", "us-central1-run.googleapis.com"]);
    let (acceptor, emulator) = (TlsAcceptor::from(Arc::new(config)), place.address());
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&asked);
    let peer = frames::raw(move |mut near: TcpStream| {
        let (acceptor, emulator, noted) = (acceptor.clone(), emulator.clone(), Arc::clone(&noted));
        async move {
            let note = |text: &str| noted.lock().expect("no panic").push(text.to_owned());
            note(head(&mut near).await?.lines().next().unwrap_or_default());
            near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            let mut near = acceptor.accept(near).await?;
            if near.get_ref().1.alpn_protocol() == Some(b"h2") {
                return copy_bidirectional(&mut near, &mut TcpStream::connect(emulator).await?).await.map(drop);
            }
            let head =
                answer(&mut near, r#"{"accessToken": "canary-account", "expireTime": "2100-01-01T00:00:00Z"}"#).await?;
            note(head.lines().next().unwrap_or_default());
            note(head.lines().find(|line| line.starts_with("authorization")).unwrap_or_default());
            Ok(())
        }
    })
    .await;
    (peer, asked)
}

/// What a server of these names needs that speaks HTTP/2 and HTTP/1.1.
pub(super) fn certified<const N: usize>(authority: &Authority, names: [&str; N]) -> ServerConfig {
    let key = KeyPair::generate().expect("a key");
    let certificate =
        CertificateParams::new(names.map(str::to_owned)).expect("names").signed_by(&key, &authority.issuer);
    let certificate: CertificateDer<'static> = certificate.expect("signed").into();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    let mut config = config.expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// Answers one request with this JSON, and returns the request's head.
pub(super) async fn answer(socket: &mut (impl AsyncRead + AsyncWrite + Unpin), json: &str) -> io::Result<String> {
    let head = head(socket).await?;
    let length = json.len();
    socket.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{json}").as_bytes()).await?;
    Ok(head)
}

/// The head of a request, and what came with it.
pub(super) async fn head(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut text = String::new();
    while !text.contains("\r\n\r\n") {
        let mut bytes = [0; 4096];
        match socket.read(&mut bytes).await? {
            0 => return Err(io::Error::new(InvalidInput, "it broke off")),
            count => text += &String::from_utf8_lossy(&bytes[..count]),
        }
    }
    Ok(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_as_another_account_goes_through_the_proxy_with_its_token_and_trusts_the_authority_given() {
    // With a token of its own the emulator lets itself be called by any name, also by that of Cloud Run.
    let place = Place::of(Emulator::builder().require_token("canary-account")).await;
    let authority = Authority::new("own");
    let (proxy, asked) = google(&place, &authority).await;
    let folder = gcloud("[auth]\nimpersonate_service_account = nobody@acme.iam.gserviceaccount.com\n");
    let line = |flags: &str| {
        let (token, ca) = (path(&folder, "flag"), authority.file());
        let place = "--project=demo --region=us-central1";
        format!("execute echo {place} --access-token-file={token} --ca-file={} {flags}", Path::new(&ca).display())
    };
    let account = "it@acme.iam.gserviceaccount.com";
    // Flags win over a variable, and a variable over the property.
    for (flags, variables) in [
        (
            format!("--impersonate-service-account={account} --proxy=http://me:canary@{}", proxy.address),
            vec![("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", "nobody@x.y".to_owned())],
        ),
        (
            String::new(),
            vec![
                ("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", account.to_owned()),
                ("HTTPS_PROXY", format!("http://{}", proxy.address)),
            ],
        ),
    ] {
        place.emulator.reset();
        let mut command = runjob(&line(&flags));
        command.env("CLOUDSDK_CONFIG", folder.path()).envs(variables);
        let ran = Ran::of(command);
        assert_eq!((ran.status, &ran.stdout), (0, &format!("{JOBS}/echo/executions/echo-ID\n")), "{ran:#?}");
        assert_eq!(place.starts(), 1);
        assert!(!ran.stderr.contains("canary"), "{ran:#?}");
        let mut asked = std::mem::take(&mut *asked.lock().expect("no panic"));
        asked.sort();
        assert_eq!(
            asked,
            [
                "CONNECT iamcredentials.googleapis.com:443 HTTP/1.1",
                "CONNECT us-central1-run.googleapis.com:443 HTTP/1.1",
                "POST /v1/projects/-/serviceAccounts/it@acme.iam.gserviceaccount.com:generateAccessToken HTTP/1.1",
                "authorization: Bearer canary-flag",
            ]
        );
    }
}
