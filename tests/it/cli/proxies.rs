//! The way through an HTTP proxy and around it: the start, its wait and its token, by what variables say.

use std::{
    fs,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use runjob::emulator::Emulator;
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncWriteExt as _, copy_bidirectional},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use super::{
    JOBS, Ran,
    credentials::{answer, certified, head},
    place::Place,
    runjob,
};
use crate::{
    cases::tls::Authority,
    client::frames::{self, Peer},
};

/// What a proxy does with each CONNECT.
#[derive(Clone, Copy)]
enum Manner {
    /// Leads to what stands behind it, whatever is asked for.
    Leads,
    /// Wants a password (RFC 9110 15.5.8).
    Refuses,
}

/// A proxy, and the first line and the password of each request that it has had.
async fn proxy(manner: Manner, to: &Peer) -> (Peer, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let (noted, to) = (Arc::clone(&asked), to.address);
    let peer = frames::raw(move |mut near: TcpStream| {
        let noted = Arc::clone(&noted);
        async move {
            let head = head(&mut near).await?;
            let password = head.lines().find_map(|line| line.strip_prefix("Proxy-Authorization: Basic "));
            let line = head.lines().next().unwrap_or_default();
            noted.lock().expect("no panic").push([line, password.unwrap_or_default()].join(" ").trim().to_owned());
            match manner {
                Manner::Leads => {
                    near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                    copy_bidirectional(&mut near, &mut TcpStream::connect(to).await?).await.map(drop)
                }
                Manner::Refuses => near.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await,
            }
        }
    })
    .await;
    (peer, asked)
}

