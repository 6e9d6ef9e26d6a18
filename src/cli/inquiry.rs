//! What the tasks of an execution tell: read once, page by page, and of each task no more kept than is shown.

use futures_util::TryStreamExt as _;

use super::show::{hints::Retried, timeline::Row};
use crate::{Client, ExecutionName, Result, TaskFailure};

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Inquiry {
    pub(super) failures: Vec<TaskFailure>,
    pub(super) retried: Vec<Retried>,
    /// Empty unless asked for.
    pub(super) rows: Vec<Row>,
}

impl Inquiry {
    /// Reads all tasks, and keeps a row of each when `with_rows`.
    pub(super) async fn of(client: &Client, execution: &ExecutionName, with_rows: bool) -> Result<Self> {
        let mut found = Self::default();
        let mut tasks = client.tasks(execution);
        while let Some(task) = tasks.try_next().await? {
            found.failures.extend(TaskFailure::of(&task)?);
            found.retried.extend(Retried::of(&task));
            if with_rows {
                found.rows.push(Row::of(&task));
            }
        }
        Ok(found)
    }
}
