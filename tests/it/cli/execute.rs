//! Starting and waiting with `--emulator`: real processes, and the truth about their end.

use runjob::emulator::{Fault, Rpc};
use serde_json::json;
use tonic::Status;

use super::{JOBS, Ran, Server, place::Place, ran, runjob};

#[test]
fn execute_and_wait_shows_what_the_task_writes_and_how_it_ended() {
    let ran = ran("execute echo --args=hello,rust --wait --emulator");
    assert_eq!(ran.status, 0, "{ran:#?}");
    assert_eq!(
        ran.stdout,
        format!("hello rust\nSUCCEEDED {JOBS}/echo/executions/echo-ID (1 task, 1 succeeded)\n"),
        "{ran:#?}"
    );
}

#[test]
fn beside_json_what_the_task_writes_stays_off_stdout() {
    let ran = ran("execute echo --args=hello --wait --format=json --emulator");
    assert_eq!(ran.json()["outcome"], "SUCCEEDED", "{ran:#?}");
    assert!(ran.stderr.lines().any(|line| line == "hello"), "{ran:#?}");
}

#[test]
fn the_output_of_several_tasks_is_told_apart() {
    let ran = ran("execute echo --args=hi --tasks=3 --wait --emulator");
    assert_eq!(ran.status, 0, "{ran:#?}");
    let mut lines: Vec<_> = ran.stdout.lines().filter(|line| line.contains(" | ")).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["task0 | hi", "task1 | hi", "task2 | hi"], "{ran:#?}");
}

#[test]
fn a_failed_task_is_named_with_its_exit_code() {
    let ran = ran("execute fail --args=3 --wait --format=json --emulator");
    assert_eq!(ran.status, 1, "{ran:#?}");
    let mut report = ran.json();
    let operation = report["operation"].take();
    assert!(operation.as_str().is_some_and(|name| name.contains("/operations/")), "{operation}");
    let phases: Vec<_> = report["phases"].as_array().expect("phases").iter().map(|span| &span["phase"]).collect();
    assert_eq!(phases, ["queued", "starting", "running"], "{report}");
    report["phases"].take();
    let [link, command] = ["logUri", "logCommand"].map(|key| report[key].as_str().expect("text").to_owned());
    assert!(link.starts_with("https://console.cloud.google.com/logs/viewer?project=demo&"), "{link}");
    assert!(command.starts_with("gcloud logging read 'resource.type=\"cloud_run_job\" AND "), "{command}");
    let expected = json!({
        "execution": format!("{JOBS}/fail/executions/fail-ID"),
        "operation": null,
        "outcome": "FAILED",
        "tasks": {"total": 1, "succeeded": 0, "failed": 1, "cancelled": 0, "retried": 0},
        "failures": [{"task": 0, "attempts": 1, "exitCode": 3, "message": "The container exited with an error."}],
        "phases": null,
        "logUri": link,
        "logCommand": command,
    });
    assert_eq!(report, expected);
}

#[test]
fn the_tasks_own_exit_code_is_passed_on_when_asked_for() {
    assert_eq!(ran("execute fail --args=42 --wait --propagate-exit-code --emulator").status, 42);
}