/// A token server and Cloud Run behind one address, told apart by ALPN, and how many connections it has had.
async fn behind(place: &Place, authority: &Authority) -> (Peer, Arc<AtomicUsize>) {
    let (acceptor, emulator) = (TlsAcceptor::from(Arc::new(certified(authority, NAMES))), place.address());
    let connections: Arc<AtomicUsize> = Arc::default();
    let count = Arc::clone(&connections);
    let peer = frames::raw(move |near: TcpStream| {
        let (acceptor, emulator) = (acceptor.clone(), emulator.clone());
        count.fetch_add(1, Relaxed);
        async move {
            let mut near = acceptor.accept(near).await?;
            if near.get_ref().1.alpn_protocol() == Some(b"h2") {
                return copy_bidirectional(&mut near, &mut TcpStream::connect(emulator).await?).await.map(drop);
            }
            answer(&mut near, r#"{"access_token": "canary-user", "expires_in": 3600}"#).await.map(drop)
        }
    })
    .await;
    (peer, connections)
}

/// Names that resolve nowhere, so that only a proxy leads to them.
const NAMES: [&str; 3] = ["run.invalid", "token.invalid", "127.0.0.1"];

/// A gcloud user whose token server is there.
fn user(folder: &TempDir, token_server: &str) -> String {
    let token_uri = format!("https://{token_server}/token");
    let user = json!({"type": "authorized_user", "client_id": "a", "client_secret": "canary-secret",
                      "refresh_token": "canary-refresh", "token_uri": token_uri});
    let path = folder.path().join("user.json");
    fs::write(&path, user.to_string()).expect("a file");
    path.to_str().expect("Unicode").to_owned()
}

/// The program with this line and this user, at a service and a token server.
fn through(authority: &Authority, user: &str, servers: [&str; 2], line: &str, variables: &[(&str, &str)]) -> Command {
    let ca = authority.file().display().to_string();
    let [service, token_server] = servers;
    let mut command = runjob(&format!("{line} --ca-file={ca} --endpoint=https://{service}"));
    command.env("GOOGLE_APPLICATION_CREDENTIALS", user).env("RUNJOB_TRUSTED_TOKEN_SERVERS", token_server);
    command.envs(variables.iter().copied());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_its_wait_and_its_token_go_through_the_proxy_and_around_it_where_no_proxy_says_so() {
    let place = Place::of(Emulator::builder().require_token("canary-user")).await;
    let (authority, folder) = (Authority::new("own"), tempfile::tempdir().expect("a directory"));
    let far = ["run.invalid:443", "token.invalid:443"];
    let both = ["CONNECT run.invalid:443 HTTP/1.1", "CONNECT token.invalid:443 HTTP/1.1"];
    for (variable, exceptions, expected) in [
        ("HTTPS_PROXY", "other.invalid", both.to_vec()),
        ("https_proxy", "", both.to_vec()),
        // Each on its own: what is excepted does not resolve, so it is not reached, and the other one was asked for.
        ("HTTPS_PROXY", "token.invalid", vec![both[0]]),
        ("https_proxy", ".token.invalid:443", vec![both[0]]),
        ("HTTPS_PROXY", "run.invalid", vec![both[1]]),
    ] {
        place.emulator.reset();
        let (servers, _) = behind(&place, &authority).await;
        let (proxy, asked) = proxy(Manner::Leads, &servers).await;
        let url = format!("http://me:canary@{}", proxy.address);
        let variables = [(variable, url.as_str()), ("NO_PROXY", exceptions)];
        let line = format!("execute {JOBS}/echo --wait");
        let ran = Ran::of(through(&authority, &user(&folder, far[1]), far, &line, &variables));
        let works = expected.len() == 2;
        assert_eq!((ran.status == 0, place.starts()), (works, usize::from(works)), "{exceptions}: {ran:#?}");
        assert!(works || ran.stderr.contains("does not resolve"), "{exceptions}: {ran:#?}");
        assert!(!ran.stderr.contains("canary"), "{ran:#?}");
        let mut asked = std::mem::take(&mut *asked.lock().expect("no panic"));
        asked.sort();
        asked.dedup();
        // "me:canary", as RFC 7617 writes it.
        let expected: Vec<_> = expected.iter().map(|line| format!("{line} bWU6Y2FuYXJ5")).collect();
        assert_eq!(asked, expected, "{exceptions}");
    }
}

/// Addresses of this machine need no entry in `NO_PROXY`.
#[tokio::test(flavor = "multi_thread")]
async fn servers_on_this_machine_are_reached_without_the_proxy() {
    let place = Place::of(Emulator::builder().require_token("canary-user")).await;
    let (authority, folder) = (Authority::new("own"), tempfile::tempdir().expect("a directory"));
    let (servers, connections) = behind(&place, &authority).await;
    let near = servers.address.to_string();
    let (proxy, asked) = proxy(Manner::Leads, &servers).await;
    let url = format!("http://{}", proxy.address);
    let line = format!("execute {JOBS}/echo --wait");
    let ran = Ran::of(through(&authority, &user(&folder, &near), [&near, &near], &line, &[("HTTPS_PROXY", &url)]));
    assert_eq!((ran.status, place.starts(), connections.load(Relaxed)), (0, 1, 2), "{ran:#?}");
    assert!(asked.lock().expect("no panic").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_wants_a_password_is_named_and_asked_once_and_nothing_starts() {
    let place = Place::of(Emulator::builder().require_token("canary-user")).await;
    let authority = Authority::new("own");
    let far = ["run.invalid:443", "token.invalid:443"];
    // A wait rides out what passes, and this does not.
    for (line, status) in [(format!("execute {JOBS}/echo"), 3), (format!("wait {JOBS}/echo/executions/echo-abcde"), 8)]
    {
        let (servers, _) = behind(&place, &authority).await;
        let (proxy, asked) = proxy(Manner::Refuses, &servers).await;
        let url = format!("http://me:canary@{}", proxy.address);
        let mut command = through(&authority, "", far, &line, &[("HTTPS_PROXY", &url)]);
        command.env_remove("GOOGLE_APPLICATION_CREDENTIALS").env("CLOUDSDK_AUTH_ACCESS_TOKEN", "canary-user");
        let ran = Ran::of(command);
        assert_eq!((ran.status, place.starts()), (status, 0), "{line}: {ran:#?}");
        let why = format!("by the proxy {}: tunnel error: proxy authorization required", proxy.address);
        assert!(ran.stderr.contains(&why) && !ran.stderr.contains("canary"), "{line}: {ran:#?}");
        assert_eq!(asked.lock().expect("no panic").len(), 1, "{line}");
    }
}
