//! What exists and what happens to it: a pure machine of jobs, executions, tasks and operations.
//!
//! Every event comes with its time and changes the machine at once; what has to be done outside (start an attempt,
//! stop one, tell who waits) is left in a list of [`Effects`]. The machine has no clock, no timer, no randomness but the
//! [`Ids`] it was given, and no idea of processes or RPCs: equal events give equal histories.

mod access;
mod advance;
mod condition;
mod define;
mod execution;
mod ids;
mod job;
mod milestone;
mod operation;
mod ordered;
mod packed;
mod plan;
mod read;
mod record;
mod run;
mod task;
mod token;
mod view;

use std::{collections::BTreeSet, mem, sync::Arc, time::SystemTime};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use prost::Message as _;
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    define::JobRequest,
    ids::Ids,
    read::{Cursor, Everything},
    record::{Restoration, StateChange, Table},
    run::RunRequest,
    task::AttemptEnd,
    view::DELAYED_EXECUTION_EXCEEDING_DURATION_LIMIT,
};
use self::{execution::ExecutionRecord, job::JobRecord, operation::OperationSubject, ordered::OrderedMap};
use crate::{
    emulator::{
        iam::Iam,
        quota::{Meter, Quota},
        startup::Startups,
        validate::GPU,
    },
    name::{ExecutionName, JobName, OperationName},
    proto::run::v2::ExecutionTemplate,
};

/// One try of one task.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct AttemptId {
    /// The execution that the task belongs to.
    pub execution: ExecutionName,
    /// The index of the task, from 0: `CLOUD_RUN_TASK_INDEX`.
    pub task_index: u32,
    /// How many attempts of this task there were before: `CLOUD_RUN_TASK_ATTEMPT`.
    pub attempt: u32,
}

/// An entry of the ledger: one execution that was really made.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Start {
    /// When the start was accepted.
    pub time: SystemTime,
    /// The job that was run.
    pub job: JobName,
    /// The execution that came of it.
    pub execution: ExecutionName,
    /// The operation that stands for it.
    pub operation: OperationName,
}

/// What is to be done outside the machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effects {
    /// For the runtime, in this order.
    pub(crate) orders: Vec<Order>,
    /// Operations that are done or gone: their waiters are woken.
    pub(crate) over: Vec<OperationName>,
}

/// What a runtime is to do.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Carry out an attempt, and report its start and its end.
    Start(Launch),
    /// End an attempt early; its end is still reported.
    Stop(AttemptId),
}

/// All that a runtime needs to carry out an attempt.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) id: AttemptId,
    /// The tasks of the execution: `CLOUD_RUN_TASK_COUNT`.
    pub(crate) task_count: u32,
    /// Shared by all attempts of the execution.
    pub(crate) template: Arc<ExecutionTemplate>,
}

impl Launch {
    /// Whether the task has a GPU, and so cannot move to another host.
    pub(crate) fn has_gpu(&self) -> bool {
        let mut containers = self.template.template.iter().flat_map(|task| &task.containers);
        containers.any(|it| it.resources.as_ref().is_some_and(|resources| resources.limits.contains_key(GPU)))
    }
}

/// The machine; its events are in `define` (jobs), `run` (executions) and `advance` (attempts), its views in `read`,
/// and who may do what in `access`.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    ids: Ids,
    iam: Iam,
    meter: Meter,
    jobs: OrderedMap<JobName, JobRecord>,
    executions: OrderedMap<ExecutionName, ExecutionRecord>,
    operations: OrderedMap<OperationName, OperationSubject>,
    startups: Startups,
    /// When running attempts run out of time.
    deadlines: BTreeSet<(SystemTime, AttemptId)>,
    /// When executions enter the next stage of their start-up, or delayed ones have taken too long.
    alarms: BTreeSet<(SystemTime, ExecutionName)>,
    ledger: Vec<Start>,
    /// How many entries of the ledger were written down.
    recorded: usize,
    effects: Effects,
}

impl Machine {
    pub(crate) fn new(ids: Ids, iam: Iam, quota: Quota, startups: Startups) -> Self {
        Self {
            ids,
            iam,
            meter: Meter::new(quota),
            jobs: OrderedMap::default(),
            executions: OrderedMap::default(),
            operations: OrderedMap::default(),
            startups,
            deadlines: BTreeSet::new(),
            alarms: BTreeSet::new(),
            ledger: Vec::new(),
            recorded: 0,
            effects: Effects::default(),
        }
    }

    /// Whether nothing ever happened to it.
    pub(crate) fn is_new(&self) -> bool {
        self.jobs.is_new() && self.operations.is_new()
    }

    /// What the events since the last call ask for.
    pub(crate) fn take_effects(&mut self) -> Effects {
        mem::take(&mut self.effects)
    }
}

/// The etag of a resource as it was at `updated`: the time and the name, each in base64, in quotes that belong to it.
fn etag(name: &str, updated: SystemTime) -> String {
    let time = BASE64_URL_SAFE_NO_PAD.encode(prost_types::Timestamp::from(updated).encode_to_vec());
    format!("\"{time}/{}\"", BASE64_URL_SAFE_NO_PAD.encode(name))
}

#[cfg(test)]
mod tests;
