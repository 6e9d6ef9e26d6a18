//! Which credentials are found, and what is said of those that cannot be used.

use std::fs;

use serde_json::json;

use super::{Fake, PRIVATE_KEY, alone, finder};
use crate::{Error, ErrorKind, auth::Credentials};

fn written(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("application_default_credentials.json");
    fs::write(&path, text).expect("a file");
    let path = path.to_str().expect("Unicode").to_owned();
    (folder, path)
}

const USER: &str =
    r#"{"type":"authorized_user","client_id":"a","client_secret":"b","refresh_token":"c","quota_project_id":"q"}"#;

async fn refused(variables: &[(&str, &str)]) -> Error {
    let error = alone(variables).adc().await.expect_err("no credentials");
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Credentials, false));
    error
}

#[tokio::test]
async fn files_are_found_by_variable_or_in_gclouds_directory() {
    let (folder, path) = written(USER);
    let by_name = alone(&[("GOOGLE_APPLICATION_CREDENTIALS", &path)]).adc().await.expect("a user");
    assert_eq!(by_name.quota_project(), Some("q"));
    let known =
        [("CLOUDSDK_CONFIG", folder.path().to_str().expect("Unicode")), ("GOOGLE_CLOUD_QUOTA_PROJECT", "other")];
    assert_eq!(alone(&known).adc().await.expect("a user").quota_project(), Some("other"));
}

