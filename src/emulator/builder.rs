//! What an emulator should be like, and how its parts are put together.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinSet};

use super::{
    Clock, Emulator, Quota, Runtime, Startup,
    controls::Controls,
    engine::{Driver, Engine},
    error::EmulatorError,
    host::Room,
    iam::{Iam, Principal, Token},
    logs::Logs,
    rest,
    runtime::{
        Backend, GRACE,
        images::{Images, sample_jobs},
        output::{OutputReader, OutputSender},
        process::{ProcessRuntime, Setup},
    },
    seed::Seed,
    server::{
        self, Crowd,
        connector::Connector,
        gate::{Exposure, Panic, Rules},
    },
    service,
    startup::{DELAY_LIMIT, Startups},
    state::{Ids, Machine},
    store,
};
use crate::name::Location;

/// The default location of the sample jobs.
const PROJECT: &str = "demo";
const REGION: &str = "us-central1";

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

    /// Whether a job's own `command` is run instead of its image's. Default is no, because otherwise any caller could run
    /// any program of this machine.
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
    /// that it needs PERMISSION_DENIED. Without any callers, no credentials are required.
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
    /// a member, role or permission is malformed.
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
            let crowd = Crowd::new(Room::of_this_process().connections);
            let connections = server::accept(listener, Arc::clone(&crowd));
            let (routes, api) = (routes.clone(), Arc::clone(&api));
            let logs = Arc::clone(&logs);
            workers.spawn(server::serve(connections, crowd, routes, api, rules(exposure), logs, stopped.clone()));
        }
        let (connector, calls) = Connector::new();
        // What this process dials is for this process to bound.
        let (connections, crowd) = (server::dialled(calls), Crowd::new(usize::MAX));
        workers.spawn(server::serve(connections, crowd, routes, api, rules(Exposure::None), logs, stopped.clone()));
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
        let setup = Setup {
            images,
            allow_command: self.allow_command,
            output: output.clone(),
            grace: GRACE,
            processes: Room::of_this_process().processes,
            root,
        };
        Ok(Backend::Live(Arc::new(ProcessRuntime::new(setup)?)))
    }
}

/// Runs the driver to its end. Its panic is recorded at once, so that a drop reports it too and no waiter hangs.
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
            service::define(engine, Principal::Unchecked, name, (job, None), false).map_err(EmulatorError::samples)?;
        engine.apply(|machine, now| machine.create_job(request, now)).map_err(EmulatorError::samples)?;
    }
    Ok(())
}
