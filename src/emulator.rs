//! A Cloud Run Jobs API on this machine, in process or on a loopback port, that really runs its tasks.
//!
//! It speaks gRPC and REST as `run.googleapis.com` does: jobs, executions, tasks, long-running operations, and health and
//! reflection beside them. It knows nothing of this crate's client but the resource names.
//!
//! The rooms, and which way they look: `server` (connections, what every call passes) -> `rest` (JSON in, gRPC calls out) ->
//! `service` (messages) -> `engine` (one lock, one driver) -> `state` (the machine: events in, effects out) and `runtime`
//! (carries tasks out). `validate`, `defaults`, `overrides`, `iam`, `quota` and `refusal` are the service's rules and words.
//! What a test holds in its hands is in `controls` (with `clock`, `fault` and `journal`); `admin` are the pages that reach it.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use runjob::emulator::Emulator;
//!
//! let emulator = Emulator::builder().start().await?;
//! println!("RUN_EMULATOR_HOST={}", emulator.addr().expect("it listens"));
//! # Ok(())
//! # }
//! ```

mod admin;
mod clock;
mod controls;
mod defaults;
mod engine;
mod error;
mod fault;
mod iam;
mod journal;
mod logs;
mod overrides;
mod quota;
mod refusal;
mod rest;
mod rest_only;
mod rpc;
mod runtime;
mod seed;
mod server;
mod service;
mod startup;
mod state;
mod store;
mod synthetic;
mod v1;
mod validate;

use std::{
    fs, io, mem,
    net::{Ipv4Addr, SocketAddr},
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use futures_util::FutureExt as _;
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinSet, time::timeout};

pub use self::{
    clock::{Clock, ClockHandle},
    error::EmulatorError,
    fault::{After, Before, Fault, Reason},
    journal::Call,
    quota::Quota,
    rpc::Rpc,
    runtime::{
        output::{Output, OutputLine, OutputReader, Stream},
        simulated::{Simulated, Simulation},
    },
    server::connector::Connector,
    startup::Startup,
    state::{AttemptId, Start},
};
use self::{
    controls::Controls,
    engine::{Driver, Engine},
    iam::{Caller, Iam, Token},
    logs::Logs,
    runtime::{
        Backend, GRACE,
        images::{Images, sample_jobs},
        output::OutputSender,
        process::{Groups, ProcessRuntime},
    },
    seed::Seed,
    server::gate::{Exposure, Panic, Rules},
    startup::{DELAY_LIMIT, Startups},
    state::{Ids, Machine},
};
use crate::name::Location;

/// Where the sample jobs are unless told otherwise.
const PROJECT: &str = "demo";
const REGION: &str = "us-central1";
/// How long calls in flight may take to end when the emulator stops.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// What carries out the tasks.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Runtime {
    /// Processes of this machine: an image stands for a local command.
    #[default]
    Process,
    /// Nothing real: a script says how long each attempt takes and how it ends.
    Simulated(Simulation),
}

/// A running emulator. It stops, and all of its tasks with it, when this is dropped.
///
/// # Panics
/// When it is dropped after a panic of its own, so that a test notices. [`stop`](Self::stop) says so in its error.
#[derive(Debug)]
#[must_use = "an emulator stops when it is dropped"]
pub struct Emulator {
    addr: Option<SocketAddr>,
    connector: Connector,
    controls: Arc<Controls>,
    output: OutputSender,
    stop: watch::Sender<bool>,
    panic: Arc<Panic>,
    workers: JoinSet<Result<(), EmulatorError>>,
}

impl Emulator {
    /// An emulator on a free port of 127.0.0.1, with the sample jobs, unless told otherwise.
    pub fn builder() -> EmulatorBuilder {
        EmulatorBuilder::default()
    }

    /// Where it listens; `None` after [`EmulatorBuilder::no_listener`].
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    /// Connects clients in this process without a socket.
    pub fn connector(&self) -> Connector {
        self.connector.clone()
    }

