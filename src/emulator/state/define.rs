//! Events that define jobs: create, update, delete.
//!
//! A change is answered as it is accepted, still reconciling, and settled right after: the next look at its operation
//! finds it done, as on the service.

use std::time::SystemTime;

use tonic::Code;

use super::{
    Machine,
    job::JobRecord,
    operation::{Progress, finished, unfinished},
};
use crate::{
    emulator::refusal::Refusal,
    name::{ExecutionName, JobName},
    proto::{longrunning::Operation, rpc::Status, run::v2::Job},
};

/// A job to create, or to put in the place of another.
#[derive(Debug)]
pub(crate) struct JobRequest {
    pub(crate) name: JobName,
    /// Valid, and completed with the defaults.
    pub(crate) definition: Job,
    /// The first of its images that nobody has.
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
        let record = JobRecord::new(request.name, self.ids.uuid(), request.definition, now);
        Ok(self.define(record, request.missing_image, request.validate_only))
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
        record.redefine(request.definition, now);
        Ok(self.define(record, request.missing_image, request.validate_only))
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
        self.operations.insert(operation, Progress::Delete(name.clone()));
        for execution in self.executions_of(name) {
            self.begin_deletion(&execution, now);
            self.complete(&execution, now);
        }
        self.finish_deletion(name);
        Ok(answer)
    }

    /// Lets a job go that is being deleted and has no executions left.
    pub(super) fn finish_deletion(&mut self, name: &JobName) {
        let ready = |record: &JobRecord| record.deletion.is_some() && record.executions == 0;
        if !self.jobs.get(name).is_some_and(ready) {
            return;
        }
        let Some(mut record) = self.jobs.remove(name) else { return };
        let Some(operation) = record.deletion.take() else { return };
        record.observed = true;
        if let Some(progress) = self.operations.get_mut(&operation) {
            *progress = Progress::Settled(Box::new(finished(&operation, &record.to_proto(), None)));
        }
        self.effects.over.push(operation);
    }

    fn define(&mut self, mut record: JobRecord, missing_image: Option<String>, validate_only: bool) -> Operation {
        let operation = self.operation_name(&record.name);
        let answer = unfinished(&operation, &record.to_proto());
        if validate_only {
            return answer;
        }
        record.observed = true;
        record.unready = missing_image.map(|image| format!("Image '{image}' not found."));
        let error =
            record.unready.clone().map(|message| Status { code: Code::NotFound as i32, message, details: Vec::new() });
        let settled = finished(&operation, &record.to_proto(), error);
        self.operations.insert(operation, Progress::Settled(Box::new(settled)));
        match self.jobs.get_mut(&record.name) {
            Some(present) => *present = record,
            None => self.jobs.insert(record.name.clone(), record),
        }
        answer
    }

    fn executions_of(&self, job: &JobName) -> Vec<ExecutionName> {
        let all = self.executions.newest_first(u64::MAX).map(|(_, name, _)| name);
        all.filter(|name| name.job() == job).cloned().collect()
    }
}
