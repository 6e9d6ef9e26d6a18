//! Jobs, executions and tasks: listed, shown, created, deleted.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    process::{Command, Stdio},
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::{Ran, Server, ran};

#[test]
fn the_sample_jobs_are_listed() {
    let ran = ran("jobs list --emulator");
    assert_eq!(ran.status, 0, "{ran:#?}");
    let mut lines = ran.stdout.lines();
    let header: Vec<_> = lines.next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(header, ["JOB", "STATE", "EXECUTIONS", "LATEST", "CREATED"]);
    let mut jobs: Vec<_> = lines.filter_map(|line| line.split_whitespace().next()).collect();
    jobs.sort_unstable();
    assert_eq!(jobs, ["echo", "env", "fail", "flaky", "sleep"], "{ran:#?}");
}

#[test]
fn a_resource_is_canonical_json() {
    let job = ran("jobs describe echo --format=json --emulator").json();
    assert_eq!(job["name"], "projects/demo/locations/us-central1/jobs/echo");
    assert_eq!(job["generation"], "1", "64-bit integers are strings: {job}");
    assert_eq!(job["terminalCondition"]["state"], "CONDITION_SUCCEEDED", "{job}");
}

#[test]
fn yaml_says_what_json_says() {
    let server = Server::start();
    assert_eq!(server.ran("execute echo --args=yes,1.0,null --tasks=2 --wait").status, 0);
    let estimate = "estimate --cpu=1 --memory=512Mi --region=us-central1 --duration=60s --per-day=5";
    for line in ["jobs list", "jobs describe echo", "executions list", "operations list", estimate, "recover"] {
        let json = server.ran(&format!("{line} --format=json"));
        let yaml = server.ran(&format!("{line} --format=yaml"));
        assert_eq!((yaml.status, &yaml.stderr), (json.status, &json.stderr), "{line}");
        let read: serde_json::Value = serde_saphyr::from_str(&yaml.stdout).expect(line);
        assert_eq!(read, json.json(), "{line}: {}", yaml.stdout);
    }
    let started = server.ran("execute fail --args=3 --wait --format=yaml");
    assert!(started.stdout.contains("\nfailures:\n- attempts: 1\n  exitCode: 3\n"), "{started:#?}");
    let refused = ran("jobs list --format=value(name)");
    assert!(refused.stderr.contains("[possible values: text, json, yaml]"), "{refused:#?}");
}

#[test]
fn an_execution_and_its_tasks_are_described_after_the_fact() {
    let server = Server::start();
    let ran = server.ran("execute fail --args=3 --update-env-vars=TOKEN=hunter2 --wait");
    assert_eq!(ran.status, 1, "{ran:#?}");
    let listed = server.command("executions list --job=fail --format=json").output().expect("the program runs");
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let id = listed[0]["name"].as_str().and_then(|name| name.rsplit('/').next()).expect("a name").to_owned();

    let described = server.ran(&format!("describe {id}"));
    assert_eq!(described.status, 0, "{described:#?}");
    let state = described.stdout.lines().find(|line| line.starts_with("state"));
    assert_eq!(state.map(|line| line.split_whitespace().collect::<Vec<_>>()), Some(vec!["state", "failed"]));

    let tasks = server.ran(&format!("tasks list {id}"));
    assert!(tasks.stdout.contains("exit code 3"), "{tasks:#?}");
    assert_eq!(server.ran(&format!("describe {id} --job=fail")).stdout, described.stdout);
}

#[test]
fn values_of_variables_are_masked_unless_asked_for() {
    let server = Server::start();
    assert_eq!(
        server.ran("jobs create mine --image=us-docker.pkg.dev/runjob/samples/env --set-env-vars=TOKEN=hunter2").status,
        0
    );
    let shown = |line: &str| server.ran(line).stdout;
    for line in ["jobs describe mine", "jobs describe mine --format=json", "jobs list --format=json"] {
        assert!(shown(line).contains("***") && !shown(line).contains("hunter2"), "{line}: {}", shown(line));
    }
    assert!(shown("jobs describe mine --show-env").contains("TOKEN=hunter2"));
}