    /// What the tasks print from now on. Simulated tasks print nothing.
    pub fn output(&self) -> OutputReader {
        self.output.reader()
    }

    /// Every execution that was ever started here, in order, also those deleted since.
    pub fn ledger(&self) -> Vec<Start> {
        self.controls.engine.read(|machine| machine.ledger().to_vec())
    }

    /// Its time.
    pub fn clock(&self) -> ClockHandle {
        ClockHandle::new(&self.controls.engine)
    }

    /// Makes something go wrong from now on.
    pub fn fault(&self, fault: Fault) {
        self.controls.faults.set(fault);
    }

    /// Nothing goes wrong on purpose any more.
    pub fn clear_faults(&self) {
        self.controls.faults.clear();
    }

    /// The faults that were set for [this job alone](Fault::job) are gone, and the others stay.
    pub fn clear_faults_of(&self, job: &str) {
        self.controls.faults.clear_job(job);
    }

    /// The calls that came in, by gRPC and by REST, in order: the latest 10,000. Only calls to the API, and only those that
    /// got as far as an RPC.
    pub fn journal(&self) -> Vec<Call> {
        self.controls.journal.list()
    }

    /// How many calls of this RPC came in since it started or was [reset](Self::reset), also those that the
    /// [journal](Self::journal) has forgotten.
    pub fn calls(&self, rpc: Rpc) -> u64 {
        self.controls.journal.count(rpc)
    }

    /// All jobs, executions, tasks and operations that are there, oldest first, as canonical JSON: an object with these
    /// four keys. Equal things give equal texts.
    pub fn snapshot(&self) -> String {
        admin::snapshot::take(&self.controls.engine).to_string()
    }

    /// Ends all tasks by force, and is again as it was when it started: its jobs, its time unless that is real, and with
    /// a [`seed`](EmulatorBuilder::seed) also the ids to come. There are no faults, and ledger and journal are empty.
    pub fn reset(&self) {
        self.controls.reset();
    }

    /// Resolves when the emulator cannot keep its state any more, and answers nothing because of that; [`stop`](Self::stop)
    /// says why. Never without a [`data_dir`](EmulatorBuilder::data_dir).
    pub async fn failed(&self) {
        self.controls.engine.failed().await;
    }

    /// Kills all tasks, ends all calls, and waits until nothing is left.
    ///
    /// # Errors
    /// When the emulator panicked while it ran, or could not serve or keep its state any more.
    pub async fn stop(mut self) -> Result<(), EmulatorError> {
        self.stop.send_replace(true);
        self.controls.engine.shut_down();
        let mut workers = mem::take(&mut self.workers);
        let mut ended = Ok(());
        let all = async {
            while let Some(worker) = workers.join_next().await {
                let worker = worker.unwrap_or_else(|error| Err(EmulatorError::worker(error)));
                if ended.is_ok() {
                    ended = worker;
                }
            }
        };
        // A call that does not end by then is cut off.
        _ = timeout(STOP_LIMIT, all).await;
        if let Some(text) = self.controls.engine.close() {
            ended = Err(EmulatorError::store(&text));
        }
        self.panic.take().map_or(ended, |text| Err(EmulatorError::panicked(&text)))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.controls.engine.shut_down();
        self.workers.abort_all();
        self.controls.engine.close();
        if let Some(text) = self.panic.take().filter(|_| !thread::panicking()) {
            panic!("{}", EmulatorError::panicked(&text));
        }
    }
}

/// What an emulator should be like; see [`Emulator::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before start"]
pub struct EmulatorBuilder {
    listen: Option<SocketAddr>,
    location: Location,
    samples: bool,
    images: Vec<(String, Vec<String>)>,
    allow_command: bool,
    runtime: Runtime,
    clock: Clock,
    seed: Option<u64>,
    data_dir: Option<PathBuf>,
    seed_file: Option<PathBuf>,
    token: Option<Token>,
    lenient: bool,
    callers: Vec<(Token, String)>,
    grants: Vec<(String, String)>,
    quota: Quota,
    startups: Startups,
}

