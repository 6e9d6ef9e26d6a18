//! One job: its definition, its readiness, and how it looks on the wire.

use std::{
    mem,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{CALLER, condition::condition, etag};
use crate::{
    name::{JobName, OperationName},
    proto::run::v2::{
        Condition, ExecutionReference, ExecutionTemplate, Job,
        condition::{CommonReason, Reasons, State},
    },
};

/// How long something deleted is said to be kept.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[derive(Clone, Debug)]
pub(super) struct JobRecord {
    pub(super) name: JobName,
    /// As it was last defined, with what the service keeps about it; its template is in `template`.
    definition: Job,
    /// Shared with the executions that have no overrides.
    pub(super) template: Arc<ExecutionTemplate>,
    /// Whether the controller has seen the last change: false only in the answer to that change.
    pub(super) observed: bool,
    updated: SystemTime,
    /// Why it cannot run, if it cannot.
    pub(super) unready: Option<String>,
    pub(super) latest: Option<ExecutionReference>,
    /// Executions of it that exist.
    pub(super) executions: usize,
    /// Set while it goes away: the operation to settle when its last execution is gone.
    pub(super) deletion: Option<OperationName>,
}

impl JobRecord {
    /// A new job from a valid and complete definition.
    pub(super) fn new(name: JobName, uid: String, definition: Job, now: SystemTime) -> Self {
        let mut record = Self {
            definition: Job { uid, create_time: Some(now.into()), creator: CALLER.to_owned(), ..Job::default() },
            name,
            template: Arc::default(),
            observed: false,
            updated: now,
            unready: None,
            latest: None,
            executions: 0,
            deletion: None,
        };
        record.redefine(definition, now);
        record
    }

    /// Replaces all that a caller can set.
    pub(super) fn redefine(&mut self, mut definition: Job, now: SystemTime) {
        self.template = Arc::new(definition.template.take().unwrap_or_default());
        self.definition = Job {
            labels: definition.labels,
            annotations: definition.annotations,
            client: definition.client,
            client_version: definition.client_version,
            launch_stage: definition.launch_stage,
            binary_authorization: definition.binary_authorization,
            create_execution: definition.create_execution,
            ..mem::take(&mut self.definition)
        };
        self.touch(now);
    }

    /// Whether a definition says anything else than this job.
    pub(super) fn differs_from(&self, definition: &Job) -> bool {
        let current = &self.definition;
        definition.template.as_ref() != Some(&*self.template)
            || definition.labels != current.labels
            || definition.annotations != current.annotations
            || definition.client != current.client
            || definition.client_version != current.client_version
            || definition.launch_stage != current.launch_stage
            || definition.binary_authorization != current.binary_authorization
    }

    pub(super) fn delete(&mut self, operation: OperationName, now: SystemTime) {
        self.deletion = Some(operation);
        self.definition.delete_time = Some(now.into());
        self.definition.expire_time = Some(expiry(now).into());
        self.touch(now);
    }

    pub(super) fn count_execution(&mut self) {
        self.executions += 1;
        self.definition.execution_count += 1;
    }

    pub(super) fn etag(&self) -> String {
        etag(&self.name.to_string(), self.updated)
    }

    pub(super) fn to_proto(&self) -> Job {
        Job {
            name: self.name.to_string(),
            template: Some((*self.template).clone()),
            last_modifier: CALLER.to_owned(),
            update_time: Some(self.updated.into()),
            observed_generation: if self.observed { self.definition.generation } else { 0 },
            reconciling: !self.observed,
            terminal_condition: Some(self.terminal_condition()),
            latest_created_execution: Some(self.latest.clone().unwrap_or_default()),
            etag: self.etag(),
            ..self.definition.clone()
        }
    }

    fn terminal_condition(&self) -> Condition {
        match &self.unready {
            _ if !self.observed => Condition { state: State::ConditionPending as i32, ..Condition::default() },
            None => condition("Ready", State::ConditionSucceeded, self.updated),
            Some(why) => Condition {
                reasons: Some(Reasons::Reason(CommonReason::ContainerMissing as i32)),
                ..condition("Ready", State::ConditionFailed, self.updated).saying(why.as_str())
            },
        }
    }

    /// Counts a change.
    fn touch(&mut self, now: SystemTime) {
        self.definition.generation += 1;
        self.observed = false;
        self.updated = now;
    }
}

/// When something deleted at `deleted` is gone for good.
pub(super) fn expiry(deleted: SystemTime) -> SystemTime {
    deleted + KEPT
}
