//! Searching for the start of a key among the executions of its job.
//!
//! A match proves that it started. No match proves nothing: the execution may not be listed yet, or its request may
//! still be on its way. So nothing here ever leads to another send after the first.

use std::{ops::ControlFlow, time::Duration};

use futures_util::TryStreamExt as _;
use tokio::time::{sleep, timeout};

use super::StartKey;
use crate::{
    call::{Caller, PAGE_SIZE},
    error::{Error, ErrorKind, Result},
    name::{ExecutionName, JobName},
    proto::run::v2::Execution,
    retry::Backoff,
    rpc::foreign,
    run::Run,
};

/// How far a search goes back from the job's newest execution: by time, and by number, which is ten full pages. Measured
/// between times of the service, so that this machine's clock does not matter.
const LOOK_BACK: i64 = 7 * 24 * 3600;
const MOST: usize = 1_000;

/// How many pages a search reads, or all searches after a start together: a page may hold less than was asked for.
const PAGES: usize = 50;

/// How long the search goes on after a start of unknown outcome. How late the service lists an execution is not
/// published: this is three times the lag that the tests use, and no longer than a caller likes to wait for a start.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The pauses between these searches: about ten in all.
pub(super) const PAUSES: Backoff =
    Backoff { first: Duration::from_millis(250), factor: 2.0, longest: Duration::from_secs(5) };

/// By how much the clocks of the service may differ between two executions.
const SKEW: i64 = 600;

/// What a search has found.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// The executions with the key, the newest first.
    matches: Vec<(ExecutionName, Execution)>,
    /// When the job's newest execution was created, in seconds of the service's time.
    newest: Option<i64>,
}

/// Searches once, within one RPC timeout for all pages.
pub(crate) async fn look(caller: &Caller, job: &JobName, key: &StartKey) -> Result<Search> {
    look_since(caller, job, key, None, &mut { PAGES }).await
}

/// Searches repeatedly, for [`LOOK_AGAIN`] and [`PAGES`] at most, among what was created since the search that saw
/// `newest`. A search that fails is ridden out: it says no more than one that finds nothing.
pub(super) async fn look_again(caller: &Caller, job: &JobName, key: &StartKey, newest: Option<i64>) -> Option<Search> {
    let since = newest.map(|newest| newest.saturating_sub(SKEW));
    let looking = async {
        let (mut looks, mut pages) = (0, PAGES);
        while pages > 0 {
            match look_since(caller, job, key, since, &mut pages).await {
                Ok(search) if !search.is_empty() => return Some(search),
                _ => looks += 1,
            }
            sleep(PAUSES.pause(looks, caller.random())).await;
        }
        None
    };
    timeout(LOOK_AGAIN, looking).await.ok().flatten()
}

async fn look_since(
    caller: &Caller,
    job: &JobName,
    key: &StartKey,
    since: Option<i64>,
    pages: &mut usize,
) -> Result<Search> {
    timeout(caller.rpc_timeout, search(caller, job, key, since, pages)).await.unwrap_or_else(|_| {
        let message = format!("the list was not read within {:.1} s", caller.rpc_timeout.as_secs_f32());
        Err(Error::new(ErrorKind::Deadline, message).doing("list executions of", job))
    })
}

/// Reads as many pages as are left, newest executions first.
async fn search(
    caller: &Caller,
    job: &JobName,
    key: &StartKey,
    since: Option<i64>,
    pages: &mut usize,
) -> Result<Search> {
    let (mut search, mut read) = (Search::default(), 0);
    let mut list = caller.execution_pages(job, PAGE_SIZE);
    while *pages > 0 && read < MOST {
        *pages -= 1;
        let Some(page) = list.try_next().await? else { break };
        read += page.len();
        if search.take(page, job, key, since)?.is_break() {
            break;
        }
    }
    Ok(search)
}

impl Search {
    /// When the job's newest execution was created.
    pub(super) fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// Takes the matches of a page, and breaks off at an execution that is too old for one.
    fn take(
        &mut self,
        page: Vec<Execution>,
        job: &JobName,
        key: &StartKey,
        since: Option<i64>,
    ) -> Result<ControlFlow<()>> {
        for execution in page {
            let created = execution.create_time.map_or(0, |time| time.seconds);
            let newest = *self.newest.get_or_insert(created);
            if created < since.unwrap_or(newest.saturating_sub(LOOK_BACK)) {
                return Ok(ControlFlow::Break(()));
            }
            if key.marks(&execution) {
                let name = job.own_execution(&execution.name).ok_or_else(|| foreign(&execution.name))?;
                self.matches.push((name, execution));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether it has found nothing.
    fn is_empty(&self) -> bool {
        self.matches.is_empty()
    }

    /// The oldest execution with the key: the one that every earlier search has found as well. The others are its
    /// duplicates.
    pub(crate) fn adopt(mut self, caller: &Caller) -> Option<Run> {
        let (name, oldest) = self.matches.pop()?;
        let duplicates = self.matches.into_iter().map(|(name, _)| name).collect();
        Some(Run::adopted(caller.clone(), name, oldest, duplicates))
    }
}
