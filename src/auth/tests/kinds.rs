//! What each kind sends, and to whom.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::SystemTime,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rsa::{
    Pkcs1v15Sign, RsaPublicKey,
    pkcs8::DecodePublicKey as _,
    sha2::{Digest as _, Sha256},
};
use serde_json::{Value, json};

use super::{Fake, PRIVATE_KEY, PUBLIC_KEY, alone, finder, token};
use crate::auth::{Credentials, SCOPE};

/// The usual answer of a token server.
fn answer(token: &str) -> (u16, String) {
    (200, json!({"access_token": token, "expires_in": 3600, "token_type": "Bearer"}).to_string())
}

/// The usual answer of the IAM Credentials API.
fn iam_answer(token: &str) -> (u16, String) {
    (200, json!({"accessToken": token, "expireTime": "2100-01-01T00:00:00Z"}).to_string())
}

fn part(jwt: &str, number: usize) -> Value {
    let part = jwt.split('.').nth(number).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).expect("base64")).expect("JSON")
}

/// Whether the signature is that of the key, by a library that has not made it.
fn is_signed(jwt: &str) -> bool {
    let (message, signature) = jwt.rsplit_once('.').expect("three parts");
    let signature = URL_SAFE_NO_PAD.decode(signature.trim_end_matches('=')).expect("base64");
    let key = RsaPublicKey::from_public_key_pem(PUBLIC_KEY).expect("a key");
    key.verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message), &signature).is_ok()
}

fn key_file(token_uri: &str) -> String {
    json!({
        "type": "service_account", "client_email": "me@acme.iam.gserviceaccount.com", "private_key": PRIVATE_KEY,
        "private_key_id": "key-1", "token_uri": token_uri, "project_id": "acme", "universe_domain": "googleapis.com"
    })
    .to_string()
}

