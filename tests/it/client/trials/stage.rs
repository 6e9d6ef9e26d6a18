//! Carries trials out: with our client as a caller who comes back, and with a naive one.

use std::{net::SocketAddr, time::Duration};

use runjob::{
    Client, JobName, Result, Routing, Run,
    emulator::Rpc,
    proto::run::v2::{
        EnvVar, RunJobRequest, env_var,
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
    cut::{Breaking, Cut, Cuts, Proxy},
    mishap::Mishap,
    oracle::{Found, Told},
    service::{MARKER, Mark, Service, job_name},
    trial::Trial,
};

/// How often the naive client tries again.
const RETRIES: u32 = 3;

/// A job, and the way to it. Trials on one stage take turns.
pub(super) struct Stage<'a> {
    service: &'a Service,
    pub(super) job: JobName,
    way: Way,
    /// The limit of one RPC.
    limit: Duration,
}

enum Way {
    InProcess(Cuts),
    Straight(SocketAddr),
    /// By connections that break.
    Proxied(Proxy),
}

impl<'a> Stage<'a> {
    /// On tokio's paused clock: nothing takes long.
    pub(super) fn in_process(service: &'a Service, job: &str) -> Self {
        Self { service, job: job_name(job), way: Way::InProcess(Cuts::default()), limit: Duration::from_secs(60) }
    }

    /// Over TCP, with a new job, for one trial.
    pub(super) async fn over_sockets(service: &'a Service, whose: &str, trial: &Trial) -> Self {
        let job = job_name(&format!("{whose}-{}", trial.seed));
        service.add_job(&job).await;
        let emulator = service.emulator.addr().expect("it listens");
        let way = if trial.cuts.is_empty() { Way::Straight(emulator) } else { Way::Proxied(Proxy::to(emulator).await) };
        Self { service, job, way, limit: Duration::from_secs(4) }
    }

    /// Under which a start by this trial is known.
    pub(super) fn mark(&self, trial: &Trial) -> Mark {
        (self.job.clone(), trial.seed)
    }

    /// What a caller with our client is told: by each call of `start`, and by `find_start` if none of them has settled it.
    pub(super) async fn client(&self, trial: &Trial) -> (Vec<Told>, Found) {
        self.set(trial);
        // No start takes as long, whatever goes wrong.
        let patience = self.limit * 60;
        let mut told = Vec::new();
        for _ in 0..=trial.repeats {
            let answer = timeout(patience, self.start(trial)).await;
            told.push(answer.as_ref().map_or(Told::Silence, Told::by));
            match answer {
                Ok(Err(error)) if trial.is_keyed || error.is_retryable() => {}
                _ => break,
            }
        }
        self.clear();
        let is_open = trial.is_keyed && !matches!(told.last(), Some(Told::Started(_) | Told::Adopted(..)));
        (told, if is_open { Some(self.service.find(&self.job, &trial.key()).await) } else { None })
    }

    async fn start(&self, trial: &Trial) -> Result<Run> {
        let mut start = self.new_client().await.run(&self.job).env(MARKER, trial.seed.to_string());
        if trial.is_keyed {
            start = start.start_key(trial.key());
        }
        if trial.validates_first {
            start = start.validate_first();
        }
        start.start().await
    }

    /// What a client does that tries again whenever the code is UNAVAILABLE: whether it was told of a start.
    pub(super) async fn naive_client(&self, trial: &Trial) -> bool {
        self.set(trial);
        let mut jobs = JobsClient::new(self.new_channel());
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
        starts.into_iter().chain(looks).for_each(|fault| self.service.emulator.fault(fault));
        self.cut(&trial.cuts);
    }

    fn clear(&self) {
        self.service.emulator.clear_faults_of(self.job.id());
        self.cut(&[]);
    }

    fn cut(&self, to_come: &[Cut]) {
        match &self.way {
            Way::InProcess(cuts) | Way::Proxied(Proxy { cuts, .. }) => cuts.set(to_come),
            Way::Straight(_) => {}
        }
    }

    /// A client that has made no connection yet, as that of a caller who was restarted.
    async fn new_client(&self) -> Client {
        let client = match &self.way {
            Way::InProcess(cuts) => Client::builder().connector(self.breaking(cuts)),
            Way::Straight(address) | Way::Proxied(Proxy { address, .. }) => {
                Client::builder().emulator(address.to_string())
            }
        };
        client.rpc_timeout(self.limit).build().await.expect("a client")
    }

    fn new_channel(&self) -> Channel {
        match &self.way {
            Way::InProcess(cuts) => {
                Endpoint::from_static("http://localhost").connect_with_connector_lazy(self.breaking(cuts))
            }
            Way::Straight(address) | Way::Proxied(Proxy { address, .. }) => {
                Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_lazy()
            }
        }
    }

    fn breaking(&self, cuts: &Cuts) -> Breaking {
        Breaking { inner: self.service.emulator.connector(), cuts: cuts.clone() }
    }
}