impl Default for EmulatorBuilder {
    fn default() -> Self {
        Self {
            listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
            location: Location::new(PROJECT, REGION).expect("the default location is valid"),
            samples: true,
            images: Vec::new(),
            allow_command: false,
            runtime: Runtime::default(),
            clock: Clock::default(),
            seed: None,
            data_dir: None,
            seed_file: None,
            token: None,
            lenient: false,
            callers: Vec::new(),
            grants: Vec::new(),
            quota: Quota::default(),
            startups: Startups::default(),
        }
    }
}

impl EmulatorBuilder {
    /// Listens here. Default is 127.0.0.1 with a free port. An address that is not loopback is taken only with
    /// [`require_token`](Self::require_token).
    pub fn listen(self, addr: SocketAddr) -> Self {
        Self { listen: Some(addr), ..self }
    }

    /// Opens no socket: only [`Emulator::connector`] reaches it.
    pub fn no_listener(self) -> Self {
        Self { listen: None, ..self }
    }

    /// Where the sample jobs are. Default is project `demo`, region `us-central1`; every other place works, too.
    pub fn location(self, location: Location) -> Self {
        Self { location, ..self }
    }

    /// Whether there are the sample jobs `echo`, `env`, `sleep`, `fail` and `flaky`, and their images. Default is yes.
    pub fn samples(self, samples: bool) -> Self {
        Self { samples, ..self }
    }

    /// Lets an image stand for a local command. Without tag or digest it stands for all versions. The job's args follow
    /// the command's own. A program without a path is looked up once, when the emulator starts.
    pub fn image(mut self, image: impl Into<String>, command: Vec<String>) -> Self {
        self.images.push((image.into(), command));
        self
    }

    /// Whether a job's own `command` is run instead of its image's. Default is no, because then whoever reaches the
    /// emulator runs any program of this machine.
    pub fn allow_command(self, allow: bool) -> Self {
        Self { allow_command: allow, ..self }
    }

    /// What carries out the tasks. Default is [`Runtime::Process`].
    pub fn runtime(self, runtime: Runtime) -> Self {
        Self { runtime, ..self }
    }

