//! Who is answered over REST, and how (api-facts 4, headers; faults 4.2, rules 2 and 3).

use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use runjob::emulator::Emulator;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Answer, LOCATION, exchange};

async fn listening() -> Emulator {
    Emulator::builder().start().await.expect("it starts")
}

async fn ask(emulator: &Emulator, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let io = TcpStream::connect(emulator.addr().expect("it listens")).await.expect("it takes connections");
    exchange(io, method, &format!("/v2/{LOCATION}/{path}"), headers, body).await
}

/// api-facts 4.
#[tokio::test]
async fn an_answer_has_the_headers_of_the_services_front_end() {
    let emulator = listening().await;
    for (path, status) in [("jobs/echo", 200), ("jobs/none", 404)] {
        let answer = ask(&emulator, "GET", path, &[], "").await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("content-type"), ["application/json; charset=UTF-8"]);
        assert_eq!(answer.header("vary"), ["Origin", "X-Origin", "Referer"]);
        assert_eq!(answer.header("server"), ["ESF"]);
        assert_eq!(answer.header("x-content-type-options"), ["nosniff"]);
        assert_eq!(answer.header("x-frame-options"), ["SAMEORIGIN"]);
        assert_eq!(answer.header("x-xss-protection"), ["0"]);
    }
}

#[tokio::test]
async fn http_2_without_tls_is_spoken_on_the_same_port() {
    let emulator = listening().await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Empty<bytes::Bytes>>();
    let uri = format!("http://{}/v2/{LOCATION}/jobs/echo", emulator.addr().expect("it listens"));
    let answer = client.get(uri.parse().expect("a URI")).await.expect("it answers");
    assert_eq!((answer.version(), answer.status()), (http::Version::HTTP_2, http::StatusCode::OK));
    let body = answer.into_body().collect().await.expect("it is whole").to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("jobs/echo"));
}

/// faults 4.2, rule 3: no page can call, whatever the method, and no answer invites one.
#[tokio::test]
async fn a_request_of_a_web_page_is_refused() {
    let emulator = listening().await;
    for headers in [
        [("Origin", "http://example.com")],
        [("Origin", "null")],
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
    ] {
        for (method, path) in [("GET", "jobs"), ("POST", "jobs/echo:run"), ("OPTIONS", "jobs"), ("GET", "elsewhere")] {
            let answer = ask(&emulator, method, path, &headers, "").await;
            assert_eq!(answer.status, 403, "{method} {path} {headers:?}");
            assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control")));
        }
    }
    // A person who types the address.
    assert_eq!(ask(&emulator, "GET", "jobs", &[("Sec-Fetch-Site", "none")], "").await.status, 200);
    assert!(emulator.ledger().is_empty());
}

/// faults 4.2, rule 2: a name that was rebound to loopback stays a foreign name.
#[tokio::test]
async fn a_request_to_a_foreign_host_is_refused() {
    let emulator = listening().await;
    for (host, status) in [("example.com", 403), ("127.0.0.1.example.com", 403), ("localhost:1", 200), ("[::1]", 200)] {
        let answer = ask(&emulator, "GET", "jobs/echo", &[("Host", host)], "").await;
        assert_eq!(answer.status, status, "{host}");
    }
}

/// faults 4.2, rule 3: a page can send these types without asking first.
#[tokio::test]
async fn a_body_that_is_not_json_starts_nothing() {
    let emulator = listening().await;
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"]
    {
        for body in ["{}", ""] {
            let answer = ask(&emulator, "POST", "jobs/echo:run", &[("Content-Type", kind)], body).await;
            assert_eq!(answer.status, 415, "{kind}");
        }
    }
    assert_eq!(ask(&emulator, "POST", "jobs/echo:run", &[], "{}").await.status, 415, "no type");
    assert!(emulator.ledger().is_empty());
    for kind in ["application/json", "Application/JSON; charset=utf-8"] {
        let answer = ask(&emulator, "POST", "jobs/echo:run", &[("Content-Type", kind)], "{}").await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.body);
    }
    assert_eq!(emulator.ledger().len(), 2);
}

#[tokio::test]
async fn a_body_has_a_limit() {
    let emulator = listening().await;
    let body = format!("{{{}}}", " ".repeat(4 * 1024 * 1024));
    let answer = ask(&emulator, "POST", "jobs/echo:run", &[("Content-Type", "application/json")], &body).await;
    assert_eq!(answer.status, 413);
    assert!(emulator.ledger().is_empty());
}

#[tokio::test]
async fn a_body_that_breaks_off_starts_nothing() {
    let emulator = listening().await;
    let mut io = TcpStream::connect(emulator.addr().expect("it listens")).await.expect("it takes connections");
    let head = format!("POST /v2/{LOCATION}/jobs/echo:run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n");
    let part = "Content-Type: application/json\r\n\r\n{}";
    io.write_all((head + part).as_bytes()).await.expect("it listens");
    io.shutdown().await.expect("it listens");
    let mut answer = Vec::new();
    // Whether it answers or closes, it has understood that nothing more comes.
    _ = io.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert!(emulator.ledger().is_empty());
}
