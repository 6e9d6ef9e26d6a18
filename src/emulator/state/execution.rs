//! One execution: its tasks, its counts, and its verdict.

use std::{sync::Arc, time::SystemTime};

use serde::{Deserialize, Serialize};
use tonic::Code;
use uuid::Uuid;

use super::{
    Ids,
    ordered::Ordered,
    plan::{StartupPhase, StartupPlan},
    task::{AttemptResult, TaskPhase, TaskRecord},
};
use crate::{
    emulator::rest_only::RestOnly,
    name::{ExecutionName, OperationName},
    proto::{
        rpc::Status,
        run::v2::{ExecutionReference, ExecutionTemplate, execution_reference::CompletionStatus},
    },
};

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct ExecutionRecord {
    pub(super) name: ExecutionName,
    pub(super) uid: Uuid,
    pub(super) creator: String,
    pub(super) launch_stage: i32,
    /// Its own if it was started with overrides, else the job's. Kept apart.
    #[serde(skip)]
    pub(super) template: Arc<ExecutionTemplate>,
    /// Whether the template was written down, which needs to be done once.
    #[serde(skip)]
    pub(super) template_recorded: bool,
    pub(super) generation: i64,
    /// Whether the controller has seen it: false only in the answer to RunJob.
    pub(super) observed: bool,
    pub(super) created: SystemTime,
    pub(super) started: Option<SystemTime>,
    pub(super) updated: SystemTime,
    /// Since when it is made to end early, and why.
    pub(super) stopped: Option<(SystemTime, StopCause)>,
    /// When its deletion was requested; it goes once no task is running.
    pub(super) deleted: Option<SystemTime>,
    pub(super) completion: Option<Completion>,
    /// Unless its tasks have their turn at once.
    pub(super) plan: Option<Box<StartupPlan>>,
    /// What only REST knows of its job.
    pub(super) rest_only: Option<Box<RestOnly>>,
    /// Kept apart, each by itself.
    #[serde(skip)]
    pub(super) tasks: Ordered<TaskRecord>,
    pub(super) counts: TaskTally,
    /// The first task that failed permanently speaks for the execution.
    pub(super) first_failure: Option<LastFailure>,
    /// The operations that follow it.
    pub(super) operations: Vec<OperationName>,
}

/// How many tasks are where; what is missing of all is pending.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct TaskTally {
    pub(super) running: u32,
    pub(super) succeeded: u32,
    pub(super) failed: u32,
    pub(super) cancelled: u32,
    pub(super) retried: u32,
    /// Tasks that had their turn: they start in the order of their index.
    pub(super) scheduled: u32,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Verdict {
    Succeeded,
    Failed,
    Stopped(StopCause),
}

/// Why an execution ends early.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum StopCause {
    User,
    /// It was delayed, and took longer than a delayed one may.
    Limit,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Completion {
    pub(super) at: SystemTime,
    pub(super) verdict: Verdict,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct LastFailure {
    pub(super) task_index: u32,
    pub(super) result: AttemptResult,
}

impl StopCause {
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::User => "Cancelled by user.",
            Self::Limit => "The delayed execution exceeded its duration limit.",
        }
    }
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
            stopped: None,
            deleted: None,
            completion: None,
            plan: None,
            rest_only: None,
            tasks: (0..count).map(|_| TaskRecord::new(ids.uuid(), now)).collect(),
            counts: TaskTally::default(),
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

    pub(super) fn is_stopping(&self) -> bool {
        self.stopped.is_some()
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.deleted.is_some()
    }

    pub(super) fn can_cancel(&self) -> bool {
        !self.is_done() && !self.is_stopping()
    }

    /// Whether another task may have its turn now.
    pub(super) fn has_room(&self) -> bool {
        let limit = self.parallelism();
        let is_ready = self.plan.as_ref().is_none_or(|plan| plan.stage == StartupPhase::Ready);
        is_ready && !self.is_stopping() && self.counts.running < limit && self.counts.scheduled < self.task_count()
    }

    /// From now on no task starts; tasks that never did are cancelled on the spot. Gives those that have to be stopped.
    pub(super) fn stop(&mut self, cause: StopCause, now: SystemTime) -> Vec<u32> {
        self.generation += i64::from(cause == StopCause::User);
        self.stopped = Some((now, cause));
        self.updated = now;
        let mut running = Vec::new();
        for index in 0..self.task_count() {
            match self.tasks[index].phase {
                TaskPhase::Pending => {
                    let task = &mut self.tasks[index];
                    (task.phase, task.completed, task.updated) = (TaskPhase::Done, Some(now), now);
                    task.last = Some(AttemptResult::Stopped(cause));
                    self.counts.cancelled += 1;
                }
                TaskPhase::Done => {}
                TaskPhase::Starting | TaskPhase::Running { .. } | TaskPhase::Stopping(_) => running.push(index),
            }
        }
        running
    }

    /// Says that it is to go away; what still runs is for [`stop`](Self::stop), which counts as the same change.
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
        } else if matches!(result, AttemptResult::Stopped(_)) {
            self.counts.cancelled += 1;
        } else {
            self.counts.failed += 1;
            self.first_failure.get_or_insert_with(|| LastFailure { task_index: index, result: result.clone() });
        }
    }

    /// Completes it if the last task is done; says whether it did.
    pub(super) fn complete(&mut self, now: SystemTime) -> bool {
        let counts = &self.counts;
        if self.is_done() || counts.succeeded + counts.failed + counts.cancelled < self.task_count() {
            return false;
        }
        let verdict = match (self.stopped, &self.first_failure) {
            (Some((_, cause)), _) => Verdict::Stopped(cause),
            (None, Some(_)) => Verdict::Failed,
            (None, None) => Verdict::Succeeded,
        };
        self.completion = Some(Completion { at: now, verdict });
        self.updated = now;
        true
    }

    /// What the operation of the start ends with instead of a response.
    pub(super) fn error(&self) -> Option<Status> {
        let of = |code: Code, message| Some(Status { code: code as i32, message, details: Vec::new() });
        match (self.completion.as_ref()?.verdict, &self.first_failure) {
            (Verdict::Failed, Some(failure)) => of(failure.result.code(), self.blame(failure)),
            (Verdict::Stopped(StopCause::Limit), _) => {
                of(Code::DeadlineExceeded, StopCause::Limit.message().to_owned())
            }
            _ => None,
        }
    }

    /// How the job refers to it.
    pub(super) fn reference(&self) -> ExecutionReference {
        let status = match self.completion.as_ref().map(|completion| completion.verdict) {
            Some(Verdict::Succeeded) => CompletionStatus::ExecutionSucceeded,
            Some(Verdict::Failed | Verdict::Stopped(StopCause::Limit)) => CompletionStatus::ExecutionFailed,
            Some(Verdict::Stopped(StopCause::User)) => CompletionStatus::ExecutionCancelled,
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

    /// As given, which may be more than there are tasks; by default all at once.
    pub(super) fn parallelism(&self) -> u32 {
        match u32::try_from(self.template.parallelism) {
            Ok(0) | Err(_) => self.task_count(),
            Ok(parallelism) => parallelism,
        }
    }

    /// What a failed execution says of the task that speaks for it.
    pub(super) fn blame(&self, LastFailure { task_index, result }: &LastFailure) -> String {
        let (execution, exit_code, message) = (self.name.id(), result.exit_code(), result.message());
        format!("Task {execution}-task{task_index} failed with exit code: {exit_code} and message: {message}")
    }
}
