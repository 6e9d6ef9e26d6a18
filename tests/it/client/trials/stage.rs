//! Carries trials out against an emulator, and reads what really started.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    time::Duration,
};

use futures_util::TryStreamExt as _;
use runjob::{
    Client, ExecutionName, JobName, Location, Routing,
    emulator::{Emulator, Rpc, Runtime, Simulation},
    proto::run::v2::{
        Container, EnvVar, ExecutionTemplate, Job, RunJobRequest, TaskTemplate, env_var,
        jobs_client::JobsClient,
        run_job_request::{Overrides, overrides::ContainerOverride},
    },
};
use tokio::time::timeout;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use super::{
    cut::{Breaking, Cuts, Proxy},
    mishap::Mishap,
    oracle::{Found, Told},
    trial::Trial,
};

/// Carries the seed of the trial that started an execution.
const MARKER: &str = "TRIAL";
/// No start takes as long as this, whatever goes wrong.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How often the naive client tries again.
const RETRIES: u32 = 3;

/// A job, and the way to the emulator that has it. Trials on one stage take turns.
pub(super) struct Stage<'a> {
    emulator: &'a Emulator,
    job: JobName,
    way: Way,
    /// The limit of one RPC.
    limit: Duration,
}

enum Way {
    InProcess(Cuts),
    Socket { proxy: Proxy, emulator: SocketAddr },
}

impl<'a> Stage<'a> {
    /// On tokio's paused clock: nothing takes long.
    pub(super) fn in_process(emulator: &'a Emulator, job: &str) -> Self {
        Self { emulator, job: job_name(job), way: Way::InProcess(Cuts::default()), limit: Duration::from_secs(60) }
    }

    /// Over TCP, with a port of its own for connections that break.
    pub(super) async fn over_sockets(emulator: &'a Emulator, job: &str) -> Self {
        let address = emulator.addr().expect("it listens");
        let way = Way::Socket { proxy: Proxy::to(address).await, emulator: address };
        Self { emulator, job: job_name(job), way, limit: Duration::from_secs(4) }
    }

    /// Makes the job, like the sample `echo`.
    pub(super) async fn add_job(&self) {
        let container = Container { image: "us-docker.pkg.dev/runjob/samples/echo".to_owned(), ..Container::default() };
        let template = TaskTemplate { containers: vec![container], ..TaskTemplate::default() };
        let template = ExecutionTemplate { template: Some(template), ..ExecutionTemplate::default() };
        let job = Job { template: Some(template), ..Job::default() };
        client(self.emulator).await.create_job(&self.job, job).await.expect("a job");
    }

    /// How often this trial has started here.
    pub(super) fn starts_of(&self, trial: &Trial, started: &Starts) -> Vec<String> {
        started.get(&(self.job.id().to_owned(), trial.seed)).cloned().unwrap_or_default()
    }

    /// How many calls of RunJob about its job there were.
    pub(super) fn calls(&self) -> usize {
        let job = self.job.to_string();
        self.emulator.journal().iter().filter(|call| call.rpc == Rpc::RunJob && call.resource == job).count()
    }

    /// What a caller with our client is told: by each call of `start`, and by `find_start` if none of them has settled it.
    pub(super) async fn client(&self, trial: &Trial) -> (Vec<Told>, Found) {
        self.set(trial);
        let mut told = Vec::new();
        for _ in 0..=trial.repeats {
            let answer = timeout(PATIENCE, self.start(trial)).await;
            told.push(answer.as_ref().map_or(Told::Silence, Told::by));
            match answer {
                Ok(Err(error)) if trial.is_keyed || error.is_retryable() => {}
                _ => break,
            }
        }
        self.clear();
        let is_open = trial.is_keyed && !matches!(told.last(), Some(Told::Started(_) | Told::Adopted(..)));
        (told, if is_open { Some(self.find(trial).await) } else { None })
    }

    async fn start(&self, trial: &Trial) -> runjob::Result<runjob::Run> {
        let mut start = self.new_client(trial).await.run(&self.job).env(MARKER, trial.seed.to_string());
        if trial.is_keyed {
            start = start.start_key(trial.key());
        }
        if trial.validates_first {
            start = start.validate_first();
        }
        start.start().await
    }

    async fn find(&self, trial: &Trial) -> Option<String> {
        let found = client(self.emulator).await.find_start(&self.job, &trial.key()).await;
        found.expect("nothing goes wrong any more").map(|run| run.execution().to_string())
    }

