//! What happened to an execution: failures by their reason, what to do about them, and where the logs are.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use runjob::emulator::{Emulator, Fault, Rpc, Runtime, Simulated, Simulation};

use tonic::Status;

use super::{JOBS, Ran, Server, place::Place, ran, runjob};

/// The one value in the lines `name: value`.
fn value<'a>(text: &'a str, name: &str) -> &'a str {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    values.next().unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn two_hundred_failures_are_four_lines_with_the_verdict_last() {
    let ran = ran("execute fail --args=3 --tasks=200 --wait --emulator");
    assert_eq!(ran.status, 1, "{ran:#?}");
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{ran:#?}");
    assert_eq!(
        [lines[0], lines[3]],
        [
            "200 tasks (0-199): exit code 3 after 1 attempt: The container exited with an error.",
            &format!("FAILED {JOBS}/fail/executions/fail-ID (200 tasks, 200 failed)"),
        ]
    );
    assert!(
        lines[1].starts_with("logs: gcloud logging read '") && lines[2].starts_with("console: https://"),
        "{ran:#?}"
    );
}

#[test]
fn the_report_in_json_has_each_of_two_hundred_failures() {
    let report = ran("execute fail --args=3 --tasks=200 --wait --format=json --emulator").json();
    let failures = report["failures"].as_array().expect("failures");
    let all = (0..200)
        .zip(failures)
        .all(|(index, failure)| failure["task"] == index && failure["exitCode"] == 3 && failure["attempts"] == 1);
    assert!(all && failures.len() == 200, "{report}");
}

#[test]
fn timed_out_is_timed_out_in_text_json_and_lists() {
    let server = Server::start();
    let line = "execute sleep --args=60 --task-timeout=1s --wait";
    let text = server.ran(line);
    let lines: Vec<_> = text.stdout.lines().collect();
    assert_eq!(lines[0], "task 0: timed out after 4 attempts: The configured timeout was reached.", "{text:#?}");
    let verdict = format!("TIMED_OUT {JOBS}/sleep/executions/sleep-ID (1 task, 1 failed, 1 retried)");
    assert_eq!((text.status, lines.last().copied()), (1, Some(verdict.as_str())), "{text:#?}");

    let execution = server.command("executions list --job=sleep --format=json").output().expect("the program runs");
    let execution: serde_json::Value = serde_json::from_slice(&execution.stdout).expect("JSON");
    let name = execution[0]["name"].as_str().expect("a name");
    assert_eq!(server.ran("execute fail --args=3 --wait").status, 1);
    let listed = |flags: &str| server.ran(&format!("executions list --uri {flags}")).stdout;
    assert!(listed("--filter=timed-out").contains("/sleep-ID") && !listed("--filter=timed-out").contains("/fail-ID"));
    assert!(listed("--filter=failed").contains("/fail-ID") && !listed("--filter=failed").contains("/sleep-ID"));
    let table = server.ran("executions list --job=sleep").stdout;
    let row: Vec<_> = table.lines().nth(1).unwrap_or_default().split("  ").filter(|cell| !cell.is_empty()).collect();
    assert_eq!((row[0], row[1]), ("sleep-ID", "timed out"), "{table}");
    let json = server.ran(&format!("wait {name} --format=json")).json();
    assert_eq!((&json["outcome"], &json["failures"][0]["timedOut"]), (&"TIMED_OUT".into(), &true.into()), "{json}");
    let tasks = server.ran(&format!("tasks list {name}")).stdout;
    let row: Vec<_> = tasks.lines().nth(1).unwrap_or_default().split("  ").filter(|cell| !cell.is_empty()).collect();
    assert_eq!((row[1].trim(), row[3].trim()), ("timed out", "timed out"), "{tasks}");
    assert_eq!(server.ran(&format!("tasks list {name} --filter=timed-out")).stdout, tasks);
}

#[test]
fn a_killed_task_is_told_about_memory_and_a_retried_one_that_its_work_was_repeated() {
    let server = Server::start_with("--allow-command");
    let image = "us-docker.pkg.dev/runjob/samples/fail";
    let mut create = server.command(&format!("jobs create greedy --image={image} --command=/bin/sh --max-retries=2"));
    assert!(create.arg("--args=-c,kill -9 $$").status().expect("the program runs").success());
    let ran = server.ran("execute greedy --wait");
    let hints: Vec<_> = ran.stdout.lines().filter(|line| line.starts_with("hint: ")).collect();
    let expected = [
        format!(
            "hint: signal 9 ends a container that runs out of memory (the limit is 512Mi); \
             `runjob jobs update {JOBS}/greedy --memory=SIZE` gives it more"
        ),
        "hint: task 0 was tried 3 times, so its work ran more than once".to_owned(),
    ];
    assert_eq!(hints, expected, "{ran:#?}");
}