#[test]
fn a_quiet_start_prints_its_name_and_nothing_else() {
    let ran = ran("execute echo --wait --quiet --emulator");
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{ran:#?}");
    assert!(
        ran.stdout.contains(&format!("SUCCEEDED {JOBS}/echo/executions/echo-ID (1 task, 1 succeeded)\n")),
        "{ran:#?}"
    );
}

#[test]
fn lists_that_are_repeated_add_up() {
    let ran = ran("execute echo --args=a --args=b,c --wait --emulator");
    assert!(ran.stdout.starts_with("a b c\n"), "{ran:#?}");
}

#[test]
fn a_retry_is_shown() {
    let ran = ran("execute flaky --wait --emulator");
    assert_eq!(ran.status, 0, "{ran:#?}");
    assert!(ran.stdout.ends_with(
            "hint: 1 task was retried, so its work ran more than once\n\
             SUCCEEDED projects/demo/locations/us-central1/jobs/flaky/executions/flaky-ID (1 task, 1 succeeded, 1 retried)\n"
        ), "{ran:#?}");
}

#[test]
fn a_task_that_exceeds_its_limit_is_timed_out() {
    let ran = ran("execute sleep --args=60 --task-timeout=1s --wait --format=json --emulator");
    assert_eq!(ran.status, 1, "{ran:#?}");
    assert_eq!(ran.json()["outcome"], "TIMED_OUT", "{ran:#?}");
}

#[test]
fn variables_reach_the_task() {
    let ran = ran("execute env --update-env-vars=^;^GREETING=hello,world;MODE=full --wait --emulator");
    assert_eq!(ran.status, 0, "{ran:#?}");
    for line in ["GREETING=hello,world", "MODE=full", "CLOUD_RUN_TASK_COUNT=1"] {
        assert!(ran.stdout.lines().any(|printed| printed == line), "{line}: {ran:#?}");
    }
}

#[test]
fn without_wait_the_name_of_the_started_execution_is_the_result() {
    let ran = ran("execute sleep --args=60 --emulator");
    assert_eq!((ran.status, ran.stdout), (0, format!("{JOBS}/sleep/executions/sleep-ID\n")));
    assert!(ran.stderr.contains("the emulator ends with this command"), "{}", ran.stderr);
}

#[test]
fn a_wait_for_the_start_returns_when_a_task_runs_or_when_it_is_over() {
    let server = Server::start();
    let ran = server.ran("execute sleep --args=60 --wait=started --format=json");
    let report = ran.json();
    assert_eq!(
        (ran.status, &report["outcome"], &report["tasks"]["total"]),
        (0, &json!("STARTED"), &json!(1)),
        "{ran:#?}"
    );
    let state = server.ran("executions list --job=sleep").stdout;
    assert!(state.contains("running"), "{state}");

    let over = server.ran("execute fail --args=3 --wait=done");
    assert_eq!(over.status, 1, "{over:#?}");
    let nonsense = server.ran("execute echo --wait=soon");
    assert_eq!(nonsense.status, 2, "{nonsense:#?}");
    assert!(nonsense.stderr.contains("possible values: started, done"), "{nonsense:#?}");
}

#[test]
fn patience_that_ends_leaves_the_execution_running() {
    let ran = ran("execute sleep --args=60 --wait --wait-limit=0.2s --format=json --emulator");
    assert_eq!((ran.status, &ran.json()["outcome"]), (5, &json!("STARTED")), "{ran:#?}");
}

#[test]
fn sample_jobs_live_where_a_full_name_says() {
    let ran = ran("execute projects/acme/locations/asia-northeast1/jobs/echo --wait --emulator");
    assert_eq!(ran.status, 0, "{ran:#?}");
    assert!(ran.stdout.contains("SUCCEEDED projects/acme/locations/asia-northeast1/jobs/echo/"), "{ran:#?}");
}

#[test]
fn what_a_task_writes_cannot_command_the_terminal() {
    let mut command = runjob("execute echo --wait --emulator");
    command.arg("--args=\u{1b}[31mred\u{202e}");
    let ran = Ran::of(command);
    assert!(ran.stdout.lines().any(|line| line == "\u{fffd}[31mred\u{fffd}"), "{ran:#?}");
}

#[test]
fn arguments_are_cleared_when_asked_to() {
    for flag in ["--args=", "--clear-args"] {
        let ran = ran(&format!("execute fail {flag} --wait --format=json --emulator"));
        assert_eq!(ran.json()["failures"][0]["exitCode"], 1, "{flag}: {ran:#?}");
    }
}

#[test]
fn help_and_the_version_are_results() {
    for line in ["--help", "execute --help", "--version"] {
        let ran = ran(line);
        assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{line}");
        assert!(ran.stdout.contains("runjob"), "{line}: {}", ran.stdout);
    }
    assert_eq!(ran("").status, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_the_job_is_not_replaced_by_text() {
    let place = Place::new().await;
    let image = "us-docker.pkg.dev/runjob/samples/echo";
    assert_eq!(place.ran(&format!("jobs create mine --image={image} --set-secrets=KEY=key:latest")).status, 0);
    let note = format!("note: RUN_EMULATOR_HOST is set: calling the emulator at {}\n", place.address());
    let (job, what) = (format!("{JOBS}/mine"), "and this start would give it as text");
    let hint = format!("leave it out, or change the job: runjob jobs update {job} --update-secrets=KEY=SECRET:VERSION");
    let refused = |before: &str| format!("{note}error: {before}KEY is a secret in job {job}, {what}\nhint: {hint}\n");

    let ran = place.ran("execute mine --update-env-vars=MODE=full,KEY=plain");
    assert_eq!((ran.status, ran.stdout, ran.stderr), (2, String::new(), refused("")));
    let lines = place.home.path().join("lines");
    std::fs::write(&lines, "a\n{\"containerOverrides\":[{\"env\":[{\"name\":\"KEY\",\"value\":\"plain\"}]}]}\n")
        .expect("a file");
    let ran = place.ran(&format!("execute mine --start-key=all --each={}", lines.display()));
    let before = format!("--each: {}, line 2: ", lines.display());
    assert_eq!((ran.status, ran.stdout, ran.stderr), (2, String::new(), refused(&before)));
    assert_eq!(place.starts(), 0);

    assert_eq!(place.ran("execute mine --update-env-vars=MODE=full").status, 0);
    let read = place.emulator.calls(Rpc::GetJob);
    assert_eq!(place.ran("execute mine --args=a").status, 0);
    assert_eq!(place.emulator.calls(Rpc::GetJob), read, "without variables there is nothing to look for");
    // A caller may be allowed to start a job and not to read it.
    place.emulator.fault(Fault::before(Rpc::GetJob).answer(Status::permission_denied("no")));
    assert_eq!(place.ran("execute mine --update-env-vars=MODE=full").status, 0);
    assert_eq!(place.starts(), 3);
}
