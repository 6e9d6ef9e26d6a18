//! Servers, files and programs that mean harm, or are broken.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Fake, alone, finder, token};
use crate::auth::Credentials;

/// A token in the words of every server that gives any.
fn answer(text: &str) -> Value {
    json!({"access_token": text, "expires_in": 3600, "token_type": "Bearer",
           "accessToken": text, "expireTime": "2100-01-01T00:00:00Z"})
}

fn external(fake: &Fake, source: Value) -> Value {
    json!({"type": "external_account", "audience": "a", "subject_token_type": "jwt", "token_url": fake.url("/sts"),
           "credential_source": source})
}

/// Credentials of each kind that ask a server, and that server is this one.
async fn kinds(fake: &Fake) -> Vec<Credentials> {
    let user = json!({"type": "authorized_user", "client_id": "a", "client_secret": "canary", "refresh_token": "canary",
                      "token_uri": fake.url("/token")});
    let key = json!({"type": "service_account", "client_email": "a@b.c", "private_key": super::PRIVATE_KEY,
                     "token_uri": fake.url("/token")});
    let account = json!({"type": "impersonated_service_account", "source_credentials": user,
                         "service_account_impersonation_url": fake.url("/a@b.c:generateAccessToken")});
    let person = json!({"type": "external_account_authorized_user", "client_id": "a", "client_secret": "canary",
                        "refresh_token": "canary", "token_url": fake.url("/user")});
    let workload = external(fake, json!({"url": fake.plain("/subject")}));
    let mut all = vec![finder(fake, &[("GCE_METADATA_HOST", &fake.host())]).metadata_server().expect("no proxy")];
    for file in [user, key, account, person, workload] {
        all.push(finder(fake, &[]).json(file.to_string()).await.expect("credentials"));
    }
    all
}