#[test]
fn the_line_for_the_logs_finds_them() {
    let server = Server::start_with("--allow-command");
    let image = "us-docker.pkg.dev/runjob/samples/fail";
    let mut create = server.command(&format!("jobs create loud --image={image} --command=/bin/sh --max-retries=0"));
    assert!(create.arg("--args=-c,echo mine; exit 3").status().expect("the program runs").success());
    assert_eq!(server.ran("execute echo --args=other --wait").status, 0);
    let failed = server.ran("execute loud --wait");
    let command = value(&failed.stdout, "logs");
    let filter = command.split('\'').nth(1).expect("a filter in quotes");
    let project = command.split("--project=").nth(1).and_then(|rest| rest.split(' ').next()).expect("a project");

    let request = serde_json::json!({"resourceNames": [format!("projects/{project}")], "filter": filter}).to_string();
    let answer = posted(server.address(), "/v2/entries:list", &request);
    assert!(answer.contains("mine") && !answer.contains("other"), "{answer}");
}

/// What the emulator answers to this request by REST, its headers included.
fn posted(address: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the emulator listens");
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// The values of a row, by its name.
fn described<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix("  "));
    values.map(str::trim).collect()
}

/// The full name of the execution that this line starts.
fn started(server: &Server, line: &str) -> String {
    let output = server.command(line).output().expect("the program runs");
    String::from_utf8(output.stdout).expect("Unicode").trim_end().to_owned()
}

#[test]
fn a_description_shows_what_the_overrides_changed_with_values_masked() {
    let server = Server::start();
    let image = "us-docker.pkg.dev/runjob/samples/sleep";
    let create = format!("jobs create nap --image={image} --args=1,2 --set-env-vars=MODE=old,KEPT=hunter1 --tasks=1");
    assert_eq!(server.ran(&create).status, 0);
    let line = "execute nap --args=60 --update-env-vars=MODE=new,TOKEN=hunter2 --tasks=2 --task-timeout=90s";
    let name = started(&server, line);
    let text = server.ran(&format!("describe {name}"));
    let expected = [
        "tasks: 2 (job: 1)",
        "task timeout: 1m30s (job: 10m0s)",
        "args: [\"60\"] (job: [\"1\",\"2\"])",
        "env MODE: *** (job: ***)",
        "env TOKEN: *** (job: not set)",
    ];
    assert_eq!((text.status, described(&text.stdout, "overridden")), (0, expected.into()), "{text:#?}");
    assert_eq!(described(&text.stdout, "memory"), ["512Mi"], "{text:#?}");
    assert!(!text.stdout.contains("hunter"), "{text:#?}");
    assert!(server.ran(&format!("describe {name} --show-env")).stdout.contains("env MODE: new (job: old)"));

    let json = server.ran(&format!("describe {name} --format=json"));
    let report = &json.json()["report"];
    let changed = &report["overrides"]["changed"];
    let args = serde_json::json!({"field": "args", "job": ["1", "2"], "execution": ["60"]});
    assert_eq!((changed.as_array().map(Vec::len), &changed[2]), (Some(5), &args), "{report}");
    assert!(!json.stdout.contains("hunter"), "{json:#?}");
    assert_eq!(
        described(&server.ran(&format!("describe {}", started(&server, "execute nap"))).stdout, "overridden"),
        ["nothing"]
    );
}

#[test]
fn without_the_job_as_it_was_no_override_is_guessed() {
    let server = Server::start();
    let name = started(&server, "execute echo --args=a --async");
    assert_eq!(server.ran(&format!("wait {name}")).status, 0);
    assert_eq!(server.ran("jobs delete echo").status, 0);
    let text = server.ran(&format!("describe {name}"));
    // The executions of a job are deleted with it.
    assert_eq!(text.status, 7, "{text:#?}");

    let name = started(&server, "execute sleep --args=60");
    assert_eq!(server.ran("execute sleep --exactly-once=later").status, 0);
    let text = server.ran(&format!("describe {name}")).stdout;
    let [why] = described(&text, "overridden")[..] else { panic!("{text}") };
    assert!(why.starts_with("unknown: the job was updated after this start, "), "{why}");
}

