//! One job: its definition, its readiness, and how it looks on the wire.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    condition::condition,
    etag, packed,
    token::{Followed, Milestone, token},
};
use crate::{
    emulator::refusal::Refusal,
    name::{ExecutionName, JobName, OperationName},
    proto::{
        iam::v1::Policy,
        run::v2::{
            Condition, ExecutionReference, ExecutionTemplate, Job,
            condition::{CommonReason, Reasons, State},
        },
    },
};

/// How long something deleted is said to be kept.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The etag of a policy that nobody has set.
const UNSET_POLICY: &[u8] = &[0x00, 0x20, 0x01];

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct JobRecord {
    pub(super) name: JobName,
    uid: Uuid,
    creator: String,
    last_modifier: String,
    /// What callers set of it, but for the template.
    #[serde(with = "packed")]
    definition: Job,
    /// Shared with the executions that have no overrides.
    #[serde(with = "packed::shared")]
    pub(super) template: Arc<ExecutionTemplate>,
    generation: i64,
    /// Whether the controller has seen the last change: false only in the answer to that change.
    pub(super) observed: bool,
    created: SystemTime,
    pub(super) updated: SystemTime,
    deleted: Option<SystemTime>,
    /// Why it cannot run, if it cannot.
    pub(super) unready: Option<String>,
    /// Empty until there is one.
    #[serde(with = "packed")]
    pub(super) latest: ExecutionReference,
    /// Executions that were ever made of it.
    started: i32,
    /// Executions of it that exist.
    pub(super) executions: usize,
    /// The last execution that one of its definitions started.
    pub(super) started_by_token: Option<ExecutionName>,
    /// Those of its executions that are over, the first that was over first.
    pub(super) completed: VecDeque<ExecutionName>,
    /// Who may do what with it.
    #[serde(with = "packed")]
    pub(super) policy: Policy,
    /// Set while it goes away: the operation to settle when its last execution is gone.
    pub(super) deletion: Option<OperationName>,
}

impl JobRecord {
    /// A new job from a valid and complete definition.
    pub(super) fn new(name: JobName, uid: Uuid, definition: Job, creator: &str, now: SystemTime) -> Self {
        let (definition, template) = split(definition);
        Self {
            name,
            uid,
            creator: creator.to_owned(),
            last_modifier: creator.to_owned(),
            definition,
            template: Arc::new(template),
            generation: 1,
            observed: false,
            created: now,
            updated: now,
            deleted: None,
            unready: None,
            latest: ExecutionReference::default(),
            started: 0,
            executions: 0,
            started_by_token: None,
            completed: VecDeque::new(),
            policy: Policy { etag: UNSET_POLICY.to_vec(), ..Policy::default() },
            deletion: None,
        }
    }

    /// Replaces all that callers set. Nothing is touched by a definition that says nothing new.
    pub(super) fn redefine(&mut self, definition: Job, modifier: &str, now: SystemTime) {
        let (definition, template) = split(definition);
        if definition != self.definition || template != *self.template {
            (self.definition, self.template) = (definition, Arc::new(template));
            self.last_modifier = modifier.to_owned();
            self.touch(now);
        }
    }

    pub(super) fn delete(&mut self, operation: OperationName, now: SystemTime) {
        self.deletion = Some(operation);
        self.deleted = Some(now);
        self.touch(now);
    }

    pub(super) fn count_execution(&mut self) {
        self.executions += 1;
        self.started += 1;
    }

    pub(super) fn last_modifier(&self) -> &str {
        &self.last_modifier
    }

    pub(super) fn launch_stage(&self) -> i32 {
        self.definition.launch_stage
    }

    /// The execution that the definition's token names.
    pub(super) fn followed(&self) -> Result<Option<Followed>, Refusal> {
        let Some((until, token)) = token(&self.definition) else { return Ok(None) };
        let execution = self.name.execution(format!("{}-{token}", self.name.id()));
        let execution = execution.map_err(|error| Refusal::malformed_name("execution token", &error))?;
        Ok(Some(Followed { execution, until }))
    }

    /// Notes that the controller is through with the last change, if that waited for this execution to come so far.
    pub(super) fn settle(&mut self, execution: &ExecutionName, milestone: Milestone) {
        let Ok(Some(followed)) = self.followed() else { return };
        let is_meant = followed.execution == *execution && followed.until <= milestone;
        self.observed |= is_meant && self.deletion.is_none();
    }

    pub(super) fn etag(&self) -> String {
        etag(&self.name.to_string(), self.updated)
    }

    pub(super) fn to_proto(&self) -> Job {
        Job {
            name: self.name.to_string(),
            uid: self.uid.to_string(),
            generation: self.generation,
            template: Some((*self.template).clone()),
            creator: self.creator.clone(),
            last_modifier: self.last_modifier.clone(),
            create_time: Some(self.created.into()),
            update_time: Some(self.updated.into()),
            delete_time: self.deleted.map(Into::into),
            expire_time: self.deleted.map(|at| expiry(at).into()),
            observed_generation: if self.observed { self.generation } else { 0 },
            reconciling: !self.observed,
            terminal_condition: Some(self.terminal_condition()),
            execution_count: self.started,
            latest_created_execution: Some(self.latest.clone()),
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
        self.generation += 1;
        self.observed = false;
        // Later than before even if no time has passed, because the etag is made from it.
        self.updated = now.max(self.updated + Duration::from_micros(1));
    }
}

/// What callers set of a job, without and with its template; the rest of what they sent is the service's to say.
fn split(job: Job) -> (Job, ExecutionTemplate) {
    let definition = Job {
        labels: job.labels,
        annotations: job.annotations,
        client: job.client,
        client_version: job.client_version,
        launch_stage: job.launch_stage,
        binary_authorization: job.binary_authorization,
        create_execution: job.create_execution,
        ..Job::default()
    };
    (definition, job.template.unwrap_or_default())
}

/// When something deleted at `deleted` is gone for good.
pub(super) fn expiry(deleted: SystemTime) -> SystemTime {
    deleted + KEPT
}
