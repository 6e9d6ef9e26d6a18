//! The emulator killed outright, again and again, at points that a seed chooses: what it told its callers is so, and nothing
//! runs twice.
//!
//! `RUNJOB_RESTARTS=1000 cargo test --profile bench killed` does it as often as that.

use std::{collections::BTreeSet, env, fs, os::unix::fs::PermissionsExt as _, time::Duration};

use runjob::{
    Client, ExecutionName, JobName,
    emulator::{Emulator, Runtime, Simulation},
    proto::run::v2::{Container, ExecutionTemplate, Job, TaskTemplate, task_template::Retries},
};
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::{JOBS, Running, runjob};

/// How often, unless RUNJOB_RESTARTS says otherwise.
const RESTARTS: u64 = 20;
/// Restarts in one directory, so that what is checked does not grow without bound.
const RESTARTS_IN_ONE_PLACE: u64 = 50;
const CALLERS: usize = 4;
const IMAGE: &str = "example.com/mark";

/// What a caller knows.
#[derive(Debug)]
enum Told {
    Started(ExecutionName),
    Succeeded(ExecutionName),
}

/// A data directory, and a file in which every attempt leaves a line.
struct Place {
    dir: TempDir,
    script: String,
    marks: String,
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a place");
        let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let (script, marks) = (path("mark.sh"), path("marks"));
        let text = format!(
            "#!/bin/sh\necho \"$CLOUD_RUN_EXECUTION $CLOUD_RUN_TASK_INDEX $CLOUD_RUN_TASK_ATTEMPT\" >> {marks}\n"
        );
        fs::write(&script, text).expect("a file");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("it is ours");
        fs::write(&marks, "").expect("a file");
        let place = Self { dir, script, marks };
        let emulator = place.emulator().await;
        let client = Client::builder().connector(emulator.connector()).build().await.expect("a client");
        for (id, retries) in [("once", 0), ("again", 3)] {
            client.create_job(&job(id), definition(retries)).await.expect("valid").wait().await.expect("created");
        }
        emulator.stop().await.expect("it did not panic");
        place
    }

    fn state(&self) -> String {
        self.dir.path().join("state").to_string_lossy().into_owned()
    }

    /// An emulator of this state, in this process, in which every attempt succeeds at once.
    async fn emulator(&self) -> Emulator {
        let builder = Emulator::builder().data_dir(self.state()).runtime(Runtime::Simulated(Simulation::default()));
        builder.no_listener().start().await.expect("the state is whole")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emulator_that_is_killed_outright_keeps_what_it_told_and_runs_nothing_twice() {
    let restarts = env::var("RUNJOB_RESTARTS").map_or(RESTARTS, |count| count.parse().expect("a number"));
    let mut place = Place::new().await;
    let mut told = Vec::new();
    let (mut starts, mut ends) = (0, 0);
    for seed in 0..restarts {
        if seed % RESTARTS_IN_ONE_PLACE == 0 && seed > 0 {
            (place, told) = (Place::new().await, Vec::new());
        }
        let known = told.len();
        told.extend(work_until_killed(&place, seed).await);
        ends += told[known..].iter().filter(|told| matches!(told, Told::Succeeded(_))).count();
        starts += told[known..].iter().filter(|told| matches!(told, Told::Started(_))).count();
        check(&place, &told, seed).await;
    }
    println!("{restarts} restarts: {starts} starts and {ends} ends that callers were told of, 0 lost, 0 run twice");
    assert!(starts > 0, "nothing was tried");
}

/// Starts an emulator, lets callers start and wait, and kills it. What they were told until then.
async fn work_until_killed(place: &Place, seed: u64) -> Vec<Told> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut line = runjob("emulator --listen=127.0.0.1:0");
    line.arg(format!("--data-dir={}", place.state())).arg(format!("--image={IMAGE}={}", place.script));
    let mut running = Running::start(line);
    let variable = running.line_of_stdout();
    let (_, address) = variable.split_once('=').expect("it is ready");
    let client = Client::builder().emulator(address).build().await.expect("a client");
    let (tell, mut heard) = mpsc::unbounded_channel();
    let callers: Vec<_> =
        (0..CALLERS).map(|_| tokio::spawn(call(client.clone(), tell.clone(), random.fork()))).collect();

    let mut told = Vec::new();
    for _ in 0..random.usize(0..24) {
        told.push(heard.recv().await.expect("a caller is left"));
    }
    // Not to wait for anything: the moment of the kill is to be any.
    tokio::time::sleep(Duration::from_micros(random.u64(0..5000))).await;
    running.child.kill().expect("it runs");
    running.child.wait().expect("it ends");
    for caller in callers {
        caller.abort();
    }
    drop(tell);
    while let Some(last) = heard.recv().await {
        told.push(last);
    }
    told
}

