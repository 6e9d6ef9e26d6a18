//! One execution: its tasks, its counts, its verdict, and how it looks on the wire.

use std::{sync::Arc, time::SystemTime};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Ids,
    condition::{condition, expiry, length},
    etag,
    shelf::Row,
    task::{AttemptResult, Phase, TaskRecord},
};
use crate::{
    emulator::made_up,
    name::{ExecutionName, OperationName},
    proto::{
        rpc::Status,
        run::v2::{
            Condition, Execution, ExecutionReference, ExecutionTemplate, TaskTemplate,
            condition::{ExecutionReason, State},
            execution_reference::CompletionStatus,
        },
    },
};

/// What a query of the log viewer leaves as it is.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'/');

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct ExecutionRecord {
    pub(super) name: ExecutionName,
    uid: Uuid,
    creator: String,
    launch_stage: i32,
    /// Its own if it was started with overrides, else the job's. Kept apart.
    #[serde(skip)]
    pub(super) template: Arc<ExecutionTemplate>,
    /// Whether the template was written down, which needs to be done once.
    #[serde(skip)]
    pub(super) template_recorded: bool,
    generation: i64,
    /// Whether the controller has seen it: false only in the answer to RunJob.
    pub(super) observed: bool,
    pub(super) created: SystemTime,
    pub(super) started: Option<SystemTime>,
    pub(super) updated: SystemTime,
    cancelled: Option<SystemTime>,
    /// When it goes away as soon as nothing of it runs any more.
    deleted: Option<SystemTime>,
    completion: Option<Completion>,
    /// Kept apart, each by itself.
    #[serde(skip)]
    pub(super) tasks: Row<TaskRecord>,
    pub(super) counts: Counts,
    /// The first task that failed for good speaks for the execution.
    first_failure: Option<Failure>,
    /// The operations that follow it.
    pub(super) operations: Vec<OperationName>,
}

/// How many tasks are where; what is missing of all is pending.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Counts {
    pub(super) running: u32,
    pub(super) succeeded: u32,
    pub(super) failed: u32,
    pub(super) cancelled: u32,
    pub(super) retried: u32,
    /// Tasks that had their turn: they start in the order of their index.
    pub(super) scheduled: u32,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
