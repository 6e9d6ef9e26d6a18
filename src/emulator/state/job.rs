//! One job: its definition, its readiness, and how it looks on the wire.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    condition::{condition, expiry},
    etag,
    milestone::{Followed, Milestone, token},
    packed,
};
use crate::{
    emulator::{refusal::Refusal, rest_only::RestOnly},
    name::{ExecutionName, JobName, OperationName},
    proto::{
        iam::v1::Policy,
        run::v2::{
            Condition, ExecutionReference, ExecutionTemplate, Job,
            condition::{CommonReason, Reasons, State},
        },
    },
};

/// The etag of a policy that was never set.
const UNSET_POLICY: &[u8] = &[0x00, 0x20, 0x01];

/// What an execution takes over from its job.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) template: Arc<ExecutionTemplate>,
    pub(super) launch_stage: i32,
    pub(super) delayed: bool,
    pub(super) rest_only: Option<Box<RestOnly>>,
}

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
    /// What only REST knows of it.
    pub(super) rest_only: Option<Box<RestOnly>>,
    generation: i64,
    /// The last generation that the controller is through with; 0 until there is one.
    observed_generation: i64,
    /// Whether it can run, as the controller found it last, and since when.
    readiness: Option<(bool, SystemTime)>,
    /// The execution that the controller has to wait for before it is through with the last change.
    awaited: Option<Followed>,
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
    pub(super) fn new(
        name: JobName,
        uid: Uuid,
        (definition, rest_only): (Job, Option<Box<RestOnly>>),
        creator: &str,
        now: SystemTime,
    ) -> Self {
        let (definition, template) = split(definition);
        Self {
            name,
            uid,
            creator: creator.to_owned(),
            last_modifier: creator.to_owned(),
            definition,
            template: Arc::new(template),
            rest_only,
            generation: 1,
            observed_generation: 0,
            readiness: None,
            awaited: None,
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

    /// Replaces all that callers set, and what only REST knows if this came by REST. Nothing is touched by a definition
    /// that says nothing new.
    pub(super) fn redefine(
        &mut self,
        (definition, rest_only): (Job, Option<RestOnly>),
        modifier: &str,
        now: SystemTime,
    ) {
        let (definition, template) = split(definition);
        let rest_only = rest_only.map_or_else(|| self.rest_only.clone(), RestOnly::boxed);
        if definition != self.definition || template != *self.template || rest_only != self.rest_only {
            self.rest_only = rest_only;
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

    /// What it gives to an execution without overrides.
    pub(super) fn definition(&self) -> Definition {
        Definition {
            template: Arc::clone(&self.template),
            launch_stage: self.definition.launch_stage,
            delayed: self.is_delayed(),
            rest_only: self.rest_only.clone(),
        }
    }

    /// Whether the service may choose the moment of its executions.
    pub(super) fn is_delayed(&self) -> bool {
        let delayed = self.rest_only.as_ref().and_then(|fields| fields.flag(&["template", "delayExecution"]));
        delayed.unwrap_or_default()
    }

    /// The execution that the definition's token names.
    pub(super) fn followed(&self) -> Result<Option<Followed>, Refusal> {
        let Some((until, token)) = token(&self.definition) else { return Ok(None) };
        let execution = self.name.execution(format!("{}-{token}", self.name.id()));
        let execution = execution.map_err(|error| Refusal::malformed_name("execution token", &error))?;
        Ok(Some(Followed { execution, until }))
    }

    /// Forgets the token, because an execution is started in another way.
    pub(super) fn drop_token(&mut self) {
        self.definition.create_execution = None;
        self.started_by_token = None;
    }

    /// Lets the controller wait for an execution before it is through with the last change, if there is one.
    pub(super) fn await_execution(&mut self, awaited: Option<Followed>, now: SystemTime) {
        self.awaited = awaited;
        if self.awaited.is_none() {
            self.observe(now);
        }
    }

    /// Notes that the controller is through with the last change, if that waited for this execution to come so far.
    pub(super) fn settle(&mut self, execution: &ExecutionName, milestone: Milestone, now: SystemTime) {
        let is_meant = |awaited: &mut Followed| awaited.execution == *execution && awaited.until <= milestone;
        if self.deletion.is_none() && self.awaited.take_if(is_meant).is_some() {
            self.observe(now);
        }
    }

    /// The controller is through with the deletion, some time after it was asked for: the etag is another one.
    pub(super) fn deleted_for_good(&mut self, now: SystemTime) {
        self.updated = self.next_update(now);
        self.observe(now);
    }

    /// Notes that the controller is through with the last change. Readiness dates from when it was another one.
    fn observe(&mut self, now: SystemTime) {
        self.observed_generation = self.generation;
        let ready = self.unready.is_none();
        if self.readiness.is_none_or(|(was, _)| was != ready) {
            self.readiness = Some((ready, now));
        }
    }

    fn is_observed(&self) -> bool {
        self.observed_generation == self.generation
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
            observed_generation: self.observed_generation,
            reconciling: !self.is_observed(),
            terminal_condition: Some(self.terminal_condition()),
            execution_count: self.started,
            latest_created_execution: Some(self.latest.clone()),
            etag: self.etag(),
            ..self.definition.clone()
        }
    }

    fn terminal_condition(&self) -> Condition {
        let Some((_, since)) = self.readiness else {
            return Condition { state: State::ConditionPending as i32, ..Condition::default() };
        };
        match &self.unready {
            _ if !self.is_observed() => condition("Ready", State::ConditionPending, since),
            None => condition("Ready", State::ConditionSucceeded, since),
            Some(why) => Condition {
                reasons: Some(Reasons::Reason(CommonReason::ContainerMissing as i32)),
                ..condition("Ready", State::ConditionFailed, since).saying(why.as_str())
            },
        }
    }

    /// Counts a change.
    fn touch(&mut self, now: SystemTime) {
        self.generation += 1;
        self.updated = self.next_update(now);
    }

    /// Later than before even if no time has passed, because the etag is made from it.
    fn next_update(&self, now: SystemTime) -> SystemTime {
        now.max(self.updated + Duration::from_micros(1))
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
