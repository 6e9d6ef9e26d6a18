//! `runjob bench`: what it refuses, what it measures, and what is left of it when it is interrupted.

use std::{
    fs::{self, File, OpenOptions},
    io::Read as _,
    os::unix::process::CommandExt as _,
    process::{Command, Output, Stdio},
};

use rustix::{
    process::{Pid, Signal, kill_process_group},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use serde_json::Value;
use tempfile::TempDir;

use super::{Ran, Server, runjob};
use crate::schema::assert_described;

const SCHEMA: &str = include_str!("../../../docs/bench.schema.json");
const JOB: &str = "--job=projects/demo/locations/us-central1/jobs/echo";

/// The program in a directory that is empty.
fn bench(flags: &str) -> (Command, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = runjob(&format!("bench {flags}"));
    command.current_dir(directory.path());
    (command, directory)
}

#[track_caller]
fn assert_refused(flags: &str, stderr: &str) {
    let (command, directory) = bench(flags);
    let expected = Ran { status: 2, stdout: String::new(), stderr: stderr.to_owned() };
    assert_eq!(Ran::of(command), expected, "{flags}");
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0, "{flags} left something behind");
}

#[test]
fn a_plan_that_cannot_be_carried_out_is_refused() {
    for (flags, message) in [
        ("--in-flight=1,0", "0 calls in flight cannot be measured; choose 1 to 4096"),
        ("--in-flight=5000", "5000 calls in flight cannot be measured; choose 1 to 4096"),
        ("--rate=0", "a rate of 0 calls a second cannot be kept; choose 0.1 to 1000000"),
        ("--rate=NaN", "a rate of NaN calls a second cannot be kept; choose 0.1 to 1000000"),
        ("--rate=5 --cold", "cold calls have no open loop; choose one of the two"),
        ("--rounds=0", "0 rounds cannot be measured; choose 1 to 1000, 5 or more for an interval"),
        ("--round=0", "a round of 0ns cannot be measured; choose 1ms to 60s"),
        ("--distance=0,11s", "a distance of 11s is too far; choose up to 10s"),
        ("--arms=raw,raw", "the arm raw is given twice"),
        ("--calls=get,list,get", "the call get is given twice"),
        ("--emulator --distance=20ms", "only the neutral server can be far away; leave the distances out"),
    ] {
        assert_refused(flags, &format!("error: {message}\n"));
    }
}

#[test]
fn a_word_that_means_nothing_is_refused_with_those_that_do() {
    for (flags, message) in [
        (
            "--arms=verbs,http3",
            "'http3' for '--arms <ARM,...>': there is no arm \"http3\"; write one of raw, bare, headers, transport, verbs, rest, rest-h2",
        ),
        (
            "--calls=cancel",
            "'cancel' for '--calls <CALL,...>': there is no call \"cancel\"; write start+poll, start, start:N with up to 1000 variables, poll, get or list",
        ),
        ("--distance=far", "'far' for '--distance <DURATION,...>': expected a duration such as 20ms, 0.5s or 0"),
        ("--threads=0", "'0' for '--threads <N>': 0 is not in 1..=64"),
    ] {
        assert_refused(flags, &format!("error: invalid value {message}\n\nFor more information, try '--help'.\n"));
    }
}

#[test]
fn an_output_that_cannot_be_written_is_refused() {
    assert_refused(
        "--output=/proc/report",
        "error: cannot write /proc/report: No such file or directory (os error 2)\nhint: choose another --output=DIR\n",
    );
}

#[test]
fn an_endpoint_is_not_started_at_without_permission() {
    assert_refused(
        &format!("--endpoint=http://127.0.0.1:1 {JOB}"),
        "error: start+poll would start executions of projects/demo/locations/us-central1/jobs/echo at 127.0.0.1:1; \
         without permission to start, only get and list are measured\n\
         hint: --calls=get,list only reads; --really-start lets the benchmark start executions\n",
    );
    assert_refused(
        "--really-start",
        "error: --really-start permits starts at an endpoint, and there is none\nhint: add --endpoint=URL\n",
    );
    assert_refused(
        &format!("--endpoint=https://run.googleapis.com {JOB}"),
        "error: --endpoint: only plaintext servers are measured\nhint: write --endpoint=http://HOST:PORT\n",
    );
    assert_refused(
        "--emulator --in-flight=300",
        "error: 300 calls in flight need more connections than an emulator takes\n\
         hint: choose up to --in-flight=256, or leave out --emulator\n",
    );
}

