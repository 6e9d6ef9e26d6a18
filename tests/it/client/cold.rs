//! What a cold start costs: how often something goes to a server that is far away and comes back, until a start is
//! accepted. TCP, TLS and the call, and nothing else.
//!
//! The library is measured on tokio's paused clock, where only distance takes time, so that the time counts the round
//! trips. The program is measured by what it opens and asks.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use runjob::{
    AccessToken, Client, Credentials, JobName, TokenError, TokenSource,
    emulator::{Emulator, Rpc, Runtime, Simulation},
};
use serde_json::json;
use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, copy_bidirectional, duplex, split,
    },
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tower::{Service as _, service_fn};

use super::frames;
use crate::{
    cases::{
        metadata::Metadata,
        tls::{Authority, behind_tls},
    },
    cli::{JOBS, Ran, place::Place},
    program::runjob,
};

/// How far away the server is, there or back.
const WAY: Duration = Duration::from_millis(50);

/// A key that nothing accepts.
const KEY: &str = include_str!("../../../src/auth/tests/key.pem");

fn job() -> JobName {
    format!("{JOBS}/echo").parse().expect("a name")
}

fn key_file() -> String {
    let token_uri = "https://oauth2.googleapis.com/token";
    json!({"type": "service_account", "client_email": "a@b.c", "private_key": KEY, "token_uri": token_uri}).to_string()
}

/// Two ends of a connection, each of which hears the other one a way later.
fn distant() -> (DuplexStream, DuplexStream) {
    let ((near, there), (back, far)) = (duplex(1 << 20), duplex(1 << 20));
    let ((from_near, to_near), (from_far, to_far)) = (split(there), split(back));
    tokio::spawn(carry(from_near, to_far));
    tokio::spawn(carry(from_far, to_near));
    (near, far)
}

async fn carry(mut from: impl AsyncRead + Unpin + Send, mut to: impl AsyncWrite + Unpin + Send + 'static) {
    let (depart, mut arrive) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, bytes)) = arrive.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let _ = depart.send((Instant::now() + WAY, bytes[..count].to_vec()));
    }
}

/// A token server of the caller's that answers after this long.
struct Takes(Duration);

impl TokenSource for Takes {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        sleep(self.0).await;
        Ok(AccessToken::new("canary"))
    }
}

/// How long a start takes on this clock, over a new connection to this emulator behind TLS.
async fn cold_start(emulator: &Emulator, authority: &Authority, credentials: Credentials) -> Duration {
    let config: ServerConfig = authority.server("localhost", 4000);
    let (acceptor, service) = (TlsAcceptor::from(Arc::new(config)), emulator.connector());
    let dialer = service_fn(move |uri: Uri| {
        let (acceptor, mut service) = (acceptor.clone(), service.clone());
        async move {
            // The handshake of TCP.
            sleep(2 * WAY).await;
            let (near, far) = distant();
            tokio::spawn(async move {
                let mut far = acceptor.accept(far).await?;
                let mut service = TokioIo::new(service.call(uri).await.expect("it runs"));
                copy_bidirectional(&mut far, &mut service).await
            });
            Ok::<_, std::io::Error>(TokioIo::new(near))
        }
    });
    let builder = Client::builder().endpoint("https://localhost").credentials(credentials).dial(dialer);
    let pem = fs::read(authority.file()).expect("it was written");
    let began = Instant::now();
    let client = builder.root_certificates(pem).expect("a certificate").build().await.expect("a client");
    client.run(&job()).start().await.expect("started");
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_takes_three_round_trips_and_the_token_is_fetched_in_their_shadow() {
    let runtime = Runtime::Simulated(Simulation::default());
    let emulator = Emulator::builder().no_listener().runtime(runtime).start().await.expect("an emulator");
    let authority = Authority::new("own");
    let key = Credentials::builder().json(key_file()).await.expect("a key");
    let source = |round_trips| Credentials::from_source("own", Takes(2 * WAY * round_trips));
    for (credentials, round_trips) in [
        (Credentials::access_token("canary").expect("a token"), 3),
        (key, 3),
        // As long as TCP and TLS take, which it is fetched beside.
        (source(2), 3),
        (source(4), 5),
    ] {
        let name = format!("{credentials:?}");
        let took = cold_start(&emulator, &authority, credentials).await;
        let right = 2 * WAY * round_trips;
        // Timers are as fine as milliseconds.
        assert!((right..right + WAY / 2).contains(&took), "{name}: {took:?}, and not {right:?}");
    }
    assert!(emulator.journal().iter().all(|call| call.rpc == Rpc::RunJob), "nothing but starts was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_starts_a_job_with_one_connection_one_call_and_at_most_one_question_for_a_token() {
    let (place, authority, metadata) = (Place::new().await, Authority::new("own"), Metadata::start().await);
    // Whoever asks a token server would go by this proxy.
    let asked: Arc<AtomicUsize> = Arc::default();
    let count = Arc::clone(&asked);
    let proxy = frames::raw(move |_| {
        count.fetch_add(1, Relaxed);
        async { Ok(()) }
    })
    .await;
    let folder = tempfile::tempdir().expect("a directory");
    let written = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("Unicode").to_owned()
    };
    let (key, token) = (written("key.json", &key_file()), written("token", "canary\n"));
    let host = metadata.address.to_string();
    for (variable, value, questions) in [
        ("GOOGLE_APPLICATION_CREDENTIALS", &key, 0),
        ("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", &token, 0),
        ("GCE_METADATA_HOST", &host, 1),
    ] {
        place.emulator.reset();
        let (peer, connections) = behind_tls(&place, authority.server("127.0.0.1", 4000)).await;
        let ca = authority.file().display().to_string();
        let mut command = runjob(&format!("execute {} --ca-file={ca} --endpoint=https://{}", job(), peer.address));
        command.env_remove("NO_GCE_CHECK").env("HTTPS_PROXY", format!("http://{}", proxy.address)).env(variable, value);
        let ran = Ran::of(command);
        assert_eq!((ran.status, connections.load(Relaxed)), (0, 1), "{variable}: {ran:#?}");
        let calls: Vec<_> = place.emulator.journal().iter().map(|call| call.rpc).collect();
        assert_eq!((calls, metadata.questions()), (vec![Rpc::RunJob], questions), "{variable}");
    }
    assert_eq!(asked.load(Relaxed), 0);
}
