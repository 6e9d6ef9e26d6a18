//! Events of whole executions: run, cancel, delete.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Machine, Start,
    execution::{ExecutionRecord, StopCause},
    job::Definition,
    milestone::Milestone,
    operation::{OperationSubject, unfinished},
    plan::StartupPlan,
};
use crate::{
    emulator::{iam::Principal, overrides, refusal::Refusal, startup::Startup, validate},
    name::{ExecutionName, JobName, Location, OperationName},
    proto::{longrunning::Operation, run::v2::run_job_request::Overrides},
};

/// Finished executions that a job keeps.
const KEPT_EXECUTIONS: usize = 1000;

/// A start of a job.
#[derive(Debug)]
pub(crate) struct RunRequest {
    pub(crate) caller: Principal,
    pub(crate) job: JobName,
    pub(crate) overrides: Option<Overrides>,
    /// Whether the service may choose the moment; as the job says if this does not.
    pub(crate) delay: Option<bool>,
    /// Answer, and start nothing.
    pub(crate) validate_only: bool,
}

impl Machine {
    pub(crate) fn run_job(&mut self, request: &RunRequest, now: SystemTime) -> Result<Operation, Refusal> {
        let location = request.job.location();
        self.meter.run_request(location, now)?;
        let start = self.start_of(request)?;
        self.meter.another_execution(location, || self.running(location))?;
        let name = self.execution_name(&request.job)?;
        let operation = self.operation_name(&request.job);
        let creator = request.caller.email().to_owned();
        let record = self.new_execution(name.clone(), start, creator, now);
        let answer = unfinished(&operation, &record.to_proto());
        if request.validate_only {
            return Ok(answer);
        }
        self.operations.insert(operation.clone(), OperationSubject::Run(name));
        if let Some(job) = self.jobs.get_mut(&request.job) {
            job.drop_token();
        }
        self.begin(record, operation, now);
        Ok(answer)
    }

    /// A new execution, not begun yet.
    pub(super) fn new_execution(
        &mut self,
        name: ExecutionName,
        start: Definition,
        creator: String,
        now: SystemTime,
    ) -> ExecutionRecord {
        let startup = self.startups.of(name.job().id());
        let mut record = ExecutionRecord::new(name, start.template, start.launch_stage, creator, &mut self.ids, now);
        if start.delayed || startup != Startup::default() {
            let delay = if start.delayed { self.ids.part_of(self.startups.delay) } else { Duration::ZERO };
            record.plan = Some(Box::new(StartupPlan::new(startup, start.delayed, now + delay)));
        }
        record.rest_only = start.rest_only;
        record
    }

    /// Lets an execution begin, with the operation that it was asked for by.
    pub(super) fn begin(&mut self, mut record: ExecutionRecord, operation: OperationName, now: SystemTime) {
        let name = record.name.clone();
        if let Some(plan) = record.plan.as_mut() {
            plan.advance(now);
            self.alarms.extend(plan.alarm().map(|at| (at, name.clone())));
        }
        if let Some(job) = self.jobs.get_mut(name.job()) {
            job.count_execution();
            job.latest = record.reference();
        }
        let (job, execution) = (name.job().clone(), name.clone());
        self.ledger.push(Start { time: now, job, execution, operation: operation.clone() });
        record.observed = true;
        record.operations.push(operation);
        self.executions.insert(name.clone(), record);
        self.schedule(&name, now);
    }

    /// The executions of a location that are not finished.
    pub(super) fn running(&self, location: &Location) -> usize {
        let all = self.executions.newest_first(u64::MAX);
        all.filter(|(_, name, record)| name.job().location() == location && !record.is_done()).count()
    }

    /// Cancels what runs. Cancelling again before the end only gives another operation to wait for.
    pub(crate) fn cancel_execution(
        &mut self,
        name: &ExecutionName,
        validate_only: bool,
        now: SystemTime,
    ) -> Result<Operation, Refusal> {
        let record = self.executions.get(name).ok_or_else(|| Refusal::no_execution(name))?;
        if record.is_done() {
            return Err(Refusal::not_running(name));
        }
        if validate_only {
            let record = record.to_proto();
            return Ok(unfinished(&self.operation_name(name.job()), &record));
        }
        self.stop(name, StopCause::User, now);
        self.settled(name, now)
    }

    /// Deletes an execution; one that runs is cancelled first, and goes when its last task has ended.
    pub(crate) fn delete_execution(
        &mut self,
        name: &ExecutionName,
        validate_only: bool,
        now: SystemTime,
    ) -> Result<Operation, Refusal> {
        let record = self.executions.get(name).ok_or_else(|| Refusal::no_execution(name))?;
        if validate_only {
            let record = record.to_proto();
            return Ok(unfinished(&self.operation_name(name.job()), &record));
        }
        self.begin_deletion(name, now);
        self.settled(name, now)
    }

