//! Other names of the same verbs, and names that are not there.

use super::{JOBS, Server, ran};

#[test]
fn the_commands_of_gcloud_have_their_names_below_jobs() {
    let server = Server::start();
    let started = server.command("jobs execute fail --args=3 --tasks=2").output().expect("the program runs").stdout;
    let name = String::from_utf8(started).expect("Unicode");
    let id = name.trim_end().rsplit('/').next().expect("an id");
    assert_eq!(server.ran(&format!("jobs executions wait {id}")).status, 1);
    assert_eq!(server.ran("jobs executions list --job=fail").stdout, server.ran("executions list --job=fail").stdout);
    assert_eq!(
        server.ran(&format!("jobs executions describe {id}")).stdout,
        server.ran(&format!("describe {id}")).stdout
    );
    let tasks = server.ran(&format!("tasks list {id} --sort-by=index"));
    assert_eq!((tasks.status, tasks.stdout.lines().count()), (0, 3), "{tasks:#?}");
    for line in ["tasks list", "executions tasks list", "jobs executions tasks list"] {
        assert_eq!(server.ran(&format!("{line} --execution={id} --sort-by=index")).stdout, tasks.stdout, "{line}");
    }
    let task = server.ran(&format!("tasks describe {id}-task1"));
    let rows = ["index         1", "state         failed", "last attempt  exit code 3"];
    assert!(rows.iter().all(|row| task.stdout.lines().any(|line| line.trim_end() == *row)), "{task:#?}");
    for line in [format!("jobs executions tasks describe {id}-task1"), format!("tasks describe {id}-task1 --job=fail")]
    {
        assert_eq!(server.ran(&line).stdout, task.stdout, "{line}");
    }
    assert_eq!(server.ran(&format!("jobs executions delete {id}")).status, 0);
    let unnamed = ran("tasks list --emulator");
    assert_eq!(unnamed.status, 2, "{unnamed:#?}");
}

#[test]
fn a_job_of_nearly_that_name_is_named() {
    let hint = "hint: there is no job 'ehco' in projects/demo/locations/us-central1; did you mean 'echo'?";
    for line in ["jobs describe ehco", "execute ehco", "wait ehco-x7k2p", "describe ehco-x7k2p"] {
        let ran = ran(&format!("{line} --emulator"));
        assert_eq!((ran.status, ran.stdout.as_str()), (7, ""), "{ran:#?}");
        assert_eq!(ran.stderr.lines().last(), Some(hint), "{ran:#?}");
    }
    for line in ["jobs delete ehco", "cancel ehco-x7k2p", "executions delete ehco-x7k2p"] {
        let ran = ran(&format!("{line} --emulator"));
        assert!(ran.status == 7 && !ran.stderr.contains("echo"), "nothing to delete by mistake: {ran:#?}");
    }
}

#[test]
fn an_execution_of_another_job_than_its_name_says_is_found() {
    let server = Server::start();
    let started = server.ran("execute echo --exactly-once=nightly-2026 --wait");
    assert_eq!(started.status, 0, "{started:#?}");
    for line in ["wait echo-nightly-2026", "describe echo-nightly-2026"] {
        let lost = server.ran(line);
        assert_eq!(lost.status, 7, "{lost:#?}");
        assert!(lost.stderr.contains(&format!("{JOBS}/echo-nightly/executions/echo-nightly-2026")), "{lost:#?}");
        assert_eq!(lost.stderr.lines().last(), Some("hint: the job 'echo' has this execution: give --job=echo"));
        assert_eq!(server.ran(&format!("{line} --job=echo")).status, 0);
    }
}