#[test]
fn a_job_is_created_started_and_deleted() {
    let server = Server::start();
    let create = "jobs create mine --image=us-docker.pkg.dev/runjob/samples/echo --args=one,two --tasks=2 \
                  --max-retries=0 --parallelism=1 --task-timeout=30s --format=json";
    let created = server.ran(create);
    assert_eq!(created.status, 0, "{created:#?}");
    let template = &created.json()["template"];
    assert_eq!((&template["taskCount"], &template["parallelism"]), (&2.into(), &1.into()), "{template}");
    assert_eq!(template["template"]["timeout"], "30s");
    assert_eq!(server.ran(create).status, 7, "it exists already");
    assert_eq!(server.ran("execute mine --wait").status, 0);
    let deleted = server.ran("jobs delete mine");
    assert_eq!((deleted.status, deleted.stdout.as_str()), (0, "projects/demo/locations/us-central1/jobs/mine\n"));
    assert_eq!(server.ran("jobs describe mine").status, 7);
}

#[test]
fn an_execution_has_the_same_verbs_below_its_noun() {
    let server = Server::start();
    let started = server.command("jobs execute sleep --args=60").output().expect("the program runs").stdout;
    let name = String::from_utf8(started).expect("Unicode");
    let name = name.trim_end();
    assert_eq!(server.ran(&format!("executions describe {name}")).status, 0);
    assert_eq!(server.ran(&format!("executions cancel {name}")).status, 0);
    assert_eq!(server.ran(&format!("executions wait {name}")).status, 1);
    assert_eq!(server.ran(&format!("executions delete {name}")).status, 0);
    assert_eq!(server.ran(&format!("executions describe {name}")).status, 7);
}

/// The program at a terminal on which this is typed.
fn at_a_terminal(mut command: Command, typed: &str) -> i32 {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal");
    let name = ptsname(&master, Vec::new()).expect("a name").into_string().expect("Unicode");
    let terminal = || OpenOptions::new().read(true).write(true).open(&name).expect("the terminal");
    command.stdin(terminal()).stdout(Stdio::null()).stderr(terminal());
    let mut child = command.spawn().expect("the program starts");
    File::from(master).write_all(typed.as_bytes()).expect("the terminal takes it");
    child.wait().expect("the program ends").code().expect("it ends by itself")
}

#[test]
fn deletion_asks_on_a_terminal_and_nowhere_else() {
    let server = Server::start();
    assert_eq!(at_a_terminal(server.command("jobs delete echo"), "n\n"), 130);
    assert_eq!(server.ran("jobs describe echo").status, 0, "it is still there");
    assert_eq!(at_a_terminal(server.command("jobs delete echo"), "y\n"), 0);
    assert_eq!(at_a_terminal(server.command("jobs delete env --quiet"), ""), 0);
    assert_eq!(server.ran("jobs delete sleep").status, 0);
}

#[test]
fn operations_are_listed_shown_waited_for_and_deleted() {
    let server = Server::start();
    assert_eq!(server.ran("execute echo --update-env-vars=TOKEN=hunter2 --wait").status, 0);
    let listed = server.command("operations list --format=json").output().expect("the program runs").stdout;
    let listed: serde_json::Value = serde_json::from_slice(&listed).expect("JSON");
    let (operation, about) = (&listed[0], listed[0]["metadata"]["name"].as_str().expect("an execution"));
    assert_eq!((&operation["done"], operation.to_string().contains("hunter2")), (&true.into(), false), "{operation}");
    let name = operation["name"].as_str().expect("a name");
    let id = name.rsplit('/').next().expect("an id");

    let row = server.command("operations list").output().expect("the program runs").stdout;
    let row = String::from_utf8(row).expect("Unicode");
    let columns: Vec<_> = row.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!(columns, [id, "done", about.rsplit('/').next().expect("an id")]);
    for verb in ["describe", "wait"] {
        let shown = server.ran(&format!("operations {verb} {id}"));
        assert_eq!(shown.status, 0, "{shown:#?}");
        assert!(shown.stdout.contains("state      done"), "{shown:#?}");
    }
    assert!(server.ran(&format!("operations describe {id} --format=json --show-env")).stdout.contains("hunter2"));
    let deleted = server.ran(&format!("operations delete {name}"));
    assert_eq!((deleted.status, deleted.stdout), (0, format!("{name}\n")));
    let gone = server.ran(&format!("operations delete {name}"));
    assert_eq!(gone.status, 7, "{gone:#?}");
    assert!(gone.stderr.contains(&format!("error: could not delete operation {name}: NOT_FOUND")), "{gone:#?}");
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let mut command = super::runjob("jobs list --emulator");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command.stdout(writer).output().expect("the program runs");
    let ran = Ran::from(output);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{ran:#?}");
}