#[tokio::test]
async fn a_key_signs_its_own_tokens_and_asks_nobody() {
    let credentials = alone(&[]).json(key_file("https://oauth2.googleapis.com/token")).await.expect("a key");
    let jwt = token(&credentials).await.expect("a token");
    assert_eq!(part(&jwt, 0), json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"}));
    let claims = part(&jwt, 1);
    let issued = claims["iat"].as_u64().expect("a number");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    assert!((now - 60..=now).contains(&issued), "{claims}");
    let email = "me@acme.iam.gserviceaccount.com";
    let right = json!({"iss": email, "sub": email, "scope": SCOPE, "iat": issued, "exp": issued + 3600});
    assert_eq!(claims, right);
    assert!(is_signed(&jwt));
    assert_eq!(credentials.project().await.expect("no I/O").as_deref(), Some("acme"));
}

#[tokio::test]
async fn a_key_of_another_issuer_is_exchanged_there() {
    let fake = Fake::new(|_, _| answer("canary-1")).await;
    let credentials = finder(&fake, &[]).json(key_file(&fake.url("/token"))).await.expect("a key");
    assert_eq!(token(&credentials).await.expect("a token"), "canary-1");
    let asked = &fake.asked()[0];
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/token"));
    assert_eq!(asked.header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(asked.field("grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let jwt = asked.field("assertion");
    assert_eq!(part(&jwt, 1)["aud"], json!(fake.url("/token")));
    assert_eq!(part(&jwt, 1)["scope"], json!(SCOPE));
    assert!(is_signed(&jwt));
}

fn user_file(token_uri: &str) -> Value {
    json!({
        "type": "authorized_user", "client_id": "client-1", "client_secret": "canary-secret",
        "refresh_token": "canary-refresh", "token_uri": token_uri, "quota_project_id": "quota"
    })
}

#[tokio::test]
async fn a_gcloud_users_refresh_token_is_exchanged_over_one_connection() {
    let fake = Fake::new(|_, before| answer(&format!("canary-{before}"))).await;
    let credentials = finder(&fake, &[]).json(user_file(&fake.url("/token")).to_string()).await.expect("a user");
    assert_eq!(token(&credentials).await.expect("a token"), "canary-0");
    let first = credentials.authorization().await.expect("a token").expect("not anonymous").generation;
    assert!(credentials.renew(first));
    assert_eq!(token(&credentials).await.expect("a token"), "canary-1");
    let fields = [
        ("client_id", "client-1"),
        ("client_secret", "canary-secret"),
        ("refresh_token", "canary-refresh"),
        ("grant_type", "refresh_token"),
    ];
    assert_eq!(fake.asked()[0].form(), fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!((fake.asked().len(), fake.connections()), (2, 1));
    assert_eq!(credentials.quota_project(), Some("quota"));
}

#[tokio::test]
async fn an_impersonated_account_is_asked_for_with_a_token_of_its_base() {
    let fake = Fake::new(|asked, _| match asked.path.as_str() {
        "/token" => answer("canary-base"),
        _ => iam_answer("canary-account"),
    })
    .await;
    let file = json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url": fake.url("/v1/projects/-/serviceAccounts/it@x.y:generateAccessToken"),
        "delegates": ["between@x.y"],
        "source_credentials": user_file(&fake.url("/token")),
    });
    let credentials = finder(&fake, &[]).json(file.to_string()).await.expect("an account");
    assert_eq!(token(&credentials).await.expect("a token"), "canary-account");
    let asked = &fake.asked()[1];
    assert_eq!(asked.path, "/v1/projects/-/serviceAccounts/it@x.y:generateAccessToken");
    assert_eq!(asked.authorization(), "Bearer canary-base");
    let right = json!({"delegates": ["projects/-/serviceAccounts/between@x.y"], "scope": [SCOPE], "lifetime": "3600s"});
    assert_eq!(serde_json::from_str::<Value>(&asked.body).expect("JSON"), right);
}

#[tokio::test]
async fn a_base_token_that_iam_refuses_is_renewed_once() {
    let fake = Fake::new(|asked, before| match asked.path.as_str() {
        "/token" => answer(&format!("canary-{before}")),
        _ if before == 1 => (401, r#"{"error":{"status":"UNAUTHENTICATED","message":"revoked"}}"#.to_owned()),
        _ => iam_answer("canary-account"),
    })
    .await;
    let file = json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url": fake.url("/x:generateAccessToken"),
        "source_credentials": user_file(&fake.url("/token")),
    });
    let credentials = finder(&fake, &[]).json(file.to_string()).await.expect("an account");
    assert_eq!(token(&credentials).await.expect("a token"), "canary-account");
    let shown: Vec<_> = fake.asked().iter().map(|asked| asked.authorization().to_owned()).collect();
    assert_eq!(shown, ["", "Bearer canary-0", "", "Bearer canary-2"]);
}

fn external_file(fake: &Fake, source: Value) -> Value {
    json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": fake.url("/v1/token"),
        "credential_source": source,
    })
}

fn exchanged(file: &Value, subject: &str) -> Vec<(String, String)> {
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("audience", file["audience"].as_str().expect("a text")),
        ("scope", SCOPE),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token", subject),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
    ];
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

