//! Waiting for many executions at once: what each job's waits have in common is asked once.
//!
//! Knows that a list of a job's executions answers for all of them. How one execution is waited for is `run`'s.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    time::Duration,
};

use futures_util::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use tokio::time::sleep;

use crate::{
    call::Caller,
    error::Result,
    name::{ExecutionName, JobName},
    operation::LONGEST_ADVICE,
    outcome::is_finished,
    rpc::PAGE_SIZE,
    run::{Finished, Run},
};

/// The pause between two looks at a job's list.
const TICK: Duration = Duration::from_secs(1);

/// What a page adds to the pause: at most two list requests a second and job, however long the list is.
const PER_PAGE: Duration = Duration::from_millis(500);

/// An execution that has ended, or that could not be waited for.
type Ended = (ExecutionName, Result<Finished>);

/// The runs as they end. One run of a job is waited for as by [`Run::wait`]; several share a list.
pub(crate) fn watch(runs: impl IntoIterator<Item = Run>) -> BoxStream<'static, Ended> {
    let mut jobs = BTreeMap::<JobName, Vec<Run>>::new();
    for run in runs {
        jobs.entry(run.execution().job().clone()).or_default().push(run);
    }
    stream::select_all(jobs.into_iter().map(|(job, runs)| of_job(job, runs))).boxed()
}

fn of_job(job: JobName, mut runs: Vec<Run>) -> BoxStream<'static, Ended> {
    match runs.pop() {
        Some(mut run) if runs.is_empty() => {
            stream::once(async move { (run.execution().clone(), run.wait().await) }).boxed()
        }
        Some(run) => {
            let caller = run.caller().clone();
            runs.push(run);
            let pending = runs.into_iter().map(|run| (run.execution().to_string(), run)).collect();
            let shared = Shared { caller, job, pending, ended: VecDeque::new(), pause: Duration::ZERO };
            stream::unfold(shared, |mut shared| async move { Some((shared.next().await?, shared)) }).boxed()
        }
        None => stream::empty().boxed(),
    }
}

/// The waits for several executions of one job.
struct Shared {
    caller: Caller,
    job: JobName,
    /// What has not ended yet, by full name.
    pending: HashMap<String, Run>,
    /// What has ended and was not yielded yet.
    ended: VecDeque<Ended>,
    pause: Duration,
}

impl Shared {
    async fn next(&mut self) -> Option<Ended> {
        loop {
            if let Some(ended) = self.ended.pop_front() {
                return Some(ended);
            }
            if self.pending.is_empty() {
                return None;
            }
            sleep(self.pause).await;
            self.look().await;
        }
    }

    /// Reads the job's list as far as it has to, and asks one by one for what it does not tell.
    async fn look(&mut self) {
        let mut unseen: HashSet<String> = self.pending.keys().cloned().collect();
        let mut list = self.caller.list_executions(&self.job);
        let mut read = 0;
        while !unseen.is_empty() {
            match list.try_next().await {
                Ok(Some(execution)) => {
                    read += 1;
                    if unseen.remove(&execution.name) && is_finished(&execution) {
                        let name = execution.name.clone();
                        if let Some(run) = self.pending.get_mut(&name) {
                            run.hear(execution);
                            self.ask(&name).await;
                        }
                    }
                }
                Ok(None) => break,
                Err(error) if self.caller.rides_out(&error) => {
                    self.pause = error.retry_after().unwrap_or(TICK).clamp(TICK, LONGEST_ADVICE);
                    return;
                }
                // Who may read executions and not list them is served all the same.
                Err(_) => break,
            }
        }
        let pages = read / PAGE_SIZE.unsigned_abs() + 1;
        self.pause = TICK.max(PER_PAGE * pages);
        for name in unseen {
            self.ask(&name).await;
        }
    }

    /// Polls one run, and moves it over when that settles it.
    async fn ask(&mut self, name: &str) {
        let Some(mut run) = self.pending.remove(name) else { return };
        match run.poll().await {
            Ok(None) => _ = self.pending.insert(name.to_owned(), run),
            Err(error) if self.caller.rides_out(&error) => _ = self.pending.insert(name.to_owned(), run),
            Ok(Some(finished)) => self.ended.push_back((run.execution().clone(), Ok(finished))),
            Err(error) => self.ended.push_back((run.execution().clone(), Err(error))),
        }
    }
}
