//! Executions that start with the definition of their job: `start_execution_token` and `run_execution_token`.
//!
//! The token names the execution, so the same one starts it once, and stays on the job until another execution is
//! started in another way. The operation of the definition, and with it the job, is only done when that execution has
//! started, or has finished.

use std::time::SystemTime;

use super::{
    Machine,
    job::JobRecord,
    milestone::{Followed, Milestone},
    operation::{OperationSubject, finished},
};
use crate::{
    emulator::refusal::Refusal,
    name::{ExecutionName, OperationName},
};

impl Machine {
    /// Whether a definition starts the execution that its token names: not if that is the job's own token already.
    pub(super) fn starts(&self, record: &JobRecord, followed: Option<&Followed>) -> Result<bool, Refusal> {
        let Some(Followed { execution, .. }) = followed else { return Ok(false) };
        if record.started_by_token.as_ref() == Some(execution) {
            return Ok(false);
        }
        if self.executions.get(execution).is_some() {
            return Err(Refusal::already_exists(execution.id()));
        }
        let location = record.name.location();
        self.meter.another_execution(location, || self.running(location))?;
        Ok(true)
    }

    /// Starts an execution as part of the definition of its job.
    pub(super) fn start_defined(&mut self, name: ExecutionName, operation: OperationName, now: SystemTime) {
        let Some(job) = self.jobs.get_mut(name.job()) else { return };
        job.started_by_token = Some(name.clone());
        let (start, creator) = (job.definition(), job.last_modifier().to_owned());
        let record = self.new_execution(name, start, creator, now);
        self.begin(record, operation, now);
    }

    /// Whether an execution has not come so far yet, so that there is something to follow.
    pub(super) fn is_short_of(&self, followed: &Followed) -> bool {
        let Some(record) = self.executions.get(&followed.execution) else { return false };
        let has_begun = followed.until == Milestone::Started && record.started.is_some();
        !record.is_done() && !has_begun
    }

    /// Ends the definitions that follow an execution no further than this.
    pub(super) fn reach(&mut self, name: &ExecutionName, milestone: Milestone, now: SystemTime) {
        let (Some(record), Some(job)) = (self.executions.get(name), self.jobs.get_mut(name.job())) else { return };
        job.settle(name, milestone, now);
        let is_over = |operation: &&OperationName| {
            let progress = self.operations.get(operation);
            progress
                .is_some_and(|progress| matches!(progress, OperationSubject::Define(_, until) if *until <= milestone))
        };
        let over: Vec<_> = record.operations.iter().filter(is_over).cloned().collect();
        for operation in over {
            let settled = finished(&operation, &job.to_proto(), record.error());
            if let Some(progress) = self.operations.get_mut(&operation) {
                *progress = OperationSubject::Settled(Box::new(settled));
            }
            self.effects.over.push(operation);
        }
    }
}