#[tokio::test]
async fn a_token_of_another_provider_is_read_from_a_file_or_a_url_as_text_or_json_and_exchanged() {
    let fake = Fake::new(|asked, _| match asked.path.as_str() {
        "/text" => (200, "canary-subject\n".to_owned()),
        "/json" => (200, json!({"value": "canary-subject"}).to_string()),
        _ => answer("canary-1"),
    })
    .await;
    let folder = tempfile::tempdir().expect("a directory");
    let (text, object) = (folder.path().join("text"), folder.path().join("json"));
    fs::write(&text, "canary-subject\n").expect("a file");
    fs::write(&object, r#"{"value":"canary-subject"}"#).expect("a file");
    let format = json!({"type": "json", "subject_token_field_name": "value"});
    for source in [
        json!({"file": text}),
        json!({"file": object, "format": format}),
        json!({"url": fake.plain("/text"), "format": {"type": "text"}}),
        json!({"url": fake.url("/json"), "headers": {"Authorization": "Bearer canary-request"}, "format": format}),
    ] {
        let file = external_file(&fake, source);
        let credentials = finder(&fake, &[]).json(file.to_string()).await.expect("an identity");
        assert_eq!(token(&credentials).await.expect("a token"), "canary-1");
        let asked = fake.asked();
        assert_eq!(asked.last().expect("asked").form(), exchanged(&file, "canary-subject"));
    }
    let asked = fake.asked();
    let by_url: Vec<_> =
        asked.iter().filter(|asked| asked.method == "GET").map(|asked| asked.authorization()).collect();
    assert_eq!(by_url, ["", "Bearer canary-request"]);
}

#[tokio::test]
async fn an_external_identity_acts_as_an_account_for_as_long_as_its_file_says() {
    let fake = Fake::new(|asked, _| match asked.path.as_str() {
        "/subject" => (200, "canary-subject".to_owned()),
        "/v1/token" => answer("canary-federated"),
        _ => iam_answer("canary-account"),
    })
    .await;
    let mut file = external_file(&fake, json!({"url": fake.plain("/subject")}));
    file["service_account_impersonation_url"] = json!(fake.url("/it@x.y:generateAccessToken"));
    file["service_account_impersonation"] = json!({"token_lifetime_seconds": 2800});
    let credentials = finder(&fake, &[]).json(file.to_string()).await.expect("an identity");
    assert_eq!(token(&credentials).await.expect("a token"), "canary-account");
    let asked = fake.asked().pop().expect("asked");
    assert_eq!(asked.authorization(), "Bearer canary-federated");
    assert_eq!(serde_json::from_str::<Value>(&asked.body).expect("JSON")["lifetime"], "2800s");
}

#[tokio::test]
async fn a_workforce_names_its_project_or_its_client() {
    let fake = Fake::new(|asked, _| match asked.path.as_str() {
        "/subject" => (200, "canary-subject".to_owned()),
        _ => answer("canary-1"),
    })
    .await;
    let mut file = external_file(&fake, json!({"url": fake.plain("/subject")}));
    file["workforce_pool_user_project"] = json!("acme");
    let credentials = finder(&fake, &[]).json(file.to_string()).await.expect("an identity");
    token(&credentials).await.expect("a token");
    let asked = fake.asked().pop().expect("asked");
    assert_eq!((asked.field("options").as_str(), asked.authorization()), (r#"{"userProject":"acme"}"#, ""));
    (file["client_id"], file["client_secret"]) = (json!("client"), json!("canary-secret"));
    let credentials = finder(&fake, &[]).json(file.to_string()).await.expect("an identity");
    token(&credentials).await.expect("a token");
    let asked = fake.asked().pop().expect("asked");
    assert_eq!((asked.field("options").as_str(), asked.authorization()), ("", "Basic Y2xpZW50OmNhbmFyeS1zZWNyZXQ="));
}

#[cfg(unix)]
#[tokio::test]
async fn a_program_gives_the_token_only_where_programs_are_allowed() {
    let fake = Fake::new(|_, _| answer("canary-1")).await;
    let folder = tempfile::tempdir().expect("a directory");
    let (script, left) = (folder.path().join("script.sh"), folder.path().join("left.json"));
    let printed = r#"{"version":1,"success":true,"token_type":"$GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE","id_token":"canary-$1-$GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE"}"#;
    fs::write(&script, format!("cat <<END\n{printed}\nEND\n")).expect("a file");
    let command = format!("/bin/sh {} word", script.display());
    let file = external_file(&fake, json!({"executable": {"command": command, "output_file": left}}));
    let error = finder(&fake, &[]).json(file.to_string()).await.expect_err("not allowed");
    assert!(error.to_string().contains("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1"), "{error}");
    let allowed = [("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")];
    let credentials = finder(&fake, &allowed).json(file.to_string()).await.expect("allowed");
    token(&credentials).await.expect("a token");
    assert_eq!(fake.asked()[0].field("subject_token"), "canary-word-0");
    // What an earlier run has left is used while it is good.
    for (until, subject) in [(4_102_444_800_u64, "canary-left"), (1, "canary-word-0")] {
        let kept = json!({"version": 1, "success": true, "id_token": "canary-left", "expiration_time": until});
        fs::write(&left, kept.to_string()).expect("a file");
        let credentials = finder(&fake, &allowed).json(file.to_string()).await.expect("allowed");
        token(&credentials).await.expect("a token");
        assert_eq!(fake.asked().pop().expect("asked").field("subject_token"), subject);
    }
    let failing = external_file(&fake, json!({"executable": {"command": "/bin/sh -c exit"}}));
    let credentials = finder(&fake, &allowed).json(failing.to_string()).await.expect("allowed");
    let error = token(&credentials).await.expect_err("it printed nothing");
    assert!(error.to_string().contains("the program of credential_source"), "{error}");
}

#[tokio::test]
async fn aws_and_certificates_are_refused_by_name_with_the_way_out() {
    let fake = Fake::always(500, "").await;
    for (source, name) in [
        (json!({"environment_id": "aws1", "regional_cred_verification_url": "https://sts"}), "AWS"),
        (json!({"certificate": {"use_default_certificate_config": true}}), "X.509"),
    ] {
        let file = external_file(&fake, source).to_string();
        let error = finder(&fake, &[]).json(file).await.expect_err(name).to_string();
        assert!(error.contains(name) && error.contains("TokenSource") && error.contains("executable"), "{error}");
    }
}

#[tokio::test]
async fn a_workforce_users_refresh_token_is_replaced_by_the_newer_one() {
    let fake = Fake::new(|_, before| {
        let token =
            json!({"access_token": "canary-1", "expires_in": 3600, "refresh_token": format!("canary-r{before}")});
        (200, token.to_string())
    })
    .await;
    let file = json!({
        "type": "external_account_authorized_user", "audience": "//iam/x", "client_id": "client",
        "client_secret": "canary-secret", "refresh_token": "canary-r", "token_url": fake.url("/v1/oauthtoken"),
    });
    let credentials = finder(&fake, &[]).json(file.to_string()).await.expect("a user");
    token(&credentials).await.expect("a token");
    credentials.renew(1);
    token(&credentials).await.expect("a token");
    let refreshed: Vec<_> = fake.asked().iter().map(|asked| asked.field("refresh_token")).collect();
    assert_eq!(refreshed, ["canary-r", "canary-r0"]);
    assert_eq!(fake.asked()[0].authorization(), "Basic Y2xpZW50OmNhbmFyeS1zZWNyZXQ=");
}

#[tokio::test]
async fn the_metadata_server_gives_token_project_and_region() {
    let fake = Fake::new(|asked, _| match asked.path.rsplit('/').next() {
        Some("project-id") => (200, "acme".to_owned()),
        Some("region") => (404, String::new()),
        Some("zone") => (200, "projects/1/zones/europe-west4-a".to_owned()),
        _ => answer("canary-1"),
    })
    .await;
    let credentials = alone(&[("GCE_METADATA_HOST", &fake.host())]).adc().await.expect("a metadata server");
    assert_eq!(token(&credentials).await.expect("a token"), "canary-1");
    assert_eq!(credentials.project().await.expect("answered").as_deref(), Some("acme"));
    assert_eq!(credentials.region().await.expect("answered").as_deref(), Some("europe-west4"));
    let asked = &fake.asked()[0];
    let scope = "scopes=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform";
    let path = format!("/computeMetadata/v1/instance/service-accounts/default/token?{scope}");
    assert_eq!((asked.method.as_str(), &*asked.path, asked.header("metadata-flavor")), ("GET", &*path, "Google"));
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn a_token_file_is_read_again_when_its_token_is_refused() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("token");
    fs::write(&path, "canary-1\n").expect("a file");
    let credentials = Credentials::token_file(&path);
    assert_eq!(token(&credentials).await.expect("a token"), "canary-1");
    fs::write(&path, "canary-2\n").expect("a file");
    assert_eq!(token(&credentials).await.expect("a token"), "canary-1");
    credentials.renew(1);
    assert_eq!(token(&credentials).await.expect("a token"), "canary-2");
}

#[tokio::test]
async fn a_fixed_token_and_no_credentials_ask_nobody() {
    let fixed = Credentials::access_token(" canary-1\n").expect("a token");
    assert_eq!(token(&fixed).await.expect("a token"), "canary-1");
    assert!(!fixed.renew(0));
    assert!(Credentials::anonymous().authorization().await.expect("no I/O").is_none());
}

#[tokio::test]
async fn ten_thousand_callers_cost_one_token_request() {
    let fake = Fake::new(|_, _| answer("canary-1")).await;
    let credentials = alone(&[("GCE_METADATA_HOST", &fake.host())]).adc().await.expect("a metadata server");
    let calls = (0..10_000).map(|_| credentials.authorization());
    assert!(futures_util::future::join_all(calls).await.into_iter().all(|token| token.is_ok()));
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn a_token_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    for (status, asked) in [(429, 4), (503, 4), (500, 4), (400, 1), (403, 1)] {
        let fake = Fake::always(status, r#"{"error":"canary_code","error_description":"why\nhint: x"}"#).await;
        let credentials = finder(&fake, &[]).json(user_file(&fake.url("/token")).to_string()).await.expect("a user");
        let error = token(&credentials).await.expect_err("refused");
        let text = error.to_string();
        assert!(text.contains(&format!("HTTP status {status}: canary_code: why hint: x")), "{text}");
        assert_eq!((fake.asked().len(), error.is_retryable()), (asked, status > 403), "{status}");
    }
    let calls = AtomicUsize::new(0);
    let fake = Fake::new(move |_, _| match calls.fetch_add(1, Relaxed) {
        0 => (503, String::new()),
        _ => answer("canary-1"),
    })
    .await;
    let credentials = finder(&fake, &[]).json(user_file(&fake.url("/token")).to_string()).await.expect("a user");
    assert_eq!(token(&credentials).await.expect("the first failure is ridden out"), "canary-1");
}

#[tokio::test]
async fn a_life_that_no_calendar_holds_is_bounded_in_every_kind() {
    for life in [
        "9223372036854775807",
        "1e308",
        "-9223372036854775808",
        "0",
        "3600.5",
        "\"3600\"",
        "\"NaN\"",
        "\"inf\"",
        "\"soon\"",
        "null",
        "[1]",
        "{}",
    ] {
        let body = format!(r#"{{"access_token":"canary-1","expires_in":{life},"token_type":"Bearer"}}"#);
        let fake = Fake::always(200, &body).await;
        let environment = [("GCE_METADATA_HOST", &*fake.host())];
        let metadata = alone(&environment).adc().await.expect("a metadata server");
        let user = finder(&fake, &[]).json(user_file(&fake.url("/token")).to_string()).await.expect("a user");
        let key = finder(&fake, &[]).json(key_file(&fake.url("/token"))).await.expect("a key");
        let external = external_file(&fake, json!({"url": fake.plain("/subject")})).to_string();
        let external = finder(&fake, &[]).json(external).await.expect("an identity");
        for credentials in [metadata, user, key, external] {
            assert_eq!(token(&credentials).await.expect("a token"), "canary-1", "{credentials:?} {life}");
        }
    }
}
