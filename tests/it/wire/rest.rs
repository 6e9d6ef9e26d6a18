//! The same emulator over REST, by requests as they stand on the wire.

mod ahead;
mod errors;
mod gate;
mod json;
mod routes;

use hyper_util::rt::TokioIo;
use runjob::emulator::Emulator;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tower::ServiceExt as _;

use super::{Api, LOCATION};

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Lines as they came, their names in lower case.
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }

    /// The message of the error envelope.
    pub(super) fn message(&self) -> String {
        self.json()["error"]["message"].as_str().expect("an error").to_owned()
    }

    fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }
}

impl Api {
    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "").await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, body).await
    }

    /// A request under the location of the sample jobs; a body is JSON.
    async fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        request(&self.emulator, method, &format!("/v2/{LOCATION}/{path}"), &[], body).await
    }
}

/// A request with a JSON body, if any, by the emulator's own connector.
pub(super) async fn request(
    emulator: &Emulator,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let json = ("Content-Type", "application/json");
    let headers: Vec<_> = headers.iter().copied().chain((!body.is_empty()).then_some(json)).collect();
    let io =
        emulator.connector().oneshot("http://emulator".parse().expect("a URI")).await.expect("it takes connections");
    exchange(TokioIo::into_inner(io), method, path, &headers, body).await
}

/// One HTTP/1.1 exchange, with these headers and those that say where the body ends.
pub(super) async fn exchange(
    mut io: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "Host") {
        text += "Host: 127.0.0.1\r\n";
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    // A refusal may come, and the connection end, before all of a body has left.
    _ = io.write_all((text + "\r\n" + body).as_bytes()).await;
    let mut answer = Vec::new();
    io.read_to_end(&mut answer).await.expect("it answers");
    parse(&String::from_utf8(answer).expect("text"))
}

fn parse(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    Answer { status: status.expect("a status"), headers: lines.filter_map(header).collect(), body: body.to_owned() }
}
