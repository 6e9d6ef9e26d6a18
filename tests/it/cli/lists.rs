//! Lists: how much is asked for, which of it is shown, in which order, and as what.

use std::process::{Command, Stdio};

use prost::Message as _;
use runjob::{
    emulator::Rpc,
    proto::run::v2::{Condition, Container, EnvVar, Job, ListTasksResponse, Task, condition::State, env_var},
};

use super::{JOBS, Ran, place::Place, ran};
use crate::cases::Script;

/// The first cell of each row.
fn first_column(ran: &Ran) -> Vec<&str> {
    assert_eq!((ran.status, ran.stderr.lines().count()), (0, 1), "{ran:#?}");
    ran.stdout.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect()
}

/// The jobs that are listed with these flags, by an emulator of the five samples.
fn jobs(flags: &str) -> Vec<String> {
    let listed = ran(&format!("jobs list --emulator --uri {flags}"));
    assert_eq!((listed.status, listed.stderr.as_str()), (0, ""), "{listed:#?}");
    let id = |uri: &str| uri.strip_prefix(&format!("https://run.googleapis.com/v2/{JOBS}/")).expect("a job").to_owned();
    listed.stdout.lines().map(id).collect()
}

#[test]
fn a_list_is_sorted_and_cut_off() {
    assert_eq!(jobs("--sort-by=name"), ["echo", "env", "fail", "flaky", "sleep"]);
    assert_eq!(jobs("--sort-by=~metadata.name --limit=2"), ["sleep", "flaky"]);
    assert_eq!(jobs("--sort-by=state,~name --limit=1"), ["sleep"]);
    assert_eq!(jobs("--limit=3").len(), 3);
    assert!(jobs("--filter=failed").is_empty());
    let uris = ran("jobs list --emulator --uri --format=json --sort-by=name --limit=1").json();
    assert_eq!(uris, serde_json::json!([format!("https://run.googleapis.com/v2/{JOBS}/echo")]));
}

#[test]
fn what_a_list_does_not_have_is_refused_before_anything_is_sent() {
    let cases = [
        (
            "jobs list --filter=name=x",
            "error: --filter: 'name=x' is not understood\n\
             hint: use a state (ready, failed, pending), as in state=ready, or labels.KEY=VALUE; several are joined by AND\n",
        ),
        (
            "operations list --filter=labels.a=b",
            "error: --filter: 'labels.a=b' is not understood\nhint: use a state (running, done, failed), as in state=running\n",
        ),
        (
            "tasks list echo-x7k2p --sort-by=~size",
            "error: --sort-by: there is no field 'size'\n\
             hint: use index, state, retries, started, ended; ~ before it turns the order round\n",
        ),
    ];
    for (line, expected) in cases {
        let mut command = super::runjob(&format!("{line} --project=p --region=r"));
        command.env("RUN_EMULATOR_HOST", "127.0.0.1:1");
        let ran = Ran::of(command);
        assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (2, "", expected), "{line}");
    }
    for flag in ["--limit=0", "--limit=-1", "--page-size=0", "--page-size=x"] {
        let ran = ran(&format!("jobs list --emulator {flag}"));
        assert_eq!(ran.status, 2, "{ran:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_stops_asking_for_pages() {
    let place = Place::new().await;
    for _ in 0..5 {
        assert_eq!(place.ran("execute echo").status, 0);
    }
    let asked = |line: &str| {
        let before = place.emulator.calls(Rpc::ListExecutions);
        let found = first_column(&place.ran(line)).len();
        (found, place.emulator.calls(Rpc::ListExecutions) - before)
    };
    assert_eq!(asked("executions list"), (5, 1));
    assert_eq!(asked("executions list --page-size=1"), (5, 5));
    assert_eq!(asked("executions list --page-size=1 --limit=2"), (2, 2));
    assert_eq!(asked("executions list --page-size=2 --filter=succeeded --limit=2"), (2, 1));
    assert_eq!(asked("executions list --page-size=1 --sort-by=created --limit=2"), (2, 5), "the last may be the first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_filtered_by_label() {
    let place = Place::new().await;
    let client = place.client().await;
    let job = format!("{JOBS}/echo").parse().expect("a name");
    for (team, starts) in [("a", 1), ("b", 2)] {
        let label = |job: &mut Job| {
            let labels = [&mut job.labels, &mut job.template.get_or_insert_default().labels];
            labels.into_iter().for_each(|labels| _ = labels.insert("team".to_owned(), team.to_owned()));
        };
        client.edit_job(&job, label).await.expect("accepted").wait().await.expect("a job");
        for _ in 0..starts {
            client.run(&job).start().await.expect("started");
        }
    }
    let count = |filter: &str| {
        let mut command = place.command("executions list");
        command.arg(format!("--filter={filter}"));
        first_column(&Ran::of(command)).len()
    };
    assert_eq!((count("labels.team=a"), count("labels.team=b"), count("labels.team=c")), (1, 2, 0));
    assert_eq!(count("state=succeeded AND labels.team=\"b\""), 2);
    assert_eq!(first_column(&place.ran("jobs list --filter=labels.team=b")), ["echo"]);
}

/// A page of a hundred tasks of ten thousand with 16 KiB of variables each, of which every thousandth failed.
fn page(before: usize) -> ListTasksResponse {
    let ended = |index: usize| Condition {
        r#type: "Completed".to_owned(),
        state: if index % 1000 == 7 { State::ConditionFailed } else { State::ConditionSucceeded }.into(),
        ..Condition::default()
    };
    let env = EnvVar { name: "A".to_owned(), values: Some(env_var::Values::Value("x".repeat(16 * 1024))) };
    let task = |index: usize| Task {
        name: format!("{JOBS}/fail/executions/fail-x7k2p/tasks/fail-x7k2p-task{index}"),
        index: i32::try_from(index).expect("small"),
        conditions: vec![ended(index)],
        containers: vec![Container { env: vec![env.clone()], ..Container::default() }],
        ..Task::default()
    };
    let next_page_token = if before == 99 { String::new() } else { before.to_string() };
    ListTasksResponse { tasks: (before * 100..before * 100 + 100).map(task).collect(), next_page_token }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_failed_tasks_of_ten_thousand_are_found_within_100_mb() {
    let script = Script::new(|_, before, _| Ok(page(before).encode_to_vec()));
    let address = script.listen().await;
    let listed = |flags: &str| {
        // Bounds what the program can write to, in KiB: its heap and the stacks of its threads.
        let line = format!("ulimit -d 102400; exec {} tasks list fail-x7k2p {flags}", env!("CARGO_BIN_EXE_runjob"));
        let mut command = Command::new("/bin/sh");
        command.env_clear().env("RUN_EMULATOR_HOST", address.to_string()).args(["-c", &line]).stdin(Stdio::null());
        Ran::of(command)
    };
    let failed = listed("--filter=failed --sort-by=~index");
    let expected: Vec<_> = (0..10).rev().map(|thousand| (thousand * 1000 + 7).to_string()).collect();
    assert_eq!(first_column(&failed), expected);
    assert_eq!(script.calls("ListTasks"), 100);
}