/// What was measured: call, arm, and whether every call was answered.
fn answered(report: &Value) -> Vec<(&str, &str, bool)> {
    let levels = report["levels"].as_array().expect("levels").iter();
    let arms = levels.flat_map(|level| level["arms"].as_array().expect("arms").iter().map(move |arm| (level, arm)));
    arms.map(|(level, arm)| {
        let all = arm["answered"].as_u64() > Some(0) && arm["failures"] == serde_json::json!({});
        (level["call"].as_str().expect("a call"), arm["arm"].as_str().expect("an arm"), all)
    })
    .collect()
}

#[test]
fn a_small_run_gives_the_table_the_page_and_json_as_described() {
    let (command, directory) = bench("--arms=verbs,rest --in-flight=2 --distance=0,2ms --rounds=2 --round=50ms");
    let ran = Ran::of(command);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, "note: the page is runjob-bench/report.html\n"), "{ran:#?}");
    let folder = directory.path().join("runjob-bench");
    let read = |name| fs::read_to_string(folder.join(name)).expect("a file");
    assert_eq!(read("report.md").trim_end(), ran.stdout.trim_end());
    assert!(read("report.html").contains("<svg") && folder.join("start-poll-2ms-2-rest.hgrm").exists());
    let report: Value = serde_json::from_str(&read("report.json")).expect("JSON");
    assert_described(&report, SCHEMA);
    let each = [("start+poll", "verbs", true), ("start+poll", "rest", true)];
    assert_eq!(answered(&report), [each, each].concat());
    assert_eq!((&report["server"], &report["interrupted"]), (&"neutral server".into(), &false.into()));
}

#[test]
fn an_emulator_answers_every_call_of_every_arm() {
    let (command, _directory) =
        bench("--emulator --calls=start+poll,get,list --in-flight=2 --rounds=1 --round=20ms --format=json");
    let report = Ran::of(command).json();
    assert_described(&report, SCHEMA);
    assert_eq!((answered(&report).len(), report["server"].as_str()), (15, Some("emulator")));
    assert!(answered(&report).iter().all(|(_, _, all)| *all), "{report:#}");
}

#[test]
fn an_endpoint_is_only_read_from_unless_starts_are_permitted() {
    let server = Server::start_with("--runtime=simulated");
    let endpoint = server.variable.replace("RUN_EMULATOR_HOST=", "--endpoint=http://");
    let executions = || server.ran("executions list --job=echo --format=json").json().as_array().map(Vec::len);
    let measured = |flags: &str| {
        let flags = format!("{endpoint} {JOB} --arms=verbs,rest --in-flight=1 --rounds=1 --round=20ms {flags}");
        Ran::of(bench(&format!("{flags} --format=json")).0)
    };
    let nothing_to_read = measured("--calls=get,list");
    assert_eq!(nothing_to_read.status, 8, "{nothing_to_read:#?}");
    assert!(nothing_to_read.stderr.contains("jobs/echo has no execution yet"), "{nothing_to_read:#?}");

    assert_eq!(server.ran("execute echo").status, 0);
    let report = measured("--calls=get,list").json();
    assert!(answered(&report).iter().all(|(_, _, all)| *all), "{report:#}");
    assert_eq!(executions(), Some(1));

    let report = measured("--calls=start --really-start").json();
    assert!(answered(&report).iter().all(|(_, _, all)| *all), "{report:#}");
    assert!(executions() > Some(2));
}

#[test]
fn an_interrupted_run_reports_what_it_has() {
    let (mut command, directory) = bench("--arms=verbs,rest --in-flight=1,2 --rounds=1000 --round=5ms");
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal");
    let name = ptsname(&master, Vec::new()).expect("a name").into_string().expect("Unicode");
    command.stdout(Stdio::piped()).stderr(OpenOptions::new().write(true).open(&name).expect("the terminal"));
    let child = command.env("TERM", "xterm").process_group(0).spawn().expect("the program starts");
    // With the last handle of the terminal's other side closed, a program that ends early ends the reading.
    drop(command);

    let (mut terminal, mut shown) = (File::from(master), String::new());
    while !shown.contains("of 4004 rounds") || !shown.contains("start+poll, 1 in flight") {
        let mut bytes = [0; 4096];
        let count = terminal.read(&mut bytes).expect("a progress bar");
        shown += &String::from_utf8_lossy(&bytes[..count]);
    }
    // As Ctrl-C does: all processes of the group.
    kill_process_group(Pid::from_child(&child), Signal::INT).expect("it runs");
    while terminal.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
    let Output { status, stdout, .. } = child.wait_with_output().expect("it ends");
    let table = String::from_utf8(stdout).expect("Unicode");
    assert_eq!(status.code(), Some(130), "{table}");
    assert!(table.contains("; interrupted\n"), "{table}");
    let report = fs::read_to_string(directory.path().join("runjob-bench/report.json")).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    assert_described(&report, SCHEMA);
    assert_eq!(report["interrupted"], true);
}
