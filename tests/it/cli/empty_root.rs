//! The program in a root directory that holds nothing but itself and its libraries, as in a container made from scratch:
//! no certificate authorities, no names, no home.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::{
    Ran,
    credentials::{answer, noting},
};
use crate::{
    cases::{metadata::Metadata, tls::Authority},
    client::frames::{self, Peer},
};

/// A key that nothing accepts.
const KEY: &str = include_str!("../../../src/auth/tests/key.pem");

struct Root(TempDir);

impl Root {
    /// The directory, where this system lets a process have another root than its own.
    fn new() -> Option<Self> {
        if !Command::new("unshare").args(["--map-root-user", "true"]).output().is_ok_and(|ran| ran.status.success()) {
            eprintln!("skipped: this system gives no process a root directory of its own");
            return None;
        }
        let root = Self(tempfile::tempdir().expect("a directory"));
        let program = env!("CARGO_BIN_EXE_runjob");
        fs::copy(program, root.0.path().join("runjob")).expect("a copy");
        let libraries = Command::new("ldd").arg(program).output().expect("ldd is part of the C library");
        for library in
            String::from_utf8_lossy(&libraries.stdout).split_whitespace().filter(|word| word.starts_with('/'))
        {
            let copy = root.0.path().join(library.trim_start_matches('/'));
            fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder");
            fs::copy(library, copy).expect("a copy");
        }
        Some(root)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).expect("a file");
    }

    fn ran(&self, line: &str, variables: &[(&str, &str)]) -> Ran {
        let mut command = Command::new("unshare");
        command.arg("--map-root-user").arg(format!("--root={}", self.0.path().display())).arg("/runjob");
        // `unshare` itself is found by the path of this process.
        command.args(line.split(' ')).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
        Ran::of(command)
    }
}

/// A token server behind TLS that answers with `canary-user`.
async fn token_server(authority: &Authority) -> Peer {
    let acceptor = TlsAcceptor::from(Arc::new({
        let mut config = authority.server("127.0.0.1", 4000);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }));
    frames::raw(move |near: TcpStream| {
        let acceptor = acceptor.clone();
        async move {
            let mut near = acceptor.accept(near).await?;
            answer(&mut near, r#"{"access_token": "canary-user", "expires_in": 3600}"#).await.map(drop)
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_a_user_and_a_metadata_server_work_without_a_file_of_the_system() {
    let Some(root) = Root::new() else { return };
    assert!(!Path::new(root.0.path()).join("etc").exists());
    let (peer, seen) = noting().await;
    let (metadata, authority) = (Metadata::start().await, Authority::new("own"));
    let server = token_server(&authority).await;
    root.write("ca.pem", &fs::read_to_string(authority.file()).expect("it was written"));
    let key = json!({"type": "service_account", "client_email": "a@b.c", "private_key": KEY});
    root.write("key.json", &key.to_string());
    let token_uri = format!("https://{}/token", server.address);
    let user = json!({"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c",
                      "token_uri": token_uri});
    root.write("user.json", &user.to_string());
    let (host, trusted) = (metadata.address.to_string(), server.address.to_string());
    for (variables, token) in [
        (vec![("GOOGLE_APPLICATION_CREDENTIALS", "/key.json")], "Bearer eyJ"),
        (
            vec![("GOOGLE_APPLICATION_CREDENTIALS", "/user.json"), ("RUNJOB_TRUSTED_TOKEN_SERVERS", &trusted)],
            "Bearer canary-user",
        ),
        (vec![("GCE_METADATA_HOST", host.as_str())], "Bearer canary-1"),
    ] {
        let line =
            format!("describe echo-abcde --project=p --region=r --ca-file=/ca.pem --endpoint=http://{}", peer.address);
        let ran = root.ran(&line, &variables);
        // The service that notes tokens knows no execution.
        assert_eq!(ran.status, 7, "{ran:#?}");
        let shown = seen.lock().expect("no panic").pop().unwrap_or_default();
        assert!(shown.starts_with(token), "{shown}");
    }
    // Without --ca-file there are the authorities that the program brings, which do not know this one.
    let line = format!("jobs list --project=p --region=r --endpoint=https://{}", server.address);
    let ran = root.ran(&line, &[("GOOGLE_APPLICATION_CREDENTIALS", "/key.json")]);
    assert!(ran.status == 8 && ran.stderr.contains("UnknownIssuer"), "{ran:#?}");
}
