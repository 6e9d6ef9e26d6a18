//! What `--follow` prints: one JSON object a line, each with its kind in `event`.
//!
//! The shape is a contract with scripts (`docs/runjob.schema.json`). Knows no command and no stream.

use std::time::SystemTime;

use prost_types::Timestamp;
use serde::Serialize;

use super::report::Report;
use crate::{ExecutionName, Phase, Progress};

/// One line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "event")]
pub(in crate::cli) enum Event<'a> {
    /// How far an execution is.
    Progress(Box<ProgressEvent>),
    /// What is known of it when the command ends: the last line.
    Report(&'a Report),
    /// The same of several executions.
    Reports { reports: &'a [&'a Report] },
}

/// How far an execution is, and since when the service has not answered, if it does not.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct ProgressEvent {
    /// When it was seen, by this machine's clock.
    time: String,
    execution: String,
    phase: Phase,
    tasks: TaskCounts,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

#[derive(Debug, Serialize)]
struct TaskCounts {
    total: u32,
    running: u32,
    succeeded: u32,
    failed: u32,
    cancelled: u32,
    retried: u32,
}

impl<'a> Event<'a> {
    /// How far this execution is, seen now.
    pub(in crate::cli) fn progress(execution: &ExecutionName, now: &Progress) -> Self {
        Self::Progress(Box::new(ProgressEvent {
            time: Timestamp::from(SystemTime::now()).to_string(),
            execution: execution.to_string(),
            phase: now.phase,
            tasks: TaskCounts {
                total: now.tasks,
                running: now.running,
                succeeded: now.succeeded,
                failed: now.failed,
                cancelled: now.cancelled,
                retried: now.retried,
            },
            trouble: now.trouble.as_ref().map(|trouble| trouble.error.to_string()),
        }))
    }

    /// What is known of these executions.
    pub(in crate::cli) fn reports(reports: &'a [&'a Report]) -> Self {
        Self::Reports { reports }
    }
}
