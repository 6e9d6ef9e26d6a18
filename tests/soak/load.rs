//! Those who call: a few dozen at a time, each of whom starts, waits and checks what it is told, again and again.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, TryStreamExt as _};
use runjob::{
    Client, Error, ErrorKind, ExecutionName, Finished, JobName, OperationName, Outcome, Result, Run, RunBuilder,
    StartKey, StartRate, TaskEnd,
    proto::run::v2::{Condition, Execution, condition::State, env_var::Values},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    book::{Book, Told},
    server::{BATCH, KEYED, MARKER, PLAIN, TENACIOUS},
};

const LOCATION: &str = "projects/demo/locations/us-central1";
/// Short, so that replies come too late, too.
const RPC_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than any wait takes: a task runs for two seconds at the most, and is cancelled if it would run for longer.
pub(crate) const HANGS: Duration = Duration::from_secs(150);
/// Before a caller does again what failed.
const AGAIN: Duration = Duration::from_millis(200);
const TASK_TIMEOUT: Duration = Duration::from_secs(1);

/// What a caller does all the time.
#[derive(Clone, Copy, Debug)]
enum Habit {
    Start(Wait),
    Watch,
    List,
}

/// How a caller waits for what it has started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Wait {
    ByHandle,
    ByName,
    ByOperation,
    /// Again and again, for a moment each time.
    InParts,
    /// After it has cancelled it.
    Cancelled,
}

const HABITS: [Habit; 9] = [
    Habit::Start(Wait::ByHandle),
    Habit::Start(Wait::ByHandle),
    Habit::Start(Wait::ByName),
    Habit::Start(Wait::ByName),
    Habit::Start(Wait::ByOperation),
    Habit::Start(Wait::InParts),
    Habit::Start(Wait::Cancelled),
    Habit::Watch,
    Habit::List,
];

/// What the task of a start does.
#[derive(Clone, Copy, Debug)]
struct Plan {
    seconds: f64,
    exit: i32,
    times_out: bool,
    is_cancelled: bool,
}

impl Plan {
    /// Runs until it is cancelled, but not for ever: when its start has an unknown end, nobody cancels it.
    const CANCELLED: Self = Self { seconds: 60.0, exit: 0, times_out: false, is_cancelled: true };
}

/// One caller.
struct Caller {
    client: Client,
    /// Which client it is, of several.
    index: usize,
    book: Arc<Book>,
    random: fastrand::Rng,
    name: String,
    serial: u64,
}

/// Starts the callers: for each address a client, and for each client one of every habit.
pub(crate) async fn begin(
    addresses: &[SocketAddr],
    book: &Arc<Book>,
    random: &mut fastrand::Rng,
    stopped: &watch::Receiver<bool>,
) -> JoinSet<()> {
    let mut callers = JoinSet::new();
    for (index, address) in addresses.iter().enumerate() {
        let client = Client::builder().emulator(address.to_string()).rpc_timeout(RPC_TIMEOUT);
        let client = client.build().await.expect("an address");
        for (number, habit) in HABITS.into_iter().enumerate() {
            let caller = Caller {
                client: client.clone(),
                index,
                book: Arc::clone(book),
                random: random.fork(),
                name: format!("{index}-{number}"),
                serial: 0,
            };
            callers.spawn(caller.go_on(habit, stopped.clone()));
        }
    }
    callers
}

