//! Waiting for several executions at once, and the lines of events beside it.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{JOBS, Ran, Running, Server, place::Place};

/// The name of an execution that was started with this line.
fn started(server: &Server, line: &str) -> String {
    let output = server.command(&format!("execute {line}")).output().expect("the program runs");
    String::from_utf8(output.stdout).expect("Unicode").trim_end().to_owned()
}

fn events(ran: &Ran) -> Vec<Value> {
    ran.stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {ran:#?}")))
        .collect()
}

#[test]
fn of_several_executions_each_has_its_verdict_and_all_must_succeed() {
    let server = Server::start();
    let (a, b) = (started(&server, "echo"), started(&server, "fail --args=3"));
    let short = |name: &str| name.rsplit('/').next().expect("an id").to_owned();

    let both = server.ran(&format!("wait {a} {}", short(&b)));
    assert_eq!(both.status, 1, "{both:#?}");
    let verdicts: Vec<_> = both.stdout.lines().filter(|line| line.contains(" projects/")).collect();
    assert_eq!(verdicts.len(), 2, "{both:#?}");
    for verdict in [
        format!("SUCCEEDED {JOBS}/echo/executions/echo-ID (1 task, 1 succeeded)"),
        format!("FAILED {JOBS}/fail/executions/fail-ID (1 task, 1 failed)"),
    ] {
        assert!(verdicts.contains(&&*verdict), "{verdict}: {both:#?}");
    }

    let list = server.ran(&format!("wait {b} {a} {b} --format=json"));
    let outcomes: Vec<_> = list.json().as_array().expect("a list").iter().map(|one| one["outcome"].clone()).collect();
    assert_eq!((list.status, outcomes), (1, vec![json!("FAILED"), json!("SUCCEEDED")]), "{list:#?}");

    let c = started(&server, "echo");
    assert_eq!(server.ran(&format!("wait {a} {c}")).status, 0);
    assert_eq!(server.ran(&format!("wait {a} {b} --propagate-exit-code")).status, 3);
}

#[test]
fn of_several_executions_what_runs_on_or_is_not_there_is_told() {
    let server = Server::start();
    let (fails, runs) = (started(&server, "fail --args=3"), started(&server, "sleep --args=60"));
    let ran = server.ran(&format!("wait {fails} {runs} --wait-limit=2s --format=json"));
    assert_eq!((ran.status, &ran.json()[1]["outcome"]), (5, &json!("STARTED")), "{ran:#?}");
    let ran = server.ran(&format!("wait {fails} {runs} --wait-limit=1s"));
    assert_eq!(ran.status, 5, "{ran:#?}");
    let go_on = format!("note: stopped waiting; go on with `runjob wait {JOBS}/sleep/executions/sleep-ID`\n");
    assert!(ran.stdout.ends_with(&format!("{JOBS}/sleep/executions/sleep-ID\n")), "{ran:#?}");
    assert!(ran.stderr.ends_with(&go_on), "{ran:#?}");

    let mut waiting = Running::start(server.command(&format!("wait {fails} {runs} --cancel-on-interrupt")));
    while !waiting.line_of_stdout().starts_with("FAILED") {}
    waiting.signal(Signal::INT);
    let ran = waiting.end();
    assert_eq!(ran.status, 130, "{ran:#?}");
    assert!(ran.stdout.contains(&format!("CANCELLED {JOBS}/sleep/executions/sleep-ID (")), "{ran:#?}");

    let other = "projects/demo/locations/europe-west1/jobs/echo/executions/echo-aaaaa";
    let ran = server.ran(&format!("wait {fails} {other}"));
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{ran:#?}");
    assert!(ran.stderr.contains("one region is asked at a time"), "{ran:#?}");
}

#[test]
fn a_wait_that_is_followed_prints_each_change_and_then_the_report() {
    let server = Server::start();
    let ran = server.ran("execute fail --args=3 --wait --format=json --follow");
    let events = events(&ran);
    assert_eq!(ran.status, 1, "{ran:#?}");
    let (last, before) = events.split_last().expect("a report");
    assert_eq!((&last["event"], &last["outcome"]), (&json!("report"), &json!("FAILED")), "{ran:#?}");
    assert!(!before.is_empty() && before.iter().all(|event| event["event"] == "progress"), "{ran:#?}");
    assert_eq!(before[0]["execution"], json!(format!("{JOBS}/fail/executions/fail-ID")));

    let ran = server.ran("execute echo --wait --follow");
    let refusal = "error: --follow prints lines of JSON\nhint: add --format=json\n";
    assert_eq!((ran.status, ran.stderr.as_str()), (2, refusal));
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_json_an_error_is_json_too() {
    let place = Place::new().await;
    let ran = place.ran("wait echo-aaaaa --format=json");
    let error: Value = serde_json::from_str(ran.stderr.lines().last().expect("a line")).expect("JSON");
    assert_eq!((ran.status, &error["status"]), (7, &json!(7)), "{ran:#?}");
    assert!(error["error"].as_str().is_some_and(|text| text.contains("echo-ID")), "{ran:#?}");
}