#[tokio::test]
async fn a_token_cannot_bring_a_header_of_its_own() {
    for text in ["canary\r\nx-goog-user-project: evil", "canary\n", "canary\u{0}", "", "  "] {
        let fake = Fake::always(200, &answer(text).to_string()).await;
        for credentials in kinds(&fake).await {
            let outcome = token(&credentials).await;
            // White space around a token is not part of it.
            if text == "canary\n" {
                assert_eq!(outcome.expect("a token"), "canary");
                continue;
            }
            let error = outcome.expect_err(text);
            assert!(
                !error.is_retryable() && !error.to_string().contains("canary"),
                "{credentials:?} {text:?}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn no_secret_follows_a_redirect_to_another_server() {
    let elsewhere = Fake::always(200, &answer("canary").to_string()).await;
    for status in [301, 302, 303, 307, 308] {
        let to = elsewhere.plain("/");
        let fake = Fake::redirecting(status, &to).await;
        for credentials in kinds(&fake).await {
            let error = token(&credentials).await.expect_err("no token");
            assert!(!error.is_retryable(), "{error}");
            assert!(error.to_string().contains(&format!("HTTP status {status}")), "{error}");
        }
    }
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn an_answer_of_any_form_is_a_token_or_an_error() {
    let deep = "[".repeat(100_000);
    let huge = format!("{{\"access_token\":\"{}\"}}", "a".repeat(1 << 20));
    for body in ["", "null", "[]", "\"canary\"", "{", "{}", r#"{"access_token":null}"#, "\u{feff}{}", &deep, &huge] {
        let fake = Fake::always(200, body).await;
        let credentials = finder(&fake, &[("GCE_METADATA_HOST", &fake.host())]);
        let error = token(&credentials.metadata_server().expect("no proxy")).await.expect_err("no token").to_string();
        assert!(error.len() < 400 && !error.contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn a_file_of_any_form_is_refused_by_what_is_wrong() {
    let folder = tempfile::tempdir().expect("a directory");
    let deep = format!("{{\"type\":{}", "[".repeat(60_000));
    let many = format!("{{\"type\":\"{}\"}}", "canary".repeat(20_000));
    for (text, why) in [
        ("", "not JSON"),
        ("canary", "not JSON"),
        ("[]", "wrong type"),
        ("{}", "missing field `type`"),
        (r#"{"type":["canary"]}"#, "wrong type"),
        (r#"{"type":"service_account"}"#, "missing field"),
        (r#"{"type":"service_account","client_email":1,"private_key":"canary"}"#, "wrong type"),
        (r#"{"type":"service_account","client_email":"a","private_key":"canary"}"#, "private_key"),
        (r#"{"type":"service_account","client_email":"a","client_email":"b"}"#, "missing field"),
        (
            r#"{"type":"impersonated_service_account","service_account_impersonation_url":"https://iamcredentials.googleapis.com/x","source_credentials":{"type":"impersonated_service_account"}}"#,
            "source_credentials",
        ),
        (&deep, "not JSON"),
        (&many, "bytes"),
    ] {
        let path = folder.path().join("file.json");
        fs::write(&path, text).expect("a file");
        let error = alone(&[]).file(&path).await.expect_err(why).to_string();
        assert!(error.contains(why) && !error.contains("canary") && error.len() < 600, "{error}");
    }
}

#[tokio::test]
async fn a_token_file_that_becomes_a_directory_is_an_error_that_passes() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("token");
    fs::write(&path, "canary-1").expect("a file");
    let credentials = Credentials::token_file(&path);
    assert_eq!(token(&credentials).await.expect("a token"), "canary-1");
    fs::remove_file(&path).expect("it was there");
    fs::create_dir(&path).expect("a directory");
    assert_eq!(token(&credentials).await.expect("from memory"), "canary-1");
    credentials.renew(1);
    let error = token(&credentials).await.expect_err("a directory");
    assert!(error.is_retryable() && error.to_string().contains("not a regular file"), "{error}");
    fs::remove_dir(&path).expect("it was there");
    fs::write(&path, "canary-2").expect("a file");
    assert_eq!(token(&credentials).await.expect("a token"), "canary-2");
}

#[cfg(unix)]
#[tokio::test]
async fn no_pipe_and_no_device_is_read() {
    let folder = tempfile::tempdir().expect("a directory");
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let fake = Fake::always(200, &answer("canary").to_string()).await;
    let paths = [pipe.as_path(), std::path::Path::new("/dev/zero"), folder.path()];
    for path in paths {
        let error = alone(&[]).file(path).await.expect_err("no file").to_string();
        assert!(error.contains("not a regular file"), "{error}");
        let error = token(&Credentials::token_file(path)).await.expect_err("no file").to_string();
        assert!(error.contains("not a regular file"), "{error}");
        let file = external(&fake, json!({"file": path})).to_string();
        let error = token(&finder(&fake, &[]).json(file).await.expect("an identity")).await.expect_err("no file");
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }
    assert!(fake.asked().is_empty());
}

#[cfg(unix)]
#[tokio::test]
async fn a_program_that_does_not_end_or_says_too_much_is_ended() {
    let fake = Fake::always(200, &answer("canary").to_string()).await;
    let allowed = [("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")];
    let folder = tempfile::tempdir().expect("a directory");
    let left = folder.path().join("pid");
    let script = |text: &str| {
        let path = folder.path().join("script.sh");
        fs::write(&path, format!("echo $$ > {}\n{text}\n", left.display())).expect("a file");
        external(
            &fake,
            json!({"executable": {"command": format!("/bin/sh {}", path.display()), "timeout_millis": 5000}}),
        )
    };
    for (text, why) in [
        ("exec cat /dev/zero", "printed more than 256 KiB"),
        ("exec sleep 1000", "ran for over 5s"),
        ("echo canary; exec sleep 1000 > /dev/null", "ran for over 5s"),
    ] {
        let credentials = finder(&fake, &allowed).json(script(text).to_string()).await.expect("allowed");
        let began = Instant::now();
        let error = token(&credentials).await.expect_err(why).to_string();
        assert!(error.contains(why) && !error.contains("canary"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        let id = fs::read_to_string(&left).expect("it ran");
        let state = || fs::read_to_string(format!("/proc/{}/stat", id.trim())).unwrap_or_default();
        // Killed, and gone or waiting to be buried.
        while !state().is_empty() && !state().contains(") Z ") {
            tokio::task::yield_now().await;
        }
    }
    assert!(fake.asked().is_empty());
}

/// A chain of servers is given the time of all of them, so that the error names the one that hangs.
#[tokio::test(start_paused = true)]
async fn the_time_of_a_chain_is_that_of_its_links() {
    let fake = Fake::always(200, &answer("canary").to_string()).await;
    let file = |source| {
        let mut file = external(&fake, source);
        file["service_account_impersonation_url"] = fake.url("/a@b.c:generateAccessToken").into();
        file.to_string()
    };
    let allowed = [("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")];
    for (source, seconds) in [
        (json!({"file": "/nowhere"}), 60),
        (json!({"url": fake.plain("/subject")}), 90),
        (json!({"executable": {"command": "/nowhere", "timeout_millis": 120_000}}), 180),
    ] {
        let credentials = finder(&fake, &allowed).json(file(source)).await.expect("an identity");
        let super::super::Tokens::Cached(cache) = &credentials.tokens else { panic!("it has a cache") };
        assert_eq!(cache.limit(), Duration::from_secs(seconds));
    }
}
