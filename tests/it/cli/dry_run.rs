//! What a start would send, and arguments from files: all of it without a start.

use std::fs::{self, File};

use serde_json::json;

use super::{JOBS, Ran, place::Place, ran, runjob};

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_the_request_and_starts_nothing() {
    let place = Place::new().await;
    let ran = place.ran("execute echo --args=a --args=b,c --dry-run --format=json");
    let expected = json!({
        "name": format!("{JOBS}/echo"),
        "overrides": {"containerOverrides": [{"args": ["a", "b", "c"]}]},
    });
    assert_eq!((ran.status, ran.json()), (0, expected), "{ran:#?}");
    assert_eq!(ran.stderr, "note: a dry run; nothing was sent\n");
    assert_eq!((place.starts(), place.emulator.journal().len()), (0, 0), "nothing was called");
}

#[test]
fn a_dry_run_needs_no_credentials_and_masks_what_may_be_secret() {
    let line = "execute projects/acme/locations/r1/jobs/shot --dry-run --tasks=3 --task-timeout=5m --start-key=order-1 \
                --container=main --update-env-vars=A=hunter2 --container=side --clear-args";
    let masked = ran(line);
    let expected = "job           projects/acme/locations/r1/jobs/shot\n\
                    container     main\n\
                    env           A=***\n\
                    env           RUNJOB_START_KEY=order-1\n\
                    container     side\n\
                    args          []\n\
                    tasks         3\n\
                    task timeout  300s\n";
    assert_eq!((masked.status, masked.stdout.as_str()), (0, expected), "{masked:#?}");
    let shown = ran(&format!("{line} --show-env --format=json")).json();
    let env = &shown["overrides"]["containerOverrides"][0]["env"];
    assert_eq!(env[0], json!({"name": "A", "value": "hunter2"}), "{shown:#}");
    assert_eq!((&shown["overrides"]["timeout"], &shown["overrides"]["taskCount"]), (&json!("300s"), &json!(3)));
}

#[test]
fn a_dry_run_goes_with_nothing_that_a_start_needs() {
    for flag in ["--wait", "--wait=started", "--exactly-once=t", "--validate-first"] {
        let ran = ran(&format!("execute echo --dry-run --emulator {flag}"));
        assert_eq!(ran.status, 2, "{ran:#?}");
        assert!(ran.stderr.contains("cannot be used with"), "{ran:#?}");
    }
    let ran = ran("execute echo --show-env --emulator");
    assert_eq!((ran.status, ran.stdout.as_str()), (2, ""));
    assert_eq!(ran.stderr, "error: --show-env says what --dry-run shows\nhint: add --dry-run\n");
    let twice = super::ran("execute echo --dry-run --emulator --start-key=k --update-env-vars=RUNJOB_START_KEY=x");
    assert_eq!((twice.status, twice.stdout.as_str()), (2, ""), "the same checks as of a start: {twice:#?}");
}

#[test]
fn arguments_are_read_from_files_and_stdin_one_a_line() {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("args");
    fs::write(&path, "two, three\n\nfour\n").expect("a file");
    let path = path.display();
    for (line, stdin) in [
        (format!("--args=one --args-file={path}"), false),
        (format!("--args=one --args=@{path}"), false),
        ("--args=one --args-file=-".to_owned(), true),
        ("--args=one --args=@-".to_owned(), true),
    ] {
        let mut command = runjob(&format!("execute echo --dry-run --format=json --emulator {line}"));
        if stdin {
            command.stdin(File::open(path.to_string()).expect("a file"));
        }
        let ran = Ran::of(command);
        let args = &ran.json()["overrides"]["containerOverrides"][0]["args"];
        assert_eq!(*args, json!(["one", "two, three", "", "four"]), "{line}: {ran:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_cannot_be_read_start_nothing() {
    let place = Place::new().await;
    let large = place.home.path().join("large");
    File::create(&large).and_then(|file| file.set_len(4 * 1024 * 1024 + 1)).expect("a file");
    let large = format!("--args=@{}", large.display());
    for (flags, reason) in [
        ("--args-file=/nonexistent/args", "cannot read arguments from /nonexistent/args: No such file"),
        ("--args=@/dev/zero", "it is not a regular file"),
        (&*large, "it is larger than 4194304 bytes"),
        ("--args=@- --args-file=-", "stdin is named as a file of arguments more than once"),
        ("--clear-args --args-file=-", "cannot be used with '--clear-args'"),
    ] {
        let ran = place.ran(&format!("execute echo {flags}"));
        assert_eq!((ran.status, ran.stdout.as_str()), (2, ""), "{flags}: {ran:#?}");
        assert!(ran.stderr.contains(reason), "{flags}: {ran:#?}");
    }
    assert_eq!(place.starts(), 0);
}