enum Verdict {
    Succeeded,
    Failed,
    Cancelled,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Completion {
    at: SystemTime,
    verdict: Verdict,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Failure {
    task_index: u32,
    result: AttemptResult,
}

impl ExecutionRecord {
    /// A new execution of a job of that launch stage.
    pub(super) fn new(
        name: ExecutionName,
        template: Arc<ExecutionTemplate>,
        launch_stage: i32,
        creator: String,
        ids: &mut Ids,
        now: SystemTime,
    ) -> Self {
        let count = template.task_count.max(1);
        Self {
            name,
            uid: ids.uuid(),
            creator,
            launch_stage,
            template,
            template_recorded: false,
            generation: 1,
            observed: false,
            created: now,
            started: None,
            updated: now,
            cancelled: None,
            deleted: None,
            completion: None,
            tasks: (0..count).map(|_| TaskRecord::new(ids.uuid(), now)).collect(),
            counts: Counts::default(),
            first_failure: None,
            operations: Vec::new(),
        }
    }

    pub(super) fn task_count(&self) -> u32 {
        self.tasks.len() as u32
    }

    pub(super) fn is_done(&self) -> bool {
        self.completion.is_some()
    }

    pub(super) fn is_cancelling(&self) -> bool {
        self.cancelled.is_some()
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.deleted.is_some()
    }

    pub(super) fn can_cancel(&self) -> bool {
        !self.is_done() && !self.is_cancelling()
    }

    /// Whether another task may have its turn now.
    pub(super) fn has_room(&self) -> bool {
        let limit = self.parallelism();
        !self.is_cancelling() && self.counts.running < limit && self.counts.scheduled < self.task_count()
    }

    /// From now on no task starts; tasks that never did are cancelled on the spot. Gives those that have to be stopped.
    pub(super) fn cancel(&mut self, now: SystemTime) -> Vec<u32> {
        self.generation += 1;
        self.cancelled = Some(now);
        self.updated = now;
        let mut running = Vec::new();
        for index in 0..self.task_count() {
            match self.tasks[index].phase {
                Phase::Pending => {
                    let task = &mut self.tasks[index];
                    (task.phase, task.completed, task.updated) = (Phase::Done, Some(now), now);
                    task.last = Some(AttemptResult::Cancelled);
                    self.counts.cancelled += 1;
                }
                Phase::Done => {}
                Phase::Starting | Phase::Running { .. } | Phase::Stopping(_) => running.push(index),
            }
        }
        running
    }

    /// Says that it is to go away; what still runs is for [`cancel`](Self::cancel), which counts as the same change.
    pub(super) fn delete(&mut self, now: SystemTime) {
        if self.deleted.is_none() {
            self.deleted = Some(now);
            self.generation += i64::from(!self.can_cancel());
            self.updated = now;
        }
    }

    /// Takes a running task's final result into the counts.
    pub(super) fn settle_task(&mut self, index: u32, result: &AttemptResult) {
        self.counts.running -= 1;
        if result.succeeded() {
            self.counts.succeeded += 1;
        } else if *result == AttemptResult::Cancelled {
            self.counts.cancelled += 1;
        } else {
            self.counts.failed += 1;
            self.first_failure.get_or_insert_with(|| Failure { task_index: index, result: result.clone() });
        }
    }

    /// Completes it if the last task is done; says whether it did.
    pub(super) fn complete(&mut self, now: SystemTime) -> bool {
        let counts = &self.counts;
        if self.is_done() || counts.succeeded + counts.failed + counts.cancelled < self.task_count() {
            return false;
        }
        let verdict = match (self.cancelled, &self.first_failure) {
            (Some(_), _) => Verdict::Cancelled,
            (None, Some(_)) => Verdict::Failed,
            (None, None) => Verdict::Succeeded,
        };
        self.completion = Some(Completion { at: now, verdict });
        self.updated = now;
        true
    }

    /// What the operation of the start ends with instead of a response.
    pub(super) fn error(&self) -> Option<Status> {
        let failed = self.completion.as_ref().is_some_and(|completion| completion.verdict == Verdict::Failed);
        let failure = self.first_failure.as_ref().filter(|_| failed)?;
        Some(Status { code: failure.result.code() as i32, message: self.blame(failure), details: Vec::new() })
    }

    /// How the job refers to it.
    pub(super) fn reference(&self) -> ExecutionReference {
        let status = match self.completion.as_ref().map(|completion| completion.verdict) {
            Some(Verdict::Succeeded) => CompletionStatus::ExecutionSucceeded,
            Some(Verdict::Failed) => CompletionStatus::ExecutionFailed,
            Some(Verdict::Cancelled) => CompletionStatus::ExecutionCancelled,
            None if self.started.is_some() => CompletionStatus::ExecutionRunning,
            None => CompletionStatus::ExecutionPending,
        };
        ExecutionReference {
            name: self.name.id().to_owned(),
            create_time: Some(self.created.into()),
            completion_time: self.completion.as_ref().map(|completion| completion.at.into()),
            delete_time: self.deleted.map(Into::into),
            completion_status: status as i32,
        }
    }

    pub(super) fn to_proto(&self) -> Execution {
        let name = self.name.to_string();
        Execution {
            uid: self.uid.to_string(),
            creator: self.creator.clone(),
            generation: self.generation,
            labels: self.template.labels.clone(),
            annotations: self.template.annotations.clone(),
            create_time: Some(self.created.into()),
            start_time: self.started.map(Into::into),
            completion_time: self.completion.as_ref().map(|completion| completion.at.into()),
            update_time: Some(self.updated.into()),
            delete_time: self.deleted.map(Into::into),
            expire_time: self.deleted.map(|at| expiry(at).into()),
            launch_stage: self.launch_stage,
            job: self.name.job().id().to_owned(),
            parallelism: self.parallelism() as i32,
            task_count: self.task_count() as i32,
            template: Some(self.pinned_template()),
            reconciling: !self.is_done(),
            conditions: self.conditions(),
            observed_generation: if self.observed { self.generation } else { 0 },
            running_count: self.counts.running as i32,
            succeeded_count: self.counts.succeeded as i32,
            failed_count: self.counts.failed as i32,
            cancelled_count: self.counts.cancelled as i32,
            retried_count: self.counts.retried as i32,
            log_uri: self.log_uri(),
            satisfies_pzs: false,
            etag: etag(&name, self.updated),
            name,
        }
    }

    /// What its tasks are made from, with each image as it was found when the execution began.
    pub(super) fn pinned_template(&self) -> TaskTemplate {
        let mut template = self.template.template.clone().unwrap_or_default();
        for container in &mut template.containers {
            container.image = made_up::pinned(&container.image);
        }
        template
    }

    pub(super) fn log_uri(&self) -> String {
        let job = self.name.job();
        let filter = format!(
            "resource.type=\"cloud_run_job\"\nresource.labels.job_name=\"{}\"\nresource.labels.location=\"{}\"\n\
             labels.\"run.googleapis.com/execution_name\"=\"{}\"",
            job.id(),
            job.location().region(),
            self.name.id()
        );
        let (project, filter) = (job.location().project(), utf8_percent_encode(&filter, QUERY));
        format!("https://console.cloud.google.com/logs/viewer?project={project}&advancedFilter={filter}")
    }

    /// As given, which may be more than there are tasks; by default all at once.
    fn parallelism(&self) -> u32 {
        match u32::try_from(self.template.parallelism) {
            Ok(0) | Err(_) => self.task_count(),
            Ok(parallelism) => parallelism,
        }
    }

    /// What a failed execution says of the task that speaks for it.
    fn blame(&self, Failure { task_index, result }: &Failure) -> String {
        let (execution, exit_code, message) = (self.name.id(), result.exit_code(), result.message());
        format!("Task {execution}-task{task_index} failed with exit code: {exit_code} and message: {message}")
    }

    fn conditions(&self) -> Vec<Condition> {
        if !self.observed {
            return vec![condition("Completed", State::ConditionPending, self.created)];
        }
        let started = match self.started {
            Some(at) => condition("Started", State::ConditionSucceeded, at)
                .saying(format!("Started deployed execution in {}.", length(self.created, at))),
            None => condition("Started", State::ConditionReconciling, self.created)
                .saying("Waiting for execution to start."),
        };
        vec![
            started,
            self.completed_condition(),
            condition("ContainerReady", State::ConditionSucceeded, self.created)
                .saying("Imported container image in 0s."),
            condition("ResourcesAvailable", State::ConditionSucceeded, self.created)
                .saying("Provisioned imported containers."),
        ]
    }

    fn completed_condition(&self) -> Condition {
        let of = |state, at| condition("Completed", state, at);
        let Some(&Completion { at, verdict }) = self.completion.as_ref() else {
            return match self.cancelled {
                Some(at) => of(State::ConditionReconciling, at)
                    .saying("Waiting for execution to be cancelled.")
                    .because(ExecutionReason::Cancelling),
                None => of(State::ConditionReconciling, self.created).saying("Waiting for execution to complete."),
            };
        };
        match (verdict, &self.first_failure) {
            (Verdict::Cancelled, _) => {
                of(State::ConditionFailed, at).saying("Cancelled by user.").because(ExecutionReason::Cancelled)
            }
            (_, Some(failure)) => {
                let failed = of(State::ConditionFailed, at).saying(self.blame(failure));
                failure.result.reason().into_iter().fold(failed, Condition::because)
            }
            (_, None) => of(State::ConditionSucceeded, at)
                .saying(format!("Execution completed successfully in {}.", length(self.created, at))),
        }
    }
}
