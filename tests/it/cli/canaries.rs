//! A secret in every field of every kind of credentials, and none in what the program prints or keeps.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use runjob::emulator::Emulator;
use serde_json::{Value, json};
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
    cases::{metadata::Metadata, tls::Authority},
    client::frames::{self, Peer},
};

const KEY: &str = include_str!("../../../src/auth/tests/key.pem");

/// Every server there is, behind a proxy: Cloud Run in HTTP/2, and all others in HTTP/1.1, which give a token or repeat
/// what they were sent.
async fn everything(place: &Place, authority: &Authority, gives: bool) -> Peer {
    let names = ["run.invalid", "token.invalid", "iamcredentials.googleapis.com"];
    let (acceptor, emulator) = (TlsAcceptor::from(Arc::new(certified(authority, names))), place.address());
    frames::raw(move |mut near: TcpStream| {
        let (acceptor, emulator) = (acceptor.clone(), emulator.clone());
        async move {
            head(&mut near).await?;
            near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            let mut near = acceptor.accept(near).await?;
            if near.get_ref().1.alpn_protocol() == Some(b"h2") {
                return copy_bidirectional(&mut near, &mut TcpStream::connect(emulator).await?).await.map(drop);
            }
            if gives {
                let token = json!({"access_token": "canary-token", "expires_in": 3600, "accessToken": "canary-token",
                                   "refresh_token": "canary-newer", "expireTime": "2100-01-01T00:00:00Z"});
                return answer(&mut near, &token.to_string()).await.map(drop);
            }
            let asked = head(&mut near).await?;
            let head = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n", asked.len());
            near.write_all((head + &asked).as_bytes()).await
        }
    })
    .await
}

/// A credentials file of each kind.
fn files(folder: &Path) -> Vec<(&'static str, Value)> {
    let server = "https://token.invalid";
    let user = json!({"type": "authorized_user", "client_id": "id", "client_secret": "canary-secret",
                      "refresh_token": "canary-refresh", "token_uri": format!("{server}/token")});
    let own_key = json!({"type": "service_account", "client_email": "a@b.c", "private_key": KEY});
    let mut key = own_key.clone();
    key["token_uri"] = format!("{server}/token").into();
    let account = json!({"type": "impersonated_service_account", "source_credentials": user,
                         "service_account_impersonation_url": format!("{server}/a@b.c:generateAccessToken")});
    let external = |source: Value| {
        json!({"type": "external_account", "audience": "aud", "subject_token_type": "jwt", "client_id": "id",
               "client_secret": "canary-secret", "token_url": format!("{server}/sts"), "credential_source": source,
               "service_account_impersonation_url": format!("{server}/a@b.c:generateAccessToken")})
    };
    let (subject, script) = (folder.join("subject"), folder.join("script.sh"));
    fs::write(&subject, "canary-subject").expect("a file");
    let printed = r#"{"version":1,"success":true,"token_type":"jwt","id_token":"canary-subject"}"#;
    fs::write(&script, format!("cat <<END\n{printed}\nEND\n")).expect("a file");
    let url = json!({"url": format!("{server}/subject"), "headers": {"x-key": "canary-header"}});
    let person = json!({"type": "external_account_authorized_user", "client_id": "id", "client_secret": "canary-secret",
                        "refresh_token": "canary-refresh", "token_url": format!("{server}/user")});
    vec![
        ("user", user),
        ("own-key", own_key),
        ("key", key),
        ("account", account),
        ("by-file", external(json!({"file": subject}))),
        ("by-url", external(url)),
        ("by-program", external(json!({"executable": {"command": format!("/bin/sh {}", script.display())}}))),
        ("person", person),
    ]
}

/// What the program is told of each kind of credentials: its flags and its variables.
fn kinds(folder: &TempDir, metadata: &Metadata) -> Vec<(String, Vec<(&'static str, String)>)> {
    let token = folder.path().join("token");
    fs::write(&token, "canary-token").expect("a file");
    let by_file = format!("--access-token-file={}", token.display());
    let mut kinds = vec![
        (by_file.clone(), vec![]),
        (format!("{by_file} --impersonate-service-account=a@b.c"), vec![]),
        (String::new(), vec![("CLOUDSDK_AUTH_ACCESS_TOKEN", "canary-token".to_owned())]),
        (String::new(), vec![("CLOUDSDK_AUTH_ACCESS_TOKEN", "canary\ntoken".to_owned())]),
        (String::new(), vec![("GCE_METADATA_HOST", metadata.address.to_string())]),
        (String::new(), vec![("GOOGLE_APPLICATION_CREDENTIALS", r#"{"private_key":"canary"}"#.to_owned())]),
    ];
    for (name, file) in files(folder.path()) {
        let path = folder.path().join(format!("{name}.json"));
        fs::write(&path, file.to_string()).expect("a file");
        kinds.push((String::new(), vec![("GOOGLE_APPLICATION_CREDENTIALS", path.display().to_string())]));
    }
    kinds
}

/// The lines of a text that hold a secret, or what one is made into: base64 of it, a token that a key has signed.
fn secrets(text: &str) -> Vec<&str> {
    let key = KEY.lines().nth(1).expect("base64");
    let marks = ["canary", "Y2FuYXJ5", "PRIVATE KEY", "eyJ", key];
    text.lines().filter(|line| marks.iter().any(|mark| line.contains(mark))).collect()
}

/// The text of all files in this directory and below.
fn kept(directory: &Path) -> String {
    let entries: Vec<PathBuf> =
        fs::read_dir(directory).expect("a directory").map(|e| e.expect("an entry").path()).collect();
    let text = |path: &PathBuf| match path.is_dir() {
        true => kept(path),
        false => String::from_utf8_lossy(&fs::read(path).expect("a file")).into_owned(),
    };
    entries.iter().map(text).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_any_credentials_is_printed_or_kept() {
    let place = Place::of(Emulator::builder().require_token("canary-token")).await;
    let (authority, metadata) = (Authority::new("own"), Metadata::start().await);
    let folder = tempfile::tempdir().expect("a directory");
    let mut started = 0;
    for gives in [true, false] {
        let servers = everything(&place, &authority, gives).await;
        for (flags, variables) in kinds(&folder, &metadata) {
            for (number, line) in ["-v execute", "doctor", "doctor --format=json"].into_iter().enumerate() {
                let ca = authority.file().display().to_string();
                let proxy = format!("--proxy=http://me:canary@{}", servers.address);
                let job = format!("{JOBS}/echo --endpoint=https://run.invalid --ca-file={ca} {proxy} {flags}");
                let mut command = runjob(&format!("{line} {job}"));
                command.env_remove("NO_GCE_CHECK").env("XDG_STATE_HOME", place.home.path());
                command.env("RUNJOB_TRUSTED_TOKEN_SERVERS", "token.invalid").envs(variables.iter().cloned());
                command.env("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
                let ran = Ran::of(command);
                assert_eq!(secrets(&ran.stdout), Vec::<&str>::new(), "{variables:?}");
                assert_eq!(secrets(&ran.stderr), Vec::<&str>::new(), "{variables:?}");
                started += usize::from(number == 0 && ran.status == 0);
            }
        }
    }
    let kept = kept(place.home.path());
    assert!(kept.contains("echo"), "the start log was not found: {kept}");
    assert_eq!(secrets(&kept), Vec::<&str>::new());
    // Cloud Run takes the token of the servers, and neither a key's own nor the metadata server's. Without servers there
    // are those who have it already.
    assert_eq!((started, place.starts()), (10 + 2, 10 + 2));
}