#[tokio::test]
async fn a_variable_that_holds_json_or_a_token_is_not_shown() {
    let pretty = serde_json::to_string_pretty(&json!({"type": "service_account", "private_key": PRIVATE_KEY}));
    for text in [USER, &pretty.expect("JSON"), "{", " {\"canary\":1}", "\u{feff}{\"canary\":1}", "'{canary}'"] {
        let error = refused(&[("GOOGLE_APPLICATION_CREDENTIALS", text)]).await.to_string();
        assert!(error.contains("holds JSON, not a path") && !error.contains("canary"), "{error}");
        assert!(!error.contains("PRIVATE") && !error.contains("refresh_token"), "{error}");
    }
    let long = "canary/".repeat(60);
    for text in ["ya29.canary", &long, "-----BEGIN canary-----\nabc/d\n", "Y2FuYXJ5canary"] {
        let error = refused(&[("GOOGLE_APPLICATION_CREDENTIALS", text)]).await;
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_used_says_why_and_shows_nothing_of_itself() {
    for (text, why) in [
        ("canary", "not JSON"),
        (r#"{"type":"other"}"#, "external_account_authorized_user are supported"),
        (r#"{"type":"authorized_user","client_secret":"canary"}"#, "missing field `client_id`"),
        (r#"{"type":"authorized_user","client_id":["canary"]}"#, "a field has the wrong type"),
        (r#"{"type":"service_account","client_email":"a","private_key":"canary"}"#, "private_key"),
        (r#"{"type":"service_account","universe_domain":"evil.example"}"#, "GOOGLE_CLOUD_UNIVERSE_DOMAIN"),
    ] {
        let (_folder, path) = written(text);
        let error = refused(&[("GOOGLE_APPLICATION_CREDENTIALS", &path)]).await.to_string();
        assert!(error.contains(why) && error.contains(&path) && !error.contains("canary"), "{error}");
    }
    let error = refused(&[("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")]).await;
    assert!(error.to_string().contains("/nowhere/key.json"), "{error}");
    let error = refused(&[("GOOGLE_APPLICATION_CREDENTIALS", "/dev/null")]).await;
    assert!(error.to_string().contains("not a regular file"), "{error}");
    let (_folder, path) = written(&"x".repeat(65 * 1024));
    let error = refused(&[("GOOGLE_APPLICATION_CREDENTIALS", &path)]).await;
    assert!(error.to_string().contains("66560 bytes"), "{error}");
}

#[tokio::test]
async fn a_file_may_send_secrets_to_nobody_who_is_not_trusted() {
    let user = |url: &str| json!({"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c", "token_uri": url});
    let external = |url: &str, source: &str| {
        json!({"type": "external_account", "audience": "a", "subject_token_type": "b", "token_url": url,
               "credential_source": {"url": source}})
    };
    let google = "https://sts.googleapis.com/v1/token";
    for (file, field) in [
        (user("https://evil.example/token"), "token_uri"),
        (user("http://oauth2.googleapis.com/token"), "token_uri"),
        (
            json!({"type": "service_account", "client_email": "a", "private_key": PRIVATE_KEY,
                "token_uri": "https://evil.example"}),
            "token_uri",
        ),
        (external("https://evil.example/token", "https://idp.example"), "token_url"),
        (external(google, "http://idp.example"), "credential_source.url"),
        (
            json!({"type": "impersonated_service_account", "source_credentials": user("https://oauth2.googleapis.com/token"),
                "service_account_impersonation_url": "https://evil.example"}),
            "service_account_impersonation_url",
        ),
        (
            json!({"type": "impersonated_service_account", "source_credentials": user("https://evil.example"),
                "service_account_impersonation_url": "https://iamcredentials.googleapis.com/x"}),
            "token_uri",
        ),
    ] {
        let error = alone(&[]).json(file.to_string()).await.expect_err(field).to_string();
        assert!(error.contains(field) && error.contains("RUNJOB_TRUSTED_TOKEN_SERVERS"), "{error}");
    }
    let trusted = [("RUNJOB_TRUSTED_TOKEN_SERVERS", "one.example, evil.example")];
    alone(&trusted).json(user("https://evil.example/token").to_string()).await.expect("trusted");
    alone(&[]).json(external(google, "https://idp.example").to_string()).await.expect("a provider over TLS");
}

#[tokio::test]
async fn a_machine_without_credentials_says_where_they_were_looked_for() {
    let error = refused(&[("HOME", "/nowhere"), ("NO_GCE_CHECK", "true")]).await.to_string();
    for part in ["GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/.config/gcloud", "NO_GCE_CHECK"] {
        assert!(error.contains(part), "{error}");
    }
    let homeless = refused(&[("NO_GCE_CHECK", "true")]).await.to_string();
    assert!(homeless.contains("is not set, gcloud has no directory without HOME, and NO_GCE_CHECK"), "{homeless}");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let error = refused(&[("GCE_METADATA_IP", &closed.to_string())]).await.to_string();
    assert!(error.contains("no metadata server") && error.contains(&closed.to_string()), "{error}");
}

#[tokio::test]
async fn what_does_not_say_that_it_is_a_metadata_server_is_none() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut socket, _)) = listener.accept().await {
            _ = socket.read(&mut [0; 4096]).await;
            _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").await;
        }
    });
    let credentials = alone(&[("GCE_METADATA_HOST", &host)]).adc().await.expect("nothing was asked");
    let error = credentials.authorization().await.expect_err("a foreign server");
    assert!(error.to_string().contains("no metadata server") && error.to_string().contains(&host), "{error}");
}

#[tokio::test]
async fn gclouds_own_settings_are_a_token_a_file_or_an_account() {
    let fake = Fake::always(500, "").await;
    let (folder, _) = written(USER);
    let directory = folder.path().to_str().expect("Unicode");
    let kind = async |variables: &[(&str, &str)]| {
        let variables = [variables, &[("CLOUDSDK_CONFIG", directory)]].concat();
        let found = finder(&fake, &variables).gcloud().await.expect("credentials");
        format!("{found:?}")
    };
    assert!(kind(&[]).await.contains("gcloud user"));
    assert!(kind(&[("CLOUDSDK_AUTH_ACCESS_TOKEN", "canary")]).await.contains("\"access token\""));
    assert!(kind(&[("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", "/x")]).await.contains("token file"));
    let account = [("CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT", "a@b.c,it@x.y")];
    assert!(kind(&account).await.contains("impersonated"));
    fs::create_dir(folder.path().join("configurations")).expect("a directory");
    let settings = "[auth]\nimpersonate_service_account = it@x.y\n";
    fs::write(folder.path().join("configurations/config_default"), settings).expect("a file");
    assert!(kind(&[]).await.contains("impersonated"));
    let base = Credentials::access_token("canary").expect("a token");
    for account in ["", "it", "it@x/y", "it@x.y,", "it@x.y?z"] {
        let error = base.impersonate(account).expect_err(account);
        assert!(error.to_string().contains("is no service account"), "{error}");
    }
}