    /// What a client does that tries again whenever the code is UNAVAILABLE: whether it was told of a start.
    pub(super) async fn naive_client(&self, trial: &Trial) -> bool {
        self.set(trial);
        let mut jobs = JobsClient::new(self.new_channel(trial));
        let mut is_started = false;
        for _ in 0..=RETRIES {
            let request = Routing::location(self.job.location()).request(self.request(trial));
            match timeout(self.limit, jobs.run_job(request)).await {
                Ok(Err(status)) if status.code() == Code::Unavailable => {}
                answer => {
                    is_started = matches!(answer, Ok(Ok(_)));
                    break;
                }
            }
        }
        self.clear();
        is_started
    }

    fn request(&self, trial: &Trial) -> RunJobRequest {
        let value = env_var::Values::Value(trial.seed.to_string());
        let env = vec![EnvVar { name: MARKER.to_owned(), values: Some(value) }];
        let container_overrides = vec![ContainerOverride { env, ..ContainerOverride::default() }];
        let overrides = Some(Overrides { container_overrides, ..Overrides::default() });
        RunJobRequest { name: self.job.to_string(), overrides, ..RunJobRequest::default() }
    }

    fn set(&self, trial: &Trial) {
        self.clear();
        let starts = Mishap::arm(&trial.starts, Rpc::RunJob, self.job.id(), self.limit);
        let looks = Mishap::arm(&trial.looks, Rpc::ListExecutions, self.job.id(), self.limit);
        starts.into_iter().chain(looks).for_each(|fault| self.emulator.fault(fault));
        self.cuts().set(&trial.cuts);
    }

    fn clear(&self) {
        self.emulator.clear_faults_of(self.job.id());
        self.cuts().set(&[]);
    }

    fn cuts(&self) -> &Cuts {
        match &self.way {
            Way::InProcess(cuts) => cuts,
            Way::Socket { proxy, .. } => &proxy.cuts,
        }
    }

    /// A client that has made no connection yet, as that of a caller who was restarted.
    async fn new_client(&self, trial: &Trial) -> Client {
        let client = match &self.way {
            Way::InProcess(_) => Client::builder().connector(self.breaking()),
            Way::Socket { .. } => Client::builder().emulator(self.address(trial).to_string()),
        };
        client.rpc_timeout(self.limit).build().await.expect("a client")
    }

    fn new_channel(&self, trial: &Trial) -> Channel {
        match &self.way {
            Way::InProcess(_) => Endpoint::from_static("http://localhost").connect_with_connector_lazy(self.breaking()),
            Way::Socket { .. } => {
                Endpoint::from_shared(format!("http://{}", self.address(trial))).expect("an address").connect_lazy()
            }
        }
    }

    fn breaking(&self) -> Breaking {
        Breaking { inner: self.emulator.connector(), cuts: self.cuts().clone() }
    }

    /// Past the proxy where it has nothing to do.
    fn address(&self, trial: &Trial) -> SocketAddr {
        match &self.way {
            Way::Socket { proxy, .. } if !trial.cuts.is_empty() => proxy.address,
            Way::Socket { emulator, .. } => *emulator,
            Way::InProcess(_) => unreachable!("it has no address"),
        }
    }
}

/// An emulator whose tasks end at once; with a port, or without.
pub(super) async fn emulator(listens: bool) -> Emulator {
    let emulator = Emulator::builder().runtime(Runtime::Simulated(Simulation::default()));
    let emulator = if listens { emulator } else { emulator.no_listener() };
    emulator.start().await.expect("an emulator")
}

/// What has started, by job and by the trial that started it.
pub(super) type Starts = HashMap<(String, u64), Vec<String>>;

/// What the ledger has.
pub(super) async fn started(emulator: &Emulator) -> Starts {
    let executions = client(emulator).await.executions(&job_name("echo").location().any_job());
    let executions: Vec<_> = executions.try_collect().await.expect("a list");
    let mut started = Starts::new();
    for execution in &executions {
        let name: ExecutionName = execution.name.parse().expect("a name");
        let containers = execution.template.iter().flat_map(|template| &template.containers);
        let marker = containers.flat_map(|container| &container.env).find(|variable| variable.name == MARKER);
        let Some(Some(env_var::Values::Value(seed))) = marker.map(|marker| &marker.values) else {
            panic!("{name} is of no trial")
        };
        let trial = (name.job().id().to_owned(), seed.parse().expect("a seed"));
        started.entry(trial).or_default().push(execution.name.clone());
    }
    let listed: HashSet<_> = executions.into_iter().map(|execution| execution.name).collect();
    let ledger: HashSet<_> = emulator.ledger().iter().map(|start| start.execution.to_string()).collect();
    assert_eq!(listed, ledger, "the ledger has other executions than the list");
    started
}

/// A client with which nothing goes wrong.
async fn client(emulator: &Emulator) -> Client {
    Client::builder().connector(emulator.connector()).build().await.expect("a client")
}

fn job_name(id: &str) -> JobName {
    Location::new("demo", "us-central1").and_then(|location| location.job(id)).expect("a name")
}
