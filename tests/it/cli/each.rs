//! A start for each line of a file: killed outright in the middle, interrupted, or refused, and then repeated.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs::{self, File},
    path::PathBuf,
};

use futures_util::TryStreamExt as _;
use runjob::{
    JobName,
    emulator::{Fault, Rpc},
};
use rustix::process::Signal;
use serde_json::json;
use tokio::task::yield_now;
use tonic::Status;

use super::{
    JOBS, Ran, Running,
    place::{HELD, Place},
};

/// More than any emulator can take, so that no test waits for a minute to pass.
const FAST: &str = "--per-minute=1000000";

fn file(place: &Place, text: &str) -> PathBuf {
    let path = place.home.path().join("lines");
    fs::write(&path, text).expect("a file");
    path
}

/// The arguments that the executions of the job `echo` have, and how many executions there are.
async fn arguments(place: &Place) -> (usize, BTreeSet<String>) {
    let job: JobName = format!("{JOBS}/echo").parse().expect("a name");
    let all: Vec<_> = place.client().await.executions(&job).try_collect().await.expect("listed");
    let args =
        all.iter().map(|execution| execution.template.as_ref().expect("a template").containers[0].args.join(" "));
    (all.len(), args.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_lines_that_are_killed_in_the_middle_and_repeated_are_a_thousand_starts() {
    let place = Place::new().await;
    let mut text = String::new();
    (0..1000).for_each(|line| _ = writeln!(text, "line '{line}'"));
    let line = format!("execute echo --each={} --start-key=batch-1 {FAST}", file(&place, &text).display());

    // Of 310 calls 10 are held before and 20 after their effect, and then each of the 30 slots waits for an answer.
    place.emulator.fault(Fault::before(Rpc::RunJob).delay(HELD).every(29).times(10));
    place.emulator.fault(Fault::after(Rpc::RunJob).delay(HELD).every(15).times(20));
    let killed = Running::start(place.command(&format!("{line} --in-flight=30")));
    while place.starts() < 300 {
        yield_now().await;
    }
    drop(killed);
    place.emulator.clear_faults();

    let ran = place.ran(&line);
    assert_eq!((ran.status, place.starts()), (0, 1000), "{}", ran.stderr);
    assert!(ran.stderr.contains("note: 1000 lines: 700 started, 300 found\n"), "{ran:#?}");
    let expected: BTreeSet<_> = (0..1000).map(|line| format!("line {line}")).collect();
    assert!(arguments(&place).await == (1000, expected), "each line once");
    assert_eq!(ran.stdout.lines().count(), 1000);

    let again = place.ran(&line);
    assert_eq!((again.status, place.starts()), (0, 1000), "{}", again.stderr);
    assert!(again.stderr.contains("note: 1000 lines: 0 started, 1000 found\n"), "{}", again.stderr);
    let open = place.ran("recover");
    assert_eq!((open.status, open.stdout.as_str()), (0, ""), "nothing is open: {open:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_words_or_an_object_and_each_has_its_key() {
    let place = Place::new().await;
    let path = file(&place, "a 'b c'\n\n{\"containerOverrides\": [{\"args\": [\"d\"]}], \"taskCount\": 2}\n");
    let line = "execute echo --start-key=k --each=- --update-env-vars=A=1 --format=json";
    let fed = |flags: &str| {
        let mut command = place.command(&format!("{line} {flags}"));
        command.stdin(File::open(&path).expect("a file"));
        Ran::of(command)
    };
    let shown = fed("--dry-run").json();
    let env = |key: &str| json!([{"name": "A", "value": "***"}, {"name": "RUNJOB_START_KEY", "value": key}]);
    let job = format!("{JOBS}/echo");
    let expected = json!([
        {"name": job, "overrides": {"containerOverrides": [{"args": ["a", "b c"], "env": env("k/1")}]}},
        {"name": job, "overrides": {"containerOverrides": [{"args": ["d"], "env": env("k/3")}], "taskCount": 2}},
    ]);
    assert_eq!((shown, place.starts()), (expected, 0));

    let execution = format!("{JOBS}/echo/executions/echo-ID");
    let of = |outcome: &str| {
        json!([
            {"line": 1, "key": "k/1", "outcome": outcome, "execution": execution},
            {"line": 3, "key": "k/3", "outcome": outcome, "execution": execution},
        ])
    };
    assert_eq!(fed("").json(), of("STARTED"));
    assert_eq!(fed("").json(), of("FOUND"));
    assert_eq!(place.starts(), 2);
    let single = place.ran("execute echo --start-key=k/3");
    assert!(single.stderr.contains("found by start key k/3, and not started again"), "{single:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_cannot_be_sent_starts_nothing() {
    let place = Place::new().await;
    for (text, reason) in [
        ("a\nb 'hunter2\n", "line 2: a quote has no end"),
        ("a\n{\"taskCount\": 10001}\n", "line 2: "),
        ("a\n{\"argz\": \"hunter2\"}\n", "line 2: column "),
    ] {
        let ran = place.ran(&format!("execute echo --each={} --start-key=k", file(&place, text).display()));
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{ran:#?}");
        assert!(ran.stderr.contains(reason) && !ran.stderr.contains("hunter2"), "{ran:#?}");
    }
    for flags in ["--each=/nonexistent", "--each=- --args=@-", "--each=- --wait", "--in-flight=2"] {
        let ran = place.ran(&format!("execute echo {flags}"));
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{flags}: {ran:#?}");
    }
    assert_eq!(place.starts(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_by_its_line_and_started_by_a_repetition() {
    let place = Place::new().await;
    let line = format!("execute echo --each={} {FAST} --in-flight=1", file(&place, "a\nb\nc\n").display());
    place.emulator.fault(Fault::before(Rpc::RunJob).answer(Status::invalid_argument("not today")).times(1));
    let ran = place.ran(&line);
    assert_eq!((ran.status, place.starts(), ran.stdout.lines().count()), (2, 2, 2), "{ran:#?}");
    assert!(ran.stderr.contains("error: line 1: ") && ran.stderr.contains("not today"), "{ran:#?}");
    let key = ran.stderr.split("note: the start key is ").nth(1).and_then(|rest| rest.lines().next()).expect("a key");
    let again = place.ran(&format!("{line} --start-key={key}"));
    assert_eq!((again.status, place.starts()), (0, 3), "{ran:#?} {again:#?}");

    let missing = place.ran(&line.replace("echo", "nothing"));
    assert_eq!((missing.status, place.starts()), (7, 3), "{missing:#?}");
    assert_eq!(missing.stderr.matches("error: ").count(), 1, "one line tells of all: {missing:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_waits_for_what_is_sent_and_sends_no_more() {
    let place = Place::new().await;
    let line = format!("execute echo --each={} --start-key=k --per-minute=2", file(&place, "a\nb\nc\n").display());
    let mut running = Running::start(place.command(&line));
    for _ in 0..2 {
        running.line_of_stdout();
    }
    running.signal(Signal::INT);
    let ran = running.end();
    assert_eq!((ran.status, place.starts()), (130, 2), "{ran:#?}");
    assert!(ran.stderr.ends_with("the same command with the same --start-key starts what is missing\n"), "{ran:#?}");
}