    /// How time passes. Default is [`Clock::Real`].
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Where ids come from: with a virtual clock, simulated tasks and the same calls in the same order, equal seeds give
    /// equal histories. Default is another one each time.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Keeps everything in this directory, so that another emulator can go on from there, whatever happened to this one: no
    /// reply leaves and no task starts before what led to it is on disk. The directory is made if need be, for this user
    /// alone. Attempts that were under way when the last emulator went have failed, and are tried again if they may be.
    /// Default is to keep nothing.
    pub fn data_dir(self, dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: Some(dir.into()), ..self }
    }

    /// Reads this YAML or JSON file when it starts: images, and jobs in a place of the file's own or in
    /// [`location`](Self::location). A job that is there already, from a [`data_dir`](Self::data_dir), stays as it is.
    /// An [`image`](Self::image) given here wins over the file's.
    pub fn seed_file(self, path: impl Into<PathBuf>) -> Self {
        Self { seed_file: Some(path.into()), ..self }
    }

    /// Answers on its port only calls with `Authorization: Bearer TOKEN`. Default is to answer everybody on this machine.
    pub fn require_token(self, token: impl Into<String>) -> Self {
        Self { token: Some(Token::from(token.into())), ..self }
    }

    /// Whether calls without the `x-goog-request-params` header are answered. Default is no, as on the service.
    pub fn lenient(self, lenient: bool) -> Self {
        Self { lenient, ..self }
    }

    /// Makes a bearer token known as that of a member, such as `user:a@example.com` or `serviceAccount:b@example.com`.
    /// From the first one on, a call without a known token is answered UNAUTHENTICATED, and one without the permission
    /// that it needs PERMISSION_DENIED. Without any, nobody is asked who they are.
    pub fn caller(mut self, token: impl Into<String>, member: impl Into<String>) -> Self {
        self.callers.push((token.into().into(), member.into()));
        self
    }

    /// Gives a member a role such as `roles/run.viewer`, or one permission such as `run.jobs.run`, on everything here.
    /// What it has on one job only is for that job's policy, which SetIamPolicy sets.
    pub fn grant(mut self, member: impl Into<String>, granted: impl Into<String>) -> Self {
        self.grants.push((member.into(), granted.into()));
        self
    }

    /// How much there may be of everything. Default is no limit.
    pub fn quota(self, quota: Quota) -> Self {
        Self { quota, ..self }
    }

    /// How long executions take to start, unless the [`seed_file`](Self::seed_file) has another time for their job. Default is
    /// no time at all.
    pub fn startup(mut self, startup: Startup) -> Self {
        self.startups.default = startup;
        self
    }

    /// The longest time that a delayed execution waits for its start, on the emulator's clock. Default is 12 hours.
    pub fn delay(mut self, longest: Duration) -> Self {
        self.startups.delay = longest.min(DELAY_LIMIT);
        self
    }

    /// Starts it, within a tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be listened on or is not loopback, when an image's command is not there, or when the data
    /// directory is in use, cannot be written or read, or is open to other users, when the seed file is wrong, or when
    /// a member, role or permission is none.
    pub async fn start(self) -> Result<Emulator, EmulatorError> {
        let seed = self.seed_file.as_deref().map(Seed::read).transpose()?.unwrap_or_default();
        let output = OutputSender::new();
        let fresh = self.machine(&seed)?;
        let (kept, machine) = match &self.data_dir {
            Some(dir) => {
                let (kept, machine) = store::open(dir, fresh).await?;
                (Some(kept), machine)
            }
            None => (None, fresh),
        };
        let (engine, driver) = Engine::new(machine, self.clock, self.backend(&seed, &output)?, kept);
        engine.lose_attempts();
        if self.samples && engine.read(Machine::is_new) {
            add_samples(&engine, &self.location)?;
        }
        if let Some(path) = &self.seed_file {
            let added = seed.add_jobs(&engine, &self.location);
            added.map_err(|reason| EmulatorError::seed(path, reason))?;
        }
        engine.flushed().await.map_err(|text| EmulatorError::store(&text))?;
        engine.settle_in();
        let controls = Controls::new(&engine);
        let routes = server::routes(&controls).await?;
        let api = Arc::new(rest::Api::new()?);
        let (stop, stopped) = watch::channel(false);
        let panic = Arc::new(Panic::default());
        let rules = |exposure| {
            Arc::new(Rules { lenient: self.lenient, exposure, panic: Arc::clone(&panic), engine: Arc::clone(&engine) })
        };

        let mut workers = JoinSet::new();
        let logs = Arc::new(Logs::default());
        workers.spawn(keep_logs(Arc::clone(&logs), output.reader(), Arc::clone(&engine), stopped.clone()));
        let mut addr = None;
        if let Some(listen) = self.listen {
            let exposure = match (&self.token, listen.ip().is_loopback()) {
                (Some(token), _) => Exposure::Token(token.clone()),
                (None, true) => Exposure::ThisMachine,
                (None, false) => return Err(EmulatorError::not_loopback(listen)),
            };
            let listener = server::bind(listen).await?;
            addr = Some(listener.local_addr().map_err(|error| EmulatorError::listen(listen, error))?);
            let connections = server::accept(listener);
            let (routes, api) = (routes.clone(), Arc::clone(&api));
            let logs = Arc::clone(&logs);
            workers.spawn(server::serve(connections, routes, api, rules(exposure), logs, stopped.clone()));
        }
        let (connector, calls) = Connector::new();
        workers.spawn(server::serve(server::dialled(calls), routes, api, rules(Exposure::None), logs, stopped.clone()));
        workers.spawn(drive(driver, Arc::clone(&engine), stopped, Arc::clone(&panic)));
        Ok(Emulator { addr, connector, controls, output, stop, panic, workers })
    }

    /// A place for the homes of tasks. In the data directory, which is ours alone, what the last emulator left goes first.
    fn homes(&self) -> io::Result<TempDir> {
        let Some(dir) = &self.data_dir else { return tempfile::Builder::new().prefix("runjob-").tempdir() };
        let homes = dir.join("homes");
        if homes.exists() {
            fs::remove_dir_all(&homes)?;
        }
        fs::create_dir(&homes)?;
        TempDir::new_in(homes)
    }

    fn machine(&self, seed: &Seed) -> Result<Machine, EmulatorError> {
        let mut iam = Iam::default();
        for (token, member) in &self.callers {
            iam.add_caller(token.clone(), member.clone())?;
        }
        for (member, granted) in &self.grants {
            iam.grant(member.clone(), granted)?;
        }
        for (token, caller) in &seed.callers {
            iam.add_caller(token.clone().into(), caller.member.clone())?;
            for role in &caller.roles {
                iam.grant(caller.member.clone(), role)?;
            }
        }
        let ids = self.seed.map_or_else(Ids::random, Ids::seeded);
        let mut startups = self.startups.clone();
        startups.jobs.extend(seed.startup.iter().map(|(job, startup)| (job.clone(), *startup)));
        Ok(Machine::new(ids, iam, seed.quotas.clone().unwrap_or_else(|| self.quota.clone()), startups))
    }

    fn backend(&self, seed: &Seed, output: &OutputSender) -> Result<Backend, EmulatorError> {
        if let Runtime::Simulated(simulation) = &self.runtime {
            return Ok(Backend::Simulated(simulation.clone()));
        }
        let mut images = if self.samples { Images::samples() } else { Images::default() };
        for (image, command) in seed.images.iter().chain(self.images.iter().map(|(image, command)| (image, command))) {
            images.insert(image.clone(), command.clone());
        }
        images.resolve()?;
        let root = self.homes().map_err(EmulatorError::homes)?;
        Ok(Backend::Live(Arc::new(ProcessRuntime {
            images,
            allow_command: self.allow_command,
            output: output.clone(),
            grace: GRACE,
            groups: Arc::new(Groups::new(root.path())),
            root,
        })))
    }
}