/// Starts executions, and waits for some, until the emulator stops answering.
async fn call(client: Client, tell: mpsc::UnboundedSender<Told>, mut random: fastrand::Rng) {
    loop {
        let job = job(random.choice(["once", "again"]).expect("there are two"));
        let Ok(mut run) = client.run(&job).task_count(random.u32(1..3)).start().await else { return };
        _ = tell.send(Told::Started(run.execution().clone()));
        if random.bool() {
            let Ok(finished) = run.wait().await else { return };
            assert!(finished.outcome().is_success(), "{}", finished.outcome());
            _ = tell.send(Told::Succeeded(run.execution().clone()));
        }
    }
}

async fn check(place: &Place, told: &[Told], seed: u64) {
    let emulator = place.emulator().await;
    let client = Client::builder().connector(emulator.connector()).build().await.expect("a client");
    let ledger = emulator.ledger();
    let entries: BTreeSet<_> = ledger.iter().map(|start| start.execution.clone()).collect();
    assert_eq!(entries.len(), ledger.len(), "seed {seed}: the ledger names an execution twice");
    for start in &ledger {
        let execution = client.execution(&start.execution).await.expect("what is in the ledger exists");
        assert_eq!(execution.succeeded_count + execution.failed_count, execution.task_count, "seed {seed}");
        let operation = client.get_operation(&start.operation).await.expect("what is in the ledger has its operation");
        assert!(operation.done, "seed {seed}: {}", start.operation);
    }
    for told in told {
        match told {
            Told::Started(name) => assert!(entries.contains(name), "seed {seed}: {name} was lost"),
            Told::Succeeded(name) => {
                let execution = client.execution(name).await.expect("it was told of");
                assert_eq!(execution.succeeded_count, execution.task_count, "seed {seed}: {name}");
            }
        }
    }
    emulator.stop().await.expect("it did not panic");
    check_marks(place, &entries, seed);
}

/// Every attempt ran once at most, and only for an execution that is in the ledger.
fn check_marks(place: &Place, entries: &BTreeSet<ExecutionName>, seed: u64) {
    let ids: BTreeSet<_> = entries.iter().map(ExecutionName::id).collect();
    let mut seen = BTreeSet::new();
    for mark in fs::read_to_string(&place.marks).expect("a file").lines() {
        assert!(seen.insert(mark.to_owned()), "seed {seed}: {mark} ran twice");
        let (id, _) = mark.split_once(' ').expect("three words");
        assert!(ids.contains(id), "seed {seed}: {id} ran and is not in the ledger");
    }
}

fn job(id: &str) -> JobName {
    format!("{JOBS}/{id}").parse().expect("a name")
}

fn definition(max_retries: i32) -> Job {
    let container = Container { image: IMAGE.to_owned(), ..Container::default() };
    let retries = Some(Retries::MaxRetries(max_retries));
    let task = TaskTemplate { containers: vec![container], retries, ..TaskTemplate::default() };
    let template = ExecutionTemplate { template: Some(task), ..ExecutionTemplate::default() };
    Job { template: Some(template), ..Job::default() }
}
