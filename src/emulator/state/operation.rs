//! Operations: what each follows, and how far that is.

use prost::Name;
use prost_types::Any;
use serde::{Deserialize, Serialize};

use super::{Machine, milestone::Milestone, packed};
use crate::{
    name::{ExecutionName, JobName, OperationName},
    proto::{
        longrunning::{Operation, operation::Result as Outcome},
        rpc::Status,
        run::v2::Execution,
    },
};

/// What an operation stands for. While that exists the operation is drawn from it, so that it is never out of date.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum OperationSubject {
    /// An execution's whole run: fails when the execution fails.
    Run(ExecutionName),
    /// An execution's way to its end: cancelled or deleted.
    Stop(ExecutionName),
    /// A job's definition, as long as the execution that starts with it is not so far.
    Define(JobName, Milestone),
    /// A job's way out.
    Delete(JobName),
    /// It is final.
    Settled(#[serde(with = "packed")] Box<Operation>),
}

impl Machine {
    /// A name that no operation has, for one on something in that job's location.
    pub(super) fn operation_name(&mut self, job: &JobName) -> OperationName {
        loop {
            let id = self.ids.uuid().to_string();
            let name = job.location().operation(id).expect("a UUID is a valid operation id");
            // Equal seeds give equal ids again after a restart.
            if self.operations.get(&name).is_none() {
                return name;
            }
        }
    }

    pub(super) fn draw(&self, name: &OperationName, progress: &OperationSubject) -> Operation {
        match progress {
            OperationSubject::Settled(operation) => (**operation).clone(),
            OperationSubject::Define(job, _) | OperationSubject::Delete(job) => match self.jobs.get(job) {
                Some(record) => unfinished(name, &record.to_proto()),
                None => bare(name),
            },
            OperationSubject::Run(execution) | OperationSubject::Stop(execution) => {
                match self.executions.get(execution) {
                    Some(record) if record.is_done() => {
                        let error = if matches!(progress, OperationSubject::Run(_)) { record.error() } else { None };
                        finished(name, &record.to_proto(), error)
                    }
                    Some(record) => unfinished(name, &record.to_proto()),
                    None => bare(name),
                }
            }
        }
    }

    /// Fixes an operation on an execution as it stands at the end of that.
    pub(super) fn settle_operation(&mut self, name: &OperationName, last: &Execution, error: Option<Status>) {
        let Some(progress) = self.operations.get_mut(name) else { return };
        let error = match progress {
            OperationSubject::Run(_) => error,
            OperationSubject::Stop(_) => None,
            OperationSubject::Define(..) | OperationSubject::Delete(_) | OperationSubject::Settled(_) => return,
        };
        *progress = OperationSubject::Settled(Box::new(finished(name, last, error)));
    }
}

/// An operation that goes on, with the resource as it is now.
pub(super) fn unfinished<M: Name>(name: &OperationName, resource: &M) -> Operation {
    Operation { metadata: Some(pack(resource)), ..bare(name) }
}

/// An operation that is over: with the resource as its response, or with an error.
pub(super) fn finished<M: Name>(name: &OperationName, resource: &M, error: Option<Status>) -> Operation {
    let metadata = pack(resource);
    let outcome = error.map_or_else(|| Outcome::Response(metadata.clone()), Outcome::Error);
    Operation { metadata: Some(metadata), done: true, result: Some(outcome), ..bare(name) }
}

fn bare(name: &OperationName) -> Operation {
    Operation { name: name.to_string(), ..Operation::default() }
}

fn pack<M: Name>(resource: &M) -> Any {
    Any { type_url: M::type_url(), value: resource.encode_to_vec() }
}
