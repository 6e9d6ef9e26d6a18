//! What programs read: the published schema against real output.

use serde_json::{Value, json};

use super::{Ran, Server, ran};
use crate::schema::assert_described;

/// The schema that the program publishes, for one of its definitions.
fn schema(of: &str) -> String {
    let mut schema = ran("schema").json();
    assert!(schema["$defs"][of].is_object(), "{of} is defined");
    schema["$ref"] = json!(format!("#/$defs/{of}"));
    schema.to_string()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {text}"))).collect()
}

fn last_line_of_stderr(ran: &Ran) -> Value {
    lines(ran.stderr.lines().last().expect("a line")).remove(0)
}

#[test]
fn what_the_program_prints_is_what_its_schema_says() {
    let server = Server::start();
    for line in [
        "execute echo",
        "execute flaky --wait",
        "execute fail --args=3 --tasks=2 --wait",
        "execute sleep --args=60 --task-timeout=1s --wait",
        "execute echo --start-key=k",
        "execute echo --start-key=k",
    ] {
        assert_described(&server.ran(&format!("{line} --format=json")).json(), &schema("report"));
    }
    let start = |line: &str| server.ran(line).stdout.trim_end().to_owned();
    let (a, b) = (start("execute echo --exactly-once=one"), start("execute fail --exactly-once=two --args=3"));
    assert!(b.is_empty(), "a token takes no overrides");
    let b = start("execute fail --exactly-once=two");
    assert_described(&server.ran(&format!("wait {a} {b} --format=json")).json(), &schema("reportList"));
    for name in [&a, &b] {
        let described = server.ran(&format!("describe {name} --timeline --format=json")).json();
        assert_described(&described["report"], &schema("report"));
        assert!(described["report"]["timeline"].is_array() && described["report"]["overrides"].is_object());
    }
    let events = lines(&server.ran(&format!("wait {a} {b} --format=json --follow")).stdout);
    assert_described(events.last().expect("a line"), &schema("reports"));

    let events = lines(&server.ran("execute fail --args=3 --wait --format=json --follow").stdout);
    let (last, before) = events.split_last().expect("a line");
    assert_described(last, &schema("report"));
    before.iter().for_each(|event| assert_described(event, &schema("progress")));
    assert!(!before.is_empty());
}

#[test]
fn an_error_is_what_the_schema_says_also_where_the_line_cannot_be_read() {
    for (line, status) in [
        ("describe echo-aaaaa --emulator --format=json", 7),
        ("execute echo --show-env --emulator --format=json", 2),
        ("execute --format json", 2),
        ("execute echo --tasks=x --format=json", 2),
    ] {
        let ran = ran(line);
        let error = last_line_of_stderr(&ran);
        assert_described(&error, &schema("error"));
        assert_eq!((ran.status, &error["status"]), (status, &json!(status)), "{ran:#?}");
    }
}