#[test]
fn a_description_of_an_end_has_phases_failures_and_the_way_to_the_logs() {
    let server = Server::start_with("--startup=image=0.01s,resources=0.02s");
    let failed = server.command("execute fail --args=3 --tasks=30 --wait --format=json").output().expect("it runs");
    let failed: serde_json::Value = serde_json::from_slice(&failed.stdout).expect("JSON");
    let name = failed["execution"].as_str().expect("a name");
    let text = server.ran(&format!("executions describe {name}")).stdout;
    for (row, begins) in [
        ("state", "failed"),
        ("queued", "0.0"),
        ("starting", "0"),
        ("running", "0"),
        ("failed", "30 tasks (0-29): exit code 3 after 1 attempt: The container exited with an error."),
        ("logs", "gcloud logging read '"),
        ("console", "https://console.cloud.google.com/"),
    ] {
        let values = described(&text, row);
        assert!(values.len() == 1 && values[0].starts_with(begins), "{row}: {text}");
    }
    assert!(described(&text, "queued")[0].contains(" (image 0.0"), "{text}");
    let json: serde_json::Value = server.ran(&format!("describe {name} --format=json")).json();
    let report = &json["report"];
    assert_eq!((&json["taskCount"], &report["outcome"]), (&30.into(), &"FAILED".into()), "{json}");
    assert_eq!(
        (report["failures"].as_array().map(Vec::len), &report["phases"][0]["steps"][0]["phase"]),
        (Some(30), &"image".into())
    );
}

/// On a clock that leaves out the waiting, half a minute of start-up takes no time.
#[test]
fn the_phases_of_a_slow_start_are_read_from_its_conditions() {
    let server = Server::start_with("--clock=fast --runtime=simulated --startup=image=1.1s,resources=27s,started=2s");
    let begun = std::time::Instant::now();
    let started = server.command("execute echo --wait --format=json").output().expect("it runs");
    let started: serde_json::Value = serde_json::from_slice(&started.stdout).expect("JSON");
    let name = started["execution"].as_str().expect("a name");
    let report = &server.ran(&format!("describe {name} --format=json")).json()["report"];
    assert!(begun.elapsed().as_secs() < 20, "the start-up was waited for");
    let lengths = |spans: &serde_json::Value| -> Vec<_> {
        let spans = spans.as_array().into_iter().flatten();
        spans.map(|span| format!("{} {}", span["phase"].as_str().unwrap_or_default(), span["seconds"])).collect()
    };
    let phases = &report["phases"];
    assert_eq!(lengths(phases), ["queued 28.1", "starting 2.0", "running 0.0"], "{report}");
    assert_eq!(lengths(&phases[0]["steps"]), ["image 1.1", "resources 27.0"], "{report}");
}