impl Caller {
    async fn go_on(mut self, habit: Habit, stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            match habit {
                Habit::Start(wait) => self.start_and_wait(wait).await,
                Habit::Watch => self.watch().await,
                Habit::List => self.list().await,
            }
            sleep(Duration::from_millis(self.random.u64(0..400))).await;
        }
    }

    async fn start_and_wait(&mut self, wait: Wait) {
        let plan = if wait == Wait::Cancelled { Plan::CANCELLED } else { self.plan() };
        let marker = self.marker();
        let run =
            if self.random.bool() { self.start(&marker, plan).await } else { self.start_keyed(&marker, plan).await };
        let Some(run) = run else { return };
        let began = Instant::now();
        let waited = timeout(HANGS, self.wait(run, wait));
        let finished = waited.await.unwrap_or_else(|_| panic!("{marker}: {wait:?} hangs"));
        self.book.waited(began.elapsed());
        self.check(&marker, plan, finished.unwrap_or_else(|error| panic!("{marker}: {wait:?}: {error}"))).await;
    }

    /// Without a key. None when it was not started, or nobody knows.
    async fn start(&mut self, marker: &str, plan: Plan) -> Option<Run> {
        let job = if plan.exit == 0 && self.random.bool() { TENACIOUS } else { PLAIN };
        self.heard(marker, self.builder(job, marker, plan).start().await)
    }

    /// What was told of a start without a key.
    fn heard(&self, marker: &str, answer: Result<Run>) -> Option<Run> {
        match answer {
            Ok(run) => {
                self.started(marker, &run, "starts without a key");
                return Some(run);
            }
            Err(error) => self.not_started(marker, &error, "unknown ends without a key"),
        }
        None
    }

    /// With a key, again and again until it is known to have started.
    async fn start_keyed(&mut self, marker: &str, plan: Plan) -> Option<Run> {
        let key: StartKey = marker.parse().expect("letters and digits");
        let job = *self.random.choice(&KEYED).expect("there are some");
        let mut was_unknown = false;
        loop {
            match self.builder(job, marker, plan).start_key(key.clone()).start().await {
                Ok(run) => {
                    assert!(run.duplicates().is_empty(), "{marker}: {:?}", run.duplicates());
                    let how = match (was_unknown, run.was_adopted()) {
                        (false, false) => "starts with a key, accepted",
                        (false, true) => "starts with a key, adopted",
                        (true, false) => "starts with a key, unknown at first, accepted when repeated",
                        (true, true) => "starts with a key, unknown at first, adopted when repeated",
                    };
                    self.started(marker, &run, how);
                    return Some(run);
                }
                Err(error) => {
                    was_unknown |= error.kind() == ErrorKind::StartUnknown;
                    self.not_started(marker, &error, "unknown ends with a key");
                }
            }
            sleep(AGAIN).await;
        }
    }

    fn started(&self, marker: &str, run: &Run, how: &'static str) {
        self.book.told(marker, Told::Started(run.execution()));
        self.book.count("starts");
        self.book.count(how);
        self.book.answered(self.index);
    }

    fn not_started(&self, marker: &str, error: &Error, unknown: &'static str) {
        match error.kind() {
            ErrorKind::NotStarted => {
                self.book.told(marker, Told::NotStarted);
                self.book.count("not started");
            }
            ErrorKind::StartUnknown => {
                self.book.told(marker, Told::Unknown);
                self.book.count(unknown);
            }
            _ => panic!("{marker}: a start ended with {error}"),
        }
    }

    fn builder(&self, job: &str, marker: &str, plan: Plan) -> RunBuilder {
        let builder = self.client.run(&job_name(job)).args([plan.seconds.to_string(), plan.exit.to_string()]);
        let builder = builder.env(MARKER, marker);
        if plan.times_out { builder.task_timeout(TASK_TIMEOUT) } else { builder }
    }

    async fn wait(&mut self, mut run: Run, wait: Wait) -> Result<Finished> {
        match wait {
            Wait::ByHandle => self.book.count("waits by handle"),
            Wait::ByName => {
                self.book.count("waits by name");
                run = self.client.attach(run.execution());
            }
            Wait::ByOperation => {
                self.book.count("waits by operation");
                if let Some(operation) = run.operation() {
                    run = self.attach(operation).await;
                }
            }
            Wait::InParts => {
                for _ in 0..self.random.u32(1..6) {
                    self.book.count("waits dropped");
                    let patience = Duration::from_millis(self.random.u64(1..300));
                    if let Ok(finished) = timeout(patience, run.wait()).await {
                        return finished;
                    }
                }
            }
            Wait::Cancelled => {
                sleep(Duration::from_millis(self.random.u64(0..1000))).await;
                self.cancel(&run).await;
            }
        }
        run.wait().await
    }

    async fn attach(&self, operation: &OperationName) -> Run {
        loop {
            match self.client.attach_operation(operation).await {
                Ok(run) => return run,
                Err(error) => self.passed(&error),
            }
            sleep(AGAIN).await;
        }
    }

    async fn cancel(&self, run: &Run) {
        loop {
            match run.cancel().await {
                Ok(()) => break self.book.count("cancels"),
                // Cancelled by a request whose answer was lost, or lost with the emulator.
                Err(error) if error.kind() == ErrorKind::Conflict => break,
                Err(error) => self.passed(&error),
            }
            sleep(AGAIN).await;
        }
    }

    /// Starts several, and watches all of them.
    async fn watch(&mut self) {
        let plans: Vec<_> = (0..self.random.u32(2..8)).map(|_| (self.marker(), self.plan())).collect();
        let starts: Vec<_> = plans.iter().map(|(marker, plan)| self.builder(BATCH, marker, *plan)).collect();
        let mut rate = StartRate::default();
        rate.per_minute = 10_000;
        let mut answers = self.client.start_all(starts, rate);
        let mut runs = HashMap::new();
        let mut expected = HashMap::new();
        for (marker, plan) in plans {
            if let Some(run) = self.heard(&marker, answers.next().await.expect("one for each")) {
                expected.insert(run.execution().clone(), (marker, plan));
                runs.insert(run.execution().clone(), run);
            }
        }
        let began = Instant::now();
        let mut watched = self.client.watch(runs.into_values());
        while let Some((name, finished)) = timeout(HANGS, watched.next()).await.expect("a watch hangs") {
            self.book.count("waits by watch");
            self.book.waited(began.elapsed());
            let (marker, plan) = expected.remove(&name).expect("it is watched, and ends once");
            self.check(&marker, plan, finished.unwrap_or_else(|error| panic!("{marker}: {error}"))).await;
        }
        assert!(expected.is_empty(), "the watch left out {expected:?}");
    }

    async fn list(&mut self) {
        let job = job_name(self.random.choice(&[PLAIN, TENACIOUS, BATCH, KEYED[0]]).expect("there are some"));
        let read = match self.random.u32(0..3) {
            0 => self.client.job(&job).await.map(drop),
            1 => self.client.executions(&job).take(30).try_collect::<Vec<_>>().await.map(drop),
            _ => self.client.tasks(&job.any_execution()).take(30).try_collect::<Vec<_>>().await.map(drop),
        };
        match read {
            Ok(()) => {
                self.book.count("lists");
                self.book.answered(self.index);
            }
            Err(error) => self.passed(&error),
        }
    }

    /// What a wait has said, against what the execution says afterwards, and against what its task was to do.
    async fn check(&mut self, marker: &str, plan: Plan, finished: Finished) {
        self.book.count("ends");
        self.book.answered(self.index);
        let execution = self.execution(finished.name()).await;
        let outcome = finished.outcome();
        assert_eq!(marker_of(&execution).as_deref(), Some(marker), "{} is another's", finished.name());
        assert_eq!(outcome.to_string().replace("timed out", "failed"), truth(&execution), "{marker}: {outcome:?}");
        let is_right = match outcome {
            Outcome::Succeeded => plan.exit == 0 && !plan.times_out && !plan.is_cancelled,
            Outcome::Cancelled => plan.is_cancelled,
            Outcome::TimedOut(_) => plan.times_out,
            Outcome::Failed(tasks) => tasks.iter().all(|task| match task.end {
                TaskEnd::ExitCode(code) => code == plan.exit,
                _ => task.message.contains("lost"),
            }),
            _ => false,
        };
        assert!(is_right, "{marker}: {outcome:?} of {plan:?}");
        self.book.count(match outcome {
            Outcome::Succeeded => "outcome succeeded",
            Outcome::Cancelled => "outcome cancelled",
            Outcome::TimedOut(_) => "outcome timed out",
            _ => "outcome failed",
        });
    }

    async fn execution(&self, name: &ExecutionName) -> Execution {
        loop {
            match self.client.execution(name).await {
                Ok(execution) => return execution,
                Err(error) => self.passed(&error),
            }
            sleep(AGAIN).await;
        }
    }

    /// A call that could not be made, and may be made again.
    fn passed(&self, error: &Error) {
        assert!(error.is_retryable(), "{error}");
        self.book.count("single calls that failed");
    }

    /// Most tasks succeed soon; some fail, and some run into their time limit.
    fn plan(&mut self) -> Plan {
        let seconds = f64::from(self.random.u32(0..50)) / 100.0;
        let succeeds = Plan { seconds, exit: 0, times_out: false, is_cancelled: false };
        match self.random.u32(0..10) {
            0 | 1 => Plan { exit: 3, ..succeeds },
            2 => Plan { seconds: 30.0, times_out: true, ..succeeds },
            _ => succeeds,
        }
    }

    fn marker(&mut self) -> String {
        self.serial += 1;
        format!("{}-{}", self.name, self.serial)
    }
}

/// How the execution ended, by its counts and its condition.
fn truth(execution: &Execution) -> &'static str {
    let completed = execution.conditions.iter().find(|condition| condition.r#type == "Completed");
    let succeeded = execution.succeeded_count == execution.task_count;
    assert_eq!(completed.map(Condition::state) == Some(State::ConditionSucceeded), succeeded, "{execution:?}");
    assert!(execution.completion_time.is_some() && execution.running_count == 0, "it is not over: {execution:?}");
    match (succeeded, execution.cancelled_count) {
        (true, _) => "succeeded",
        (false, 0) => "failed",
        _ => "cancelled",
    }
}

/// The marker that this execution was started with.
pub(crate) fn marker_of(execution: &Execution) -> Option<String> {
    let containers = execution.template.iter().flat_map(|template| &template.containers);
    let mut variables = containers.flat_map(|container| &container.env);
    match &variables.find(|variable| variable.name == MARKER)?.values {
        Some(Values::Value(value)) => Some(value.clone()),
        _ => None,
    }
}

fn job_name(id: &str) -> JobName {
    format!("{LOCATION}/jobs/{id}").parse().expect("a name")
}
