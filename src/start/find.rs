//! Looking for the start of a key among the executions of its job.
//!
//! A match proves that it started. No match proves nothing: the execution may not be listed yet, or its request may
//! still be on its way. So nothing here ever leads to another send after the first.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use tokio::time::{sleep, timeout};

use super::StartKey;
use crate::{
    call::Caller,
    error::{Error, ErrorKind, Result},
    name::{ExecutionName, JobName},
    proto::run::v2::Execution,
    retry::Backoff,
    run::Run,
};

/// How far a look goes back from the job's newest execution: by time, and by number, which is ten pages. Measured
/// between times of the service, so that this machine's clock does not matter.
const LOOK_BACK: i64 = 7 * 24 * 3600;
const MOST: usize = 1_000;

/// How long it is looked for after a start of unknown end. How late the service lists an execution is not published;
/// three times the ten seconds that we are prepared for, and not longer than a caller who waits for the start likes.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The pauses between these looks: about ten in all.
pub(super) const PAUSES: Backoff =
    Backoff { first: Duration::from_millis(250), factor: 2.0, longest: Duration::from_secs(5) };

/// By how much the clocks of the service may differ between two executions.
const SKEW: i64 = 600;

/// What a look has seen.
#[derive(Debug, Default)]
pub(crate) struct Sight {
    /// The executions with the key, the newest first.
    matches: Vec<Execution>,
    /// When the job's newest execution was created, in seconds of the service's time.
    newest: Option<i64>,
}

/// Looks once.
pub(crate) async fn look(caller: &Caller, job: &JobName, key: &StartKey) -> Result<Sight> {
    look_since(caller, job, key, None).await
}

/// Looks again and again, for [`LOOK_AGAIN`] at most, among what was created since the look that saw `newest`. Looks
/// that fail are ridden out: they say no more than one that finds nothing.
pub(super) async fn look_again(caller: &Caller, job: &JobName, key: &StartKey, newest: Option<i64>) -> Option<Sight> {
    let since = newest.map(|newest| newest.saturating_sub(SKEW));
    let looking = async {
        let mut looks = 0;
        loop {
            match look_since(caller, job, key, since).await {
                Ok(sight) if !sight.matches.is_empty() => return sight,
                _ => looks += 1,
            }
            sleep(PAUSES.pause(looks, fastrand::f64())).await;
        }
    };
    timeout(LOOK_AGAIN, looking).await.ok()
}

async fn look_since(caller: &Caller, job: &JobName, key: &StartKey, since: Option<i64>) -> Result<Sight> {
    let mut sight = Sight::default();
    let mut executions = caller.list_executions(job);
    for _ in 0..MOST {
        let Some(execution) = executions.try_next().await? else { break };
        let created = execution.create_time.map_or(0, |time| time.seconds);
        let newest = *sight.newest.get_or_insert(created);
        if created < since.unwrap_or(newest.saturating_sub(LOOK_BACK)) {
            break;
        }
        if key.marks(&execution) {
            sight.matches.push(execution);
        }
    }
    Ok(sight)
}

impl Sight {
    /// When the job's newest execution was created.
    pub(super) fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// The oldest execution with the key: the one that every earlier look has found as well. The others are told as
    /// its duplicates.
    pub(crate) fn adopt(mut self, caller: &Caller) -> Result<Option<Run>> {
        let Some(oldest) = self.matches.pop() else { return Ok(None) };
        let name = name_of(&oldest)?;
        let duplicates = self.matches.iter().map(name_of).collect::<Result<_>>()?;
        Ok(Some(Run::adopted(caller.clone(), name, oldest, duplicates)))
    }
}

fn name_of(execution: &Execution) -> Result<ExecutionName> {
    execution.name.parse().map_err(|cause| {
        Error::new(ErrorKind::Protocol, "the service listed an execution without a proper name").with_source(cause)
    })
}
