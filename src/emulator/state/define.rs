//! Events that define jobs: create, update, delete.
//!
//! A change is answered as it is accepted, still reconciling, and settled right after: the next look at its operation
//! finds it done, as on the service.

use std::time::SystemTime;

use tonic::Code;

use super::{
    Machine,
    job::JobRecord,
    milestone::Followed,
    operation::{OperationSubject, finished, unfinished},
};
use crate::{
    emulator::{iam::Principal, refusal::Refusal, rest_only::RestOnly},
    name::{ExecutionName, JobName},
    proto::{longrunning::Operation, rpc::Status, run::v2::Job},
};

/// A job to create, or to put in the place of another.
#[derive(Debug)]
pub(crate) struct JobRequest {
    pub(crate) caller: Principal,
    pub(crate) name: JobName,
    /// Valid, and completed with the defaults.
    pub(crate) definition: Job,
    /// What only REST knows of it, if the request came by REST.
    pub(crate) rest_only: Option<RestOnly>,
    /// The first of its images that is unknown.
    pub(crate) missing_image: Option<String>,
    /// Answer, and change nothing.
    pub(crate) validate_only: bool,
}

impl Machine {
    pub(crate) fn create_job(&mut self, request: JobRequest, now: SystemTime) -> Result<Operation, Refusal> {
        if let Some(present) = self.jobs.get(&request.name) {
            let id = request.name.id();
            let deleting = present.deletion.is_some();
            return Err(if deleting { Refusal::being_deleted(id) } else { Refusal::already_exists(id) });
        }
        let location = request.name.location();
        let jobs = || self.jobs.newest_first(u64::MAX).filter(|(_, name, _)| name.location() == location).count();
        self.meter.another_job(location, jobs)?;
        let uid = self.ids.uuid();
        let definition = (request.definition, request.rest_only.and_then(RestOnly::boxed));
        let record = JobRecord::new(request.name, uid, definition, request.caller.email(), now);
        self.define(record, request.missing_image, request.validate_only, now)
    }

    /// Replaces the job, or creates it if it may be missing.
    pub(crate) fn update_job(
        &mut self,
        request: JobRequest,
        allow_missing: bool,
        now: SystemTime,
    ) -> Result<Operation, Refusal> {
        let id = request.name.id();
        let mut record = match self.jobs.get(&request.name) {
            Some(present) if present.deletion.is_some() => return Err(Refusal::being_deleted(id)),
            Some(present) => present.clone(),
            None if allow_missing => return self.create_job(request, now),
            None => return Err(Refusal::no_job(&request.name)),
        };
        let etag = &request.definition.etag;
        if !etag.is_empty() && *etag != record.etag() {
            return Err(Refusal::etag_mismatch(id));
        }
        record.redefine((request.definition, request.rest_only), request.caller.email(), now);
        self.define(record, request.missing_image, request.validate_only, now)
    }

    /// Deletes the job and its executions; those that run are cancelled first, and the operation waits for them.
    pub(crate) fn delete_job(
        &mut self,
        name: &JobName,
        validate_only: bool,
        now: SystemTime,
    ) -> Result<Operation, Refusal> {
        let operation = self.operation_name(name);
        let record = self.jobs.get_mut(name).ok_or_else(|| Refusal::no_job(name))?;
        if record.deletion.is_some() {
            return Err(Refusal::being_deleted(name.id()));
        }
        if validate_only {
            return Ok(unfinished(&operation, &record.to_proto()));
        }
        record.delete(operation.clone(), now);
        let answer = unfinished(&operation, &record.to_proto());
        self.operations.insert(operation, OperationSubject::Delete(name.clone()));
        for execution in self.executions_of(name) {
            self.begin_deletion(&execution, now);
            self.complete(&execution, now);
        }
        self.finish_deletion(name, now);
        Ok(answer)
    }

    /// Lets a job go that is being deleted and has no executions left.
    pub(super) fn finish_deletion(&mut self, name: &JobName, now: SystemTime) {
        let ready = |record: &JobRecord| record.deletion.is_some() && record.executions == 0;
        if !self.jobs.get(name).is_some_and(ready) {
            return;
        }
        let Some(mut record) = self.jobs.remove(name) else { return };
        let Some(operation) = record.deletion.take() else { return };
        record.deleted_for_good(now);
        if let Some(progress) = self.operations.get_mut(&operation) {
            *progress = OperationSubject::Settled(Box::new(finished(&operation, &record.to_proto(), None)));
        }
        self.effects.over.push(operation);
    }

    /// Stores a definition and answers it, and starts the execution that it asks for.
    fn define(
        &mut self,
        mut record: JobRecord,
        missing_image: Option<String>,
        validate_only: bool,
        now: SystemTime,
    ) -> Result<Operation, Refusal> {
        record.unready = missing_image.map(|image| format!("Image '{image}' not found."));
        let followed = if record.unready.is_none() { record.followed()? } else { None };
        let starts = self.starts(&record, followed.as_ref())?;
        let operation = self.operation_name(&record.name);
        let answer = unfinished(&operation, &record.to_proto());
        if validate_only {
            return Ok(answer);
        }
        let pending = followed.filter(|followed| starts || self.is_short_of(followed));
        record.await_execution(pending.clone(), now);
        let progress = match &pending {
            Some(followed) => OperationSubject::Define(record.name.clone(), followed.until),
            None => OperationSubject::Settled(Box::new(finished(&operation, &record.to_proto(), unready(&record)))),
        };
        self.operations.insert(operation.clone(), progress);
        self.store(record);
        if let Some(Followed { execution, .. }) = pending {
            if starts {
                self.start_defined(execution, operation, now);
            } else if let Some(record) = self.executions.get_mut(&execution) {
                record.operations.push(operation);
            }
        }
        Ok(answer)
    }

    fn store(&mut self, record: JobRecord) {
        match self.jobs.get_mut(&record.name) {
            Some(present) => *present = record,
            None => self.jobs.insert(record.name.clone(), record),
        }
    }

    fn executions_of(&self, job: &JobName) -> Vec<ExecutionName> {
        let all = self.executions.newest_first(u64::MAX).map(|(_, name, _)| name);
        all.filter(|name| name.job() == job).cloned().collect()
    }
}

/// What the definition of a job that cannot run ends with.
fn unready(record: &JobRecord) -> Option<Status> {
    let message = record.unready.clone()?;
    Some(Status { code: Code::NotFound as i32, message, details: Vec::new() })
}
