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
mod builder;
mod clock;
mod controls;
mod defaults;
mod engine;
mod error;
mod fault;
mod host;
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

use std::{mem, net::SocketAddr, sync::Arc, thread, time::Duration};

use tokio::{sync::watch, task::JoinSet, time::timeout};

pub use self::{
    builder::EmulatorBuilder,
    clock::{Clock, ClockHandle},
    error::EmulatorError,
    fault::{After, Before, Fault, Reason},
    journal::JournalEntry,
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
use self::{controls::Controls, runtime::output::OutputSender, server::gate::Panic};

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
    /// An emulator on a free port of 127.0.0.1, with the sample jobs, by default.
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

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.controls.faults.clear();
    }

    /// The faults that were set for [this job alone](Fault::job) are gone, and the others stay.
    pub fn clear_faults_of(&self, job: &str) {
        self.controls.faults.clear_job(job);
    }

    /// The calls that came in, by gRPC and by REST, in order: the latest 10,000. Only calls to the API, and only those that
    /// got as far as an RPC.
    pub fn journal(&self) -> Vec<JournalEntry> {
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

    /// Resolves when the emulator can no longer save its state and therefore answers nothing; [`stop`](Self::stop) says
    /// why. Never resolves without a [`data_dir`](EmulatorBuilder::data_dir).
    pub async fn failed(&self) {
        self.controls.engine.failed().await;
    }

    /// Kills all tasks, ends all calls, and waits until nothing is left.
    ///
    /// # Errors
    /// When the emulator panicked while it ran, or could no longer serve or save its state.
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
