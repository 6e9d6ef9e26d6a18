//! In GitHub Actions: an annotation of what failed, a line of the step's summary, and the step's outputs.

use std::{fs, path::Path};

use super::{JOBS, Ran, Server};

/// The program in a step whose files are in this folder, and what it did.
fn step(server: &Server, folder: &Path, line: &str) -> Ran {
    let mut command = server.command(line);
    command.env("GITHUB_ACTIONS", "true");
    command.env("GITHUB_OUTPUT", folder.join("output")).env("GITHUB_STEP_SUMMARY", folder.join("summary"));
    Ran::of(command)
}

/// A file of the step, and which ids its names end with is left out.
fn read(folder: &Path, name: &str) -> String {
    super::without_suffixes(&fs::read_to_string(folder.join(name)).expect("a file"))
}

#[test]
fn a_failed_execution_is_annotated_summed_up_and_an_output_of_the_step() {
    let server = Server::start();
    let home = tempfile::tempdir().expect("a directory");
    let failed = step(&server, home.path(), "execute fail --args=3 --tasks=2 --wait");
    let name = format!("{JOBS}/fail/executions/fail-ID");
    let annotation = format!(
        "::error title=Cloud Run job::FAILED {name}, first task 0: exit code 3: The container exited with an error."
    );
    assert!(failed.status == 1 && failed.stderr.lines().any(|line| line == annotation), "{failed:#?}");
    assert_eq!(read(home.path(), "output"), format!("execution={name}\noutcome=FAILED\n"));
    let row = format!("- **FAILED** `{name}`: 0 of 2 tasks succeeded, 2 failed, 0 retried\n");
    assert_eq!(read(home.path(), "summary"), row);

    let fine = step(&server, home.path(), "execute echo --wait --format=json");
    assert!(fine.status == 0 && !fine.stderr.contains("::error"), "{fine:#?}");
    assert!(
        read(home.path(), "output")
            .ends_with(&format!("execution={JOBS}/echo/executions/echo-ID\noutcome=SUCCEEDED\n"))
    );
    let started = step(&server, home.path(), "execute echo");
    assert!(started.status == 0 && read(home.path(), "output").ends_with("outcome=STARTED\n"), "{started:#?}");
}

#[test]
fn several_executions_are_one_output_and_what_cannot_be_told_breaks_nothing() {
    let server = Server::start();
    let home = tempfile::tempdir().expect("a directory");
    let start = |line: &str| String::from_utf8(server.command(line).output().expect("runs").stdout).expect("Unicode");
    let (a, b) = (start("execute echo"), start("execute fail --args=3"));
    let both = step(&server, home.path(), &format!("wait {a} {b}"));
    assert_eq!((both.status, both.stderr.matches("::error").count()), (1, 1), "{both:#?}");
    let names = format!("{JOBS}/echo/executions/echo-ID {JOBS}/fail/executions/fail-ID");
    assert_eq!(read(home.path(), "output"), format!("execution={names}\noutcome=SUCCEEDED FAILED\n"));
    assert_eq!(read(home.path(), "summary").lines().count(), 2);

    let nowhere = home.path().join("missing");
    let told = step(&server, &nowhere, &format!("wait {a}"));
    assert_eq!(told.status, 0, "{told:#?}");
    assert!(told.stderr.contains("warning: GitHub Actions was not told: "), "{told:#?}");
}
