//! The emulator's own pages, as a test in any language uses them.

use std::time::Duration;

use runjob::emulator::{Clock, Emulator, Runtime, Simulated, Simulation};
use serde_json::{Value, json};

use super::{
    Api, job_name,
    rest::{Answer, request},
};

async fn api() -> Api {
    let script = Simulation::new(|_| Simulated::exits(0).after(Duration::from_secs(60)));
    Api::start(Emulator::builder().clock(Clock::Virtual).seed(3).runtime(Runtime::Simulated(script))).await
}

async fn ask(api: &Api, method: &str, page: &str, body: &str) -> Answer {
    request(&api.emulator, method, &format!("/emulator/v1/{page}"), &[], body).await
}

/// What a page shows after this.
async fn page(api: &Api, method: &str, page: &str, body: &str) -> Value {
    let answer = ask(api, method, page, body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

#[tokio::test]
async fn a_fault_is_set_seen_and_cleared() {
    let mut api = api().await;
    let fault = json!({"at": "before", "rpc": "GetJob", "do": {"answer": {"code": "UNAVAILABLE"}}, "times": 1});
    page(&api, "POST", "faults", &fault.to_string()).await;
    assert_eq!(api.job("echo").await.expect_err("a fault").code(), tonic::Code::Unavailable);
    api.job("echo").await.expect("it acts once");
    let shown = &page(&api, "GET", "faults", "").await["faults"][0];
    assert_eq!((&shown["rpc"], &shown["seen"], &shown["acted"]), (&json!("GetJob"), &json!(2), &json!(1)));
    assert_eq!(page(&api, "DELETE", "faults", "").await, json!({"faults": []}));
}

#[tokio::test]
async fn the_journal_and_the_ledger_tell_what_came_in_and_what_was_started() {
    let mut api = api().await;
    let operation = api.run("echo").await;
    let call = json!({
        "time": "2026-01-01T00:00:00Z",
        "rpc": "RunJob",
        "resource": job_name("echo"),
        "routing": "location=us-central1",
        "code": "OK",
        "duration": "0s",
    });
    assert_eq!(page(&api, "GET", "journal", "").await, json!({"calls": [call]}));
    let start = json!({
        "time": "2026-01-01T00:00:00Z",
        "job": job_name("echo"),
        "execution": api.emulator.ledger()[0].execution.to_string(),
        "operation": operation.name,
    });
    assert_eq!(page(&api, "GET", "ledger", "").await, json!({"starts": [start]}));
}

#[tokio::test]
async fn the_clock_is_seen_and_advanced() {
    let mut api = api().await;
    let operation = api.run("echo").await;
    assert_eq!(page(&api, "GET", "clock", "").await, json!({"clock": "virtual", "now": "2026-01-01T00:00:00Z"}));
    let advanced = page(&api, "POST", "clock", r#"{"advance": "90.5s"}"#).await;
    assert_eq!(advanced, json!({"clock": "virtual", "now": "2026-01-01T00:01:30.500Z"}));
    assert!(api.operation(&operation.name).await.done);
    assert_eq!(ask(&api, "POST", "clock", r#"{"advance": "-1s"}"#).await.status, 400);
}

#[tokio::test]
async fn a_snapshot_is_all_there_is_in_canonical_json() {
    let mut api = api().await;
    let operation = api.run("echo").await;
    api.emulator.clock().advance(Duration::from_secs(60));
    let snapshot = page(&api, "GET", "snapshot", "").await;
    assert_eq!(snapshot.to_string(), api.emulator.snapshot());
    let execution = &snapshot["executions"][0];
    assert_eq!((&execution["succeededCount"], &execution["generation"]), (&json!(1), &json!("1")));
    assert_eq!(snapshot["operations"].as_array().expect("a list").last().expect("the run")["name"], operation.name);
    let response = &snapshot["operations"].as_array().expect("a list").last().expect("the run")["response"];
    assert_eq!(response["@type"], "type.googleapis.com/google.cloud.run.v2.Execution");
    assert_eq!(response["name"], execution["name"]);
    assert_eq!(snapshot["tasks"][0]["completionTime"], "2026-01-01T00:01:00Z");
    assert_eq!(snapshot["jobs"].as_array().expect("a list").len(), 5);
}

#[tokio::test]
async fn a_reset_leaves_what_was_there_at_the_start() {
    let mut api = api().await;
    let before = page(&api, "GET", "snapshot", "").await;
    page(&api, "POST", "faults", r#"{"at": "after", "do": "dropConnection", "rpc": "DeleteJob"}"#).await;
    api.run("echo").await;
    page(&api, "POST", "clock", r#"{"advance": "60s"}"#).await;
    assert_eq!(page(&api, "POST", "reset", "{}").await, json!({}));
    assert_eq!(page(&api, "GET", "snapshot", "").await, before);
    assert_eq!(page(&api, "GET", "faults", "").await["faults"], json!([]));
    assert_eq!(page(&api, "GET", "journal", "").await["calls"], json!([]));
    assert_eq!(page(&api, "GET", "ledger", "").await["starts"], json!([]));
    assert_eq!(page(&api, "GET", "clock", "").await["now"], "2026-01-01T00:00:00Z");
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_a_reason() {
    let api = api().await;
    let answer = ask(&api, "POST", "faults", r#"{"at": "before", "do": "explode"}"#).await;
    assert_eq!(answer.status, 422);
    assert!(answer.message().contains("unknown variant `explode`"), "{}", answer.body);
    let answer = ask(&api, "GET", "nothing", "").await;
    assert_eq!((answer.status, answer.json()["error"]["status"].as_str()), (404, Some("NOT_FOUND")));
    assert_eq!(ask(&api, "PUT", "reset", "{}").await.status, 405);
}

/// faults 4.2, rules 2 and 3: no page reaches these either.
#[tokio::test]
async fn the_pages_are_behind_the_gate() {
    let emulator = Emulator::builder().start().await.expect("it starts");
    let io = || tokio::net::TcpStream::connect(emulator.addr().expect("it listens"));
    for (headers, status) in [
        (&[("Content-Type", "application/json")] as &[_], 200),
        (&[("Content-Type", "application/json"), ("Origin", "http://example.com")], 403),
        (&[("Content-Type", "application/json"), ("Host", "example.com")], 403),
        (&[("Content-Type", "application/json"), ("Sec-Fetch-Site", "cross-site")], 403),
        (&[("Content-Type", "text/plain")], 415),
        (&[], 415),
    ] {
        let answer = super::rest::exchange(
            io().await.expect("it takes connections"),
            "POST",
            "/emulator/v1/reset",
            headers,
            "{}",
        );
        assert_eq!(answer.await.status, status, "{headers:?}");
    }
}
