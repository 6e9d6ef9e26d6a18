//! What a name that is not there may have been meant as: a job of nearly that name, or the job that an execution is of.
//!
//! Asks the service, for a moment only, once a command has failed. What ends or deletes something is not told of other
//! names: a mistyped one must not lead to the next best.

use std::{cmp::Reverse, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _};
use strsim::damerau_levenshtein;
use tokio::time::timeout;

use super::{failure::Failure, session::Session};
use crate::{Client, ExecutionName, JobName, Location};

/// How long a failed command may be held up by this.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most jobs that are looked at.
const MOST_JOBS: usize = 1000;

/// The most jobs whose execution a name is tried as.
const MOST_TRIES: usize = 3;

/// The failure with a better hint, if there is one.
pub(super) async fn improved(failure: Failure, session: &Session) -> Failure {
    let Some(missing) = failure.missing() else { return failure };
    match timeout(PATIENCE, hint(missing, &session.client)).await {
        Ok(Some(hint)) => failure.hint(hint),
        _ => failure,
    }
}

async fn hint(missing: &str, client: &Client) -> Option<String> {
    let execution = missing.parse::<ExecutionName>().ok();
    let job = execution.as_ref().map(|execution| execution.job().clone()).or_else(|| missing.parse().ok())?;
    let jobs = ids(client, job.location()).await?;
    if let Some(execution) = &execution
        && let Some(found) = elsewhere(client, execution, &jobs).await
    {
        return Some(format!("the job '{}' has this execution: give --job={0}", found.job().id()));
    }
    if jobs.iter().any(|id| id == job.id()) {
        return None;
    }
    let near = nearest(job.id(), &jobs)?;
    Some(format!("there is no job '{}' in {}; did you mean '{near}'?", job.id(), job.location()))
}

/// The jobs of a location.
async fn ids(client: &Client, location: &Location) -> Option<Vec<String>> {
    let jobs = client.jobs(location).take(MOST_JOBS);
    let name = |job: &str| Some(job.parse::<JobName>().ok()?.id().to_owned());
    let ids: Vec<_> = jobs.map_ok(|job| name(&job.name)).try_collect().await.ok()?;
    Some(ids.into_iter().flatten().collect())
}

/// The execution of this id below another job: one whose name the id begins with, the longest first.
async fn elsewhere(client: &Client, execution: &ExecutionName, jobs: &[String]) -> Option<ExecutionName> {
    let is_owner = |job: &&String| execution.id().strip_prefix(job.as_str()).is_some_and(|rest| rest.starts_with('-'));
    let mut owners: Vec<_> = jobs.iter().filter(is_owner).filter(|job| *job != execution.job().id()).collect();
    owners.sort_unstable_by_key(|job| Reverse(job.len()));
    for owner in owners.into_iter().take(MOST_TRIES) {
        let name = execution.job().location().job(owner.as_str()).ok()?.execution(execution.id()).ok()?;
        if client.execution(&name).await.is_ok() {
            return Some(name);
        }
    }
    None
}

/// The name that is reached with the fewest slips, at most one for every three characters.
fn nearest<'a>(typed: &str, names: &'a [String]) -> Option<&'a str> {
    let slips = |name: &String| damerau_levenshtein(typed, name);
    let near = names.iter().min_by_key(|name| slips(name))?;
    (slips(near) <= typed.len().div_ceil(3)).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_near_and_another_word_is_not() {
        let names = ["echo", "env", "screenshot", "screenshot-daily"].map(str::to_owned);
        let cases = [
            ("ehco", Some("echo")),
            ("ech", Some("echo")),
            ("screenshoot", Some("screenshot")),
            ("screenshot-dialy", Some("screenshot-daily")),
            ("nothing", None),
            ("x", None),
        ];
        for (typed, expected) in cases {
            assert_eq!(nearest(typed, &names), expected, "{typed}");
        }
        assert_eq!(nearest("echo", &[]), None);
    }
}