#[test]
fn a_timeline_fits_the_width_it_is_given() {
    let server = Server::start();
    let failed = server.command("execute flaky --tasks=3 --wait --format=json").output().expect("it runs");
    let failed: serde_json::Value = serde_json::from_slice(&failed.stdout).expect("JSON");
    let name = failed["execution"].as_str().expect("a name");
    for (columns, width) in [(None, 80), (Some("40"), 40), (Some("220"), 220), (Some("many"), 80), (Some("1"), 14)] {
        let mut command = server.command(&format!("describe {name} --timeline"));
        command.envs(columns.map(|columns| ("COLUMNS", columns)));
        let ran = Ran::of(command);
        let drawn: Vec<_> = ran.stdout.lines().skip_while(|line| !line.starts_with("task  0s")).collect();
        assert_eq!((ran.status, drawn.len()), (0, 4), "{columns:?}: {ran:#?}");
        let widest = drawn.iter().map(|line| line.len()).max();
        assert_eq!(widest, Some(width), "{columns:?}: {drawn:#?}");
    }
    let json = server.ran(&format!("describe {name} --timeline --format=json")).json();
    let task = &json["report"]["timeline"][1];
    assert_eq!(
        (&task["task"], &task["state"], &task["attempts"]),
        (&1.into(), &"SUCCEEDED".into(), &2.into()),
        "{task}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_tasks_are_read_once_and_only_when_they_have_something_to_tell() {
    let script = Simulation::new(|attempt| Simulated::exits(i32::from(attempt.task_index % 100 == 7)));
    let place = Place::of(Emulator::builder().runtime(Runtime::Simulated(script))).await;
    let (emulator, client) = (&place.emulator, place.client().await);
    let job = format!("{JOBS}/fail").parse().expect("a name");
    let mut run = client.run(&job).task_count(10_000).start().await.expect("it starts");
    run.wait().await.expect("it ends");

    let name = run.execution().to_string();
    for (line, reads, shown) in [
        ("describe", 100, "100 tasks (7, 107, 207, 307, 407, 507, 607, 707, ...): exit code 1 after 1 attempt"),
        ("describe --timeline", 100, "9500-9999  "),
        ("executions list --job=fail", 0, "failed"),
    ] {
        let before = (emulator.calls(Rpc::ListTasks), emulator.calls(Rpc::GetExecution), emulator.calls(Rpc::GetJob));
        let line = if line.starts_with("describe") { format!("{line} {name}") } else { line.to_owned() };
        let ran = place.ran(&line);
        assert!(ran.status == 0 && ran.stdout.contains(shown) && ran.stdout.lines().count() < 60, "{ran:#?}");
        assert_eq!(emulator.calls(Rpc::ListTasks) - before.0, reads, "{line}");
        assert!(emulator.calls(Rpc::GetExecution) - before.1 <= 1 && emulator.calls(Rpc::GetJob) - before.2 <= 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_said_to_be_missing() {
    let script = Simulation::new(|_| Simulated::exits(3));
    let place = Place::of(Emulator::builder().runtime(Runtime::Simulated(script))).await;
    let client = place.client().await;
    let job = format!("{JOBS}/fail").parse().expect("a name");
    let mut run = client.run(&job).args(["a"]).start().await.expect("it starts");
    run.wait().await.expect("it ends");

    for rpc in [Rpc::ListTasks, Rpc::GetJob] {
        place.emulator.fault(Fault::before(rpc).answer(Status::permission_denied("not\nyours")));
    }
    let ran = place.ran(&format!("describe {}", run.execution()));
    assert_eq!((ran.status, described(&ran.stdout, "state")), (0, vec!["failed"]), "{ran:#?}");
    let [why] = described(&ran.stdout, "overridden")[..] else { panic!("{ran:#?}") };
    assert!(why.starts_with("unknown: the job could not be read: ") && why.contains("not yours"), "{why}");
    assert!(ran.stderr.contains("warning: what its tasks tell is missing: "), "{ran:#?}");
}

#[test]
fn what_a_start_was_given_cannot_command_the_terminal_of_a_description() {
    let server = Server::start();
    let mut start = server.command("execute echo --async");
    start.arg("--args=\u{1b}[2Jred\u{202e}").arg("--update-env-vars=TOKEN=canary");
    let name = String::from_utf8(start.output().expect("the program runs").stdout).expect("Unicode");
    for line in ["describe", "describe --timeline", "describe --format=json"] {
        let shown = server.ran(&format!("{line} {name}"));
        assert_eq!(shown.status, 0, "{shown:#?}");
        assert!(shown.stdout.contains("red") && shown.stdout.contains("TOKEN"), "{shown:#?}");
        let text = shown.stdout + &shown.stderr;
        assert!(!text.contains(['\u{1b}', '\u{202e}']) && !text.contains("canary"), "{line}: {text}");
    }
}

#[test]
fn a_name_that_is_none_is_refused_before_anything_is_called() {
    let long = "a".repeat(10_000);
    for name in ["../fail-abcde", "fail%2eabcde", "fail/abcde", "fail-ab\r\nx: y", "fail-\u{202e}", &long] {
        // Nothing listens there: a call would end with another status.
        let mut command = runjob("describe --timeline");
        let ran = Ran::of({
            command.env("RUN_EMULATOR_HOST", "127.0.0.1:1").arg(name);
            command
        });
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{ran:#?}");
        assert!(ran.stderr.starts_with("error: ") && !ran.stderr.contains(['\r', '\u{202e}']), "{ran:#?}");
    }
}

#[test]
fn a_description_into_a_closed_pipe_is_a_quiet_end() {
    let server = Server::start();
    let name = started(&server, "execute echo");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let ran = Ran::from(
        server.command(&format!("describe {name} --timeline --quiet")).stdout(writer).output().expect("it runs"),
    );
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{ran:#?}");
}