    /// A new operation that follows this execution, which may be over by now.
    fn settled(&mut self, name: &ExecutionName, now: SystemTime) -> Result<Operation, Refusal> {
        let answer = self.follow(name)?;
        self.complete(name, now);
        Ok(answer)
    }

    /// Marks an execution to be removed at its end, and brings that about. [`Machine::complete`] has to follow.
    pub(super) fn begin_deletion(&mut self, name: &ExecutionName, now: SystemTime) {
        if let Some(record) = self.executions.get_mut(name) {
            record.delete(now);
            self.stop(name, StopCause::User, now);
        }
    }

    /// Ends an execution whose last task is done, tells who waits, and removes it if it is to be deleted.
    pub(super) fn complete(&mut self, name: &ExecutionName, now: SystemTime) {
        let Some(record) = self.executions.get_mut(name) else { return };
        let completed = record.complete(now);
        if completed {
            self.effects.over.extend_from_slice(&record.operations);
            if let Some(at) = record.plan.as_ref().and_then(|plan| plan.alarm()) {
                self.alarms.remove(&(at, name.clone()));
            }
        }
        let removable = record.is_done() && record.is_deleted();
        self.refer(name);
        if completed {
            self.reach(name, Milestone::Finished, now);
        }
        if removable {
            self.remove(name, now);
        } else if completed {
            self.evict(name, now);
        }
    }

    /// Keeps an execution that is over, in the place of the job's oldest one if those are too many.
    fn evict(&mut self, completed: &ExecutionName, now: SystemTime) {
        let Some(job) = self.jobs.get_mut(completed.job()) else { return };
        job.completed.push_back(completed.clone());
        if job.completed.len() > KEPT_EXECUTIONS
            && let Some(oldest) = job.completed.front().cloned()
        {
            self.remove(&oldest, now);
        }
    }

    /// Brings the job's reference to its latest execution up to date.
    pub(super) fn refer(&mut self, name: &ExecutionName) {
        let (Some(record), Some(job)) = (self.executions.get(name), self.jobs.get_mut(name.job())) else { return };
        if job.latest.name == name.id() {
            job.latest = record.reference();
        }
    }

    /// What the request and its job make of a start: the job's own template, shared, unless there are overrides.
    fn start_of(&self, request: &RunRequest) -> Result<Definition, Refusal> {
        let job = self.jobs.get(&request.job).ok_or_else(|| Refusal::no_job(&request.job))?;
        if job.deletion.is_some() {
            return Err(Refusal::being_deleted(request.job.id()));
        }
        let template = match &request.overrides {
            Some(overrides) => Arc::new(overrides::apply(&job.template, overrides)?),
            None => Arc::clone(&job.template),
        };
        let delayed = request.delay.unwrap_or_else(|| job.is_delayed());
        validate::delay(delayed, &template)?;
        match &job.unready {
            Some(why) => Err(Refusal::not_ready(&request.job, why)),
            None => Ok(Definition { template, delayed, ..job.definition() }),
        }
    }

    /// A name that no execution has.
    fn execution_name(&mut self, job: &JobName) -> Result<ExecutionName, Refusal> {
        loop {
            let id = format!("{}-{}", job.id(), self.ids.suffix());
            let name = job.execution(id).map_err(|error| Refusal::malformed_name("name", &error))?;
            if self.executions.get(&name).is_none() {
                return Ok(name);
            }
        }
    }

    /// A new operation on the way of an execution to its end.
    fn follow(&mut self, name: &ExecutionName) -> Result<Operation, Refusal> {
        let operation = self.operation_name(name.job());
        let record = self.executions.get_mut(name).ok_or_else(|| Refusal::no_execution(name))?;
        record.operations.push(operation.clone());
        let answer = unfinished(&operation, &record.to_proto());
        self.operations.insert(operation, OperationSubject::Stop(name.clone()));
        Ok(answer)
    }

    /// Forgets an execution; its operations keep what it was at the end.
    fn remove(&mut self, name: &ExecutionName, now: SystemTime) {
        let Some(record) = self.executions.remove(name) else { return };
        let (last, error) = (record.to_proto(), record.error());
        for operation in &record.operations {
            self.settle_operation(operation, &last, error.clone());
        }
        if let Some(job) = self.jobs.get_mut(name.job()) {
            job.executions -= 1;
            // Found at once if it is the oldest one, which has to go most often.
            if let Some(index) = job.completed.iter().position(|completed| completed == name) {
                job.completed.remove(index);
            }
        }
        self.finish_deletion(name.job(), now);
    }
}
