//! Servers that hang, and callers that come all at once.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::{
    net::TcpListener,
    time::{Instant, advance, pause, resume},
};

use super::{Fake, alone, finder};
use crate::ErrorKind;

/// A server that takes connections and never says a word, and its address.
async fn hanging() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            held.push(socket);
        }
    });
    address
}

#[tokio::test(start_paused = true)]
async fn a_metadata_server_that_hangs_is_named_within_22_seconds() {
    let host = hanging().await;
    let credentials = alone(&[("GCE_METADATA_HOST", &host)]).adc().await.expect("nothing was asked");
    let began = Instant::now();
    let error = credentials.authorization().await.expect_err("it hangs");
    let text = error.to_string();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Credentials, true), "{text}");
    assert!(text.contains(&host) && text.contains("no answer within 5 s"), "{text}");
    assert!((20..=22).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_hangs_is_named_beside_the_token_server() {
    let proxy = hanging().await;
    let file = r#"{"type": "authorized_user", "client_id": "a", "client_secret": "canary", "refresh_token": "canary"}"#;
    let finder = alone(&[]).proxy(format!("http://me:canary@{proxy}"));
    let credentials = finder.json(file).await.expect("nothing was asked");
    let text = credentials.authorization().await.expect_err("it hangs").to_string();
    let expected = format!("https://oauth2.googleapis.com: no answer by the proxy {proxy} within 5 s");
    assert!(text.contains(&expected) && !text.contains("canary"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_metadata_address_hangs_learns_within_five_seconds_that_it_has_no_credentials() {
    let host = hanging().await;
    let began = Instant::now();
    let error = alone(&[("GCE_METADATA_IP", &host)]).adc().await.expect_err("it hangs");
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(text.contains(&host) && text.contains("no answer within 1 s"), "{text}");
    assert!((3..=5).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

/// The same as the test of the cache, through the HTTP client to a server.
#[tokio::test]
async fn ten_thousand_callers_ask_the_metadata_server_once_when_cold_and_once_at_expiry() {
    let token = |_: &super::fakes::Asked, before| {
        (200, format!(r#"{{"access_token":"canary-{before}","expires_in":3600,"token_type":"Bearer"}}"#))
    };
    let fake = Fake::new(token).await;
    let host = fake.host();
    let credentials = finder(&fake, &[("GCE_METADATA_HOST", &host)]).metadata_server().expect("no proxy");
    for round in 0..2 {
        let shown = join_all((0..10_000).map(|_| super::token(&credentials))).await;
        let right = format!("canary-{round}");
        assert!(shown.into_iter().all(|token| token.expect("a token") == right));
        assert_eq!(fake.asked().len(), round + 1);
        pause();
        advance(Duration::from_secs(3601)).await;
        resume();
    }
}
