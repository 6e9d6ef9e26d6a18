//! How executions and their tasks look on the wire: fields, conditions and messages. Changes nothing.

use std::time::SystemTime;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    condition::{condition, expiry, length},
    etag,
    execution::{Completion, ExecutionRecord, StopCause, Verdict},
    plan::StartupPhase,
    task::{AttemptEnd, AttemptResult, TaskPhase, TaskRecord},
};
use crate::{
    emulator::synthetic,
    proto::{
        rpc::Status,
        run::v2::{
            Condition, Execution, Task, TaskAttemptResult, TaskTemplate,
            condition::{ExecutionReason, Reasons, State},
            task_template::Retries,
        },
    },
};

/// What a query of the log viewer leaves as it is.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'/');

/// A reason that the protos do not have yet. Its number is not published; this is the next free one.
pub(crate) const DELAYED_EXECUTION_EXCEEDING_DURATION_LIMIT: i32 = 7;

impl ExecutionRecord {
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
            container.image = synthetic::pinned(&container.image);
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

    fn conditions(&self) -> Vec<Condition> {
        let stage = self.plan.as_ref().map_or(StartupPhase::Ready, |plan| plan.stage);
        if !self.observed {
            return vec![condition("Completed", State::ConditionPending, self.created)];
        }
        if stage == StartupPhase::Delayed && !self.is_done() {
            let delayed = |kind| {
                let pending = condition(kind, State::ConditionPending, self.created);
                pending.saying("Waiting for delayed start.").because(ExecutionReason::DelayedStartPending)
            };
            return vec![delayed("Started"), delayed("Completed")];
        }
        let [begins, imported, provisioned] = match &self.plan {
            Some(plan) => [plan.begins, plan.imported, plan.provisioned],
            None => [self.created; 3],
        };
        let phase = |kind, done: bool, since, at, message: String| {
            if done {
                condition(kind, State::ConditionSucceeded, at).saying(message)
            } else {
                condition(kind, State::ConditionPending, since)
            }
        };
        let image = format!("Imported container image in {}.", length(begins, imported));
        let resources = "Provisioned imported containers.".to_owned();
        vec![
            self.started_condition(begins),
            self.completed_condition(begins),
            phase("ContainerReady", stage > StartupPhase::Importing, begins, imported, image),
            phase("ResourcesAvailable", stage > StartupPhase::Provisioning, begins, provisioned, resources),
        ]
    }

    fn started_condition(&self, begins: SystemTime) -> Condition {
        match self.started {
            Some(at) => condition("Started", State::ConditionSucceeded, at)
                .saying(format!("Started deployed execution in {}.", length(begins, at))),
            None => condition("Started", State::ConditionReconciling, begins).saying("Waiting for execution to start."),
        }
    }

    fn completed_condition(&self, begins: SystemTime) -> Condition {
        let of = |state, at| condition("Completed", state, at);
        let Some(&Completion { at, verdict }) = self.completion.as_ref() else {
            return match self.stopped {
                Some((at, StopCause::User)) => of(State::ConditionReconciling, at)
                    .saying("Waiting for execution to be cancelled.")
                    .because(ExecutionReason::Cancelling),
                Some((at, StopCause::Limit)) => of(State::ConditionReconciling, at).saying(StopCause::Limit.message()),
                None => of(State::ConditionReconciling, begins).saying("Waiting for execution to complete."),
            };
        };
        match (verdict, &self.first_failure) {
            (Verdict::Stopped(cause), _) => {
                let reasons = Some(Reasons::ExecutionReason(cause.reason()));
                Condition { reasons, ..of(State::ConditionFailed, at).saying(cause.message()) }
            }
            (_, Some(failure)) => {
                let failed = of(State::ConditionFailed, at).saying(self.blame(failure));
                failure.result.reason().into_iter().fold(failed, Condition::because)
            }
            (_, None) => of(State::ConditionSucceeded, at)
                .saying(format!("Execution completed successfully in {}.", length(begins, at))),
        }
    }
}

impl StopCause {
    fn reason(self) -> i32 {
        match self {
            Self::User => ExecutionReason::Cancelled as i32,
            Self::Limit => DELAYED_EXECUTION_EXCEEDING_DURATION_LIMIT,
        }
    }
}

impl TaskRecord {
    /// The task at this index of its execution.
    pub(super) fn to_proto(&self, execution: &ExecutionRecord, index: u32) -> Task {
        let name = format!("{}/tasks/{}-task{index}", execution.name, execution.name.id());
        let template = execution.pinned_template();
        Task {
            uid: self.uid.to_string(),
            generation: 1,
            observed_generation: 1,
            labels: execution.template.labels.clone(),
            annotations: execution.template.annotations.clone(),
            create_time: Some(execution.created.into()),
            scheduled_time: self.scheduled.map(Into::into),
            start_time: self.started.map(Into::into),
            completion_time: self.completed.map(Into::into),
            update_time: Some(self.updated.into()),
            job: execution.name.job().id().to_owned(),
            execution: execution.name.id().to_owned(),
            containers: template.containers,
            volumes: template.volumes,
            max_retries: template.retries.map_or(0, |Retries::MaxRetries(retries)| retries),
            timeout: template.timeout,
            service_account: template.service_account,
            execution_environment: template.execution_environment,
            encryption_key: template.encryption_key,
            vpc_access: template.vpc_access,
            node_selector: template.node_selector,
            gpu_zonal_redundancy_disabled: template.gpu_zonal_redundancy_disabled,
            reconciling: self.phase != TaskPhase::Done,
            conditions: self.conditions(execution.created),
            index: index as i32,
            retried: self.retried as i32,
            last_attempt_result: self.last.as_ref().map(AttemptResult::to_proto),
            log_uri: execution.log_uri(),
            etag: etag(&name, self.updated),
            name,
            ..Task::default()
        }
    }

    fn conditions(&self, created: SystemTime) -> Vec<Condition> {
        let started = match self.started {
            Some(at) => condition("Started", State::ConditionSucceeded, at),
            None => condition("Started", State::ConditionPending, created),
        };
        let completed = match (&self.last, self.completed) {
            (Some(result), Some(at)) if result.succeeded() => condition("Completed", State::ConditionSucceeded, at),
            (Some(AttemptResult::Stopped(cause)), Some(at)) => Condition {
                reasons: Some(Reasons::ExecutionReason(cause.reason())),
                ..condition("Completed", State::ConditionFailed, at).saying(cause.message())
            },
            (Some(result), Some(at)) => {
                let failed = condition("Completed", State::ConditionFailed, at).saying(result.message());
                result.reason().into_iter().fold(failed, Condition::because)
            }
            (_, None) | (None, _) => condition("Completed", State::ConditionReconciling, created),
        };
        vec![started, completed]
    }
}

impl AttemptResult {
    fn to_proto(&self) -> TaskAttemptResult {
        TaskAttemptResult {
            status: Some(Status { code: self.code() as i32, message: self.message(), details: Vec::new() }),
            exit_code: self.exit_code(),
            term_signal: if let Self::Ended(AttemptEnd::Signalled(signal)) = self { *signal } else { 0 },
        }
    }
}