/// Runs the driver to its end. Its panic is remembered at once, so that also a drop reports it, and nobody waits on.
async fn drive(
    driver: Driver,
    engine: Arc<Engine>,
    mut stopped: watch::Receiver<bool>,
    panic: Arc<Panic>,
) -> Result<(), EmulatorError> {
    let stop = async move {
        // A stopper that is gone wants the same.
        _ = stopped.wait_for(|stop| *stop).await;
    };
    if let Err(payload) = AssertUnwindSafe(driver.run(stop)).catch_unwind().await {
        panic.record(&*payload);
        engine.shut_down();
    }
    Ok(())
}

/// Keeps what the tasks print until the emulator stops.
async fn keep_logs(
    logs: Arc<Logs>,
    output: OutputReader,
    engine: Arc<Engine>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), EmulatorError> {
    tokio::select! {
        () = logs.record(output, engine) => {}
        // A stopper that is gone wants the same.
        _ = stopped.wait_for(|stop| *stop) => {}
    }
    Ok(())
}

fn add_samples(engine: &Engine, location: &Location) -> Result<(), EmulatorError> {
    for (id, job) in sample_jobs() {
        let name = location.job(id).map_err(EmulatorError::sample_name)?;
        let request =
            service::define(engine, Caller::Unchecked, name, (job, None), false).map_err(EmulatorError::samples)?;
        engine.apply(|machine, now| machine.create_job(request, now)).map_err(EmulatorError::samples)?;
    }
    Ok(())
}
