//! No output shows a secret: not `Debug`, not an error, not a log line at any level.

use std::{
    fs,
    io::{self, Write},
    sync::{Arc, Mutex},
};

use serde_json::json;
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

use super::{Fake, PRIVATE_KEY, finder, token};
use crate::auth::{AccessToken, Credentials, TokenError, TokenSource};

/// All that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

struct Own;

impl TokenSource for Own {
    async fn token(&self) -> Result<AccessToken, TokenError> {
        let token = AccessToken::new("canary-own");
        assert!(!format!("{token:?}").contains("canary"));
        Ok(token)
    }
}

/// A credentials file of each kind, with a canary in each secret field.
fn files(fake: &Fake, folder: &std::path::Path) -> Vec<String> {
    let user = json!({"type": "authorized_user", "client_id": "id", "client_secret": "canary-secret",
                      "refresh_token": "canary-refresh", "token_uri": fake.url("/token")});
    let key = json!({"type": "service_account", "client_email": "a@b.c", "private_key": PRIVATE_KEY,
                     "token_uri": fake.url("/token")});
    let own_key = json!({"type": "service_account", "client_email": "a@b.c", "private_key": PRIVATE_KEY});
    let impersonated = json!({"type": "impersonated_service_account", "source_credentials": user,
                              "service_account_impersonation_url": fake.url("/a@b.c:generateAccessToken")});
    let external = |source| {
        json!({"type": "external_account", "audience": "aud", "subject_token_type": "jwt",
               "token_url": fake.url("/sts"), "client_id": "id", "client_secret": "canary-secret",
               "credential_source": source})
    };
    let subject = folder.join("subject");
    fs::write(&subject, "canary-subject").expect("a file");
    let by_url = json!({"url": fake.plain("/subject"), "headers": {"x-key": "canary-header"}});
    let command = format!("/bin/sh -c cat${{IFS}}{}", subject.display());
    let external_user = json!({"type": "external_account_authorized_user", "client_id": "id",
                               "client_secret": "canary-secret", "refresh_token": "canary-refresh",
                               "token_url": fake.url("/user")});
    [
        user,
        key,
        own_key,
        impersonated,
        external(json!({"file": subject})),
        external(by_url),
        external(json!({"executable": {"command": command}})),
        external_user,
    ]
    .map(|file| file.to_string())
    .to_vec()
}

/// Uses every kind of credentials at this server, and returns what errors and `Debug` have shown.
async fn shown(fake: &Fake) -> String {
    let folder = tempfile::tempdir().expect("a directory");
    let environment = [("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1"), ("GCE_METADATA_HOST", &*fake.host())];
    let mut all = vec![
        finder(fake, &environment).metadata_server().expect("no proxy"),
        Credentials::access_token("canary-fixed").expect("a token"),
        Credentials::from_source("own", Own),
    ];
    for file in files(fake, folder.path()) {
        all.push(finder(fake, &environment).json(file).await.expect("credentials"));
    }
    let mut shown = String::new();
    for credentials in all {
        let outcome = credentials.authorization().await;
        shown += &format!("{credentials:?}\n{outcome:?}\n");
        if let Err(error) = outcome {
            shown += &format!("{error}\n{error:#?}\n");
        }
        let _ = token(&credentials).await;
    }
    shown
}

/// What no output may hold: the canaries, the key, and what it signs.
fn secrets_in(text: &str) -> Vec<&str> {
    let key_line = PRIVATE_KEY.lines().nth(1).expect("base64");
    let is_secret =
        |line: &&str| ["canary", "PRIVATE KEY", "eyJ", "Y2FuYXJ5", key_line].iter().any(|s| line.contains(s));
    text.lines().filter(is_secret).collect()
}

#[test]
fn no_log_line_error_or_debug_output_shows_a_secret_at_any_level() {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(log.clone()).with_ansi(false);
    // For the whole process: connections log from tasks of the runtime. It takes the lines of `log` users too.
    tracing_subscriber::util::SubscriberInitExt::init(subscriber);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let good = json!({"access_token": "canary-token", "expires_in": 3600, "refresh_token": "canary-newer",
                      "accessToken": "canary-account", "expireTime": "2100-01-01T00:00:00Z"});
    let texts = runtime.block_on(async {
        let mut texts = shown(&Fake::always(200, &good.to_string()).await).await;
        // Servers that repeat what they were sent, as text and as an OAuth error, and one that makes no sense.
        for status in [400, 401, 403] {
            let echo = Fake::new(move |asked, _| (status, format!("{} {:?}", asked.body, asked.headers))).await;
            texts += &shown(&echo).await;
        }
        let echo = |asked: &super::fakes::Asked, _| {
            let text = asked.form().into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(" ");
            (400, json!({"error": "invalid", "error_description": text}).to_string())
        };
        texts += &shown(&Fake::new(echo).await).await;
        texts += &shown(&Fake::always(200, r#"{"access_token":["canary"],"id_token":"canary"}"#).await).await;
        texts += &shown(&Fake::always(200, "canary").await).await;
        texts
    });
    let log = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("UTF-8");
    assert!(log.contains("TRACE") && log.contains("hyper"), "nothing was logged: {log}");
    assert_eq!(secrets_in(&texts), Vec::<&str>::new());
    assert_eq!(secrets_in(&log), Vec::<&str>::new(), "of {} lines", log.lines().count());
}
