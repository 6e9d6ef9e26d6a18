//! The emulator of the trials, and what its ledger says. With whoever asks here, nothing goes wrong.

use std::collections::{HashMap, HashSet};

use futures_util::TryStreamExt as _;
use runjob::{
    Client, ExecutionName, JobName, Location, StartKey,
    emulator::{Emulator, Rpc, Runtime, Simulation},
    proto::run::v2::{Container, Execution, ExecutionTemplate, Job, TaskTemplate, env_var},
};

/// Carries the seed of the trial that started an execution.
pub(super) const MARKER: &str = "TRIAL";

/// An emulator whose tasks end at once, and a client of it.
pub(super) struct Service {
    pub(super) emulator: Emulator,
    client: Client,
}

/// What has started, by job and by the seed of the trial that started it.
pub(super) type Starts = HashMap<Mark, Vec<String>>;
pub(super) type Mark = (JobName, u64);

impl Service {
    /// With a port, or without.
    pub(super) async fn start(listens: bool) -> Self {
        let emulator = Emulator::builder().runtime(Runtime::Simulated(Simulation::default()));
        let emulator = if listens { emulator } else { emulator.no_listener() };
        let emulator = emulator.start().await.expect("an emulator");
        let client = Client::builder().connector(emulator.connector()).build().await.expect("a client");
        Self { emulator, client }
    }

    /// Makes a job like the sample `echo`.
    pub(super) async fn add_job(&self, job: &JobName) {
        let container = Container { image: "us-docker.pkg.dev/runjob/samples/echo".to_owned(), ..Container::default() };
        let template = TaskTemplate { containers: vec![container], ..TaskTemplate::default() };
        let template = ExecutionTemplate { template: Some(template), ..ExecutionTemplate::default() };
        let definition = Job { template: Some(template), ..Job::default() };
        self.client.create_job(job, definition).await.expect("a job");
    }

    /// How many calls of RunJob about this job there were.
    pub(super) fn calls(&self, job: &JobName) -> usize {
        let job = job.to_string();
        self.emulator.journal().iter().filter(|call| call.rpc == Rpc::RunJob && call.resource == job).count()
    }

    /// What `find_start` says.
    pub(super) async fn find(&self, job: &JobName, key: &StartKey) -> Result<Option<String>, String> {
        let found = self.client.find_start(job, key).await;
        found.map(|run| run.map(|run| run.execution().to_string())).map_err(|error| error.to_string())
    }

    /// What the ledger has. It knows nothing of variables, so that the list of executions tells whose each one is.
    pub(super) async fn started(&self) -> Starts {
        let executions = self.client.executions(&location().any_job());
        let executions: Vec<_> = executions.try_collect().await.expect("a list");
        let ledger: HashSet<_> = self.emulator.ledger().iter().map(|start| start.execution.to_string()).collect();
        let listed = executions.iter().map(|execution| execution.name.clone()).collect();
        assert_eq!(ledger, listed, "the ledger has other executions than the list");
        let mut started = Starts::new();
        for execution in executions {
            let name: ExecutionName = execution.name.parse().expect("a name");
            let seed = marker(&execution).unwrap_or_else(|| panic!("{name} is of no trial"));
            started.entry((name.job().clone(), seed)).or_default().push(execution.name);
        }
        started
    }
}

pub(super) fn job_name(id: &str) -> JobName {
    location().job(id).expect("a job id")
}

fn location() -> Location {
    Location::new("demo", "us-central1").expect("a location")
}

fn marker(execution: &Execution) -> Option<u64> {
    let containers = execution.template.iter().flat_map(|template| &template.containers);
    let variable = containers.flat_map(|container| &container.env).find(|variable| variable.name == MARKER)?;
    match variable.values.as_ref()? {
        env_var::Values::Value(seed) => seed.parse().ok(),
        env_var::Values::ValueSource(_) => None,
    }
}
