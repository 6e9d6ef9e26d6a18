//! Waiting for many executions at once: what each job's waits have in common is asked once.
//!
//! Knows that a list of a job's executions answers for all of them, and when it costs less to ask for each alone. How one
//! execution is waited for is `run`'s.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    time::Duration,
};

use futures_util::{
    FutureExt as _, StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream, FuturesUnordered},
};
use tokio::time::{Instant, sleep};

use crate::{
    call::{Caller, PAGE_SIZE},
    error::{ErrorKind, Result},
    name::{ExecutionName, JobName},
    operation::Pace,
    outcome::is_finished,
    run::{Finished, Run},
};

/// The shortest pause between two scans of a job's list.
const TICK: Duration = Duration::from_secs(1);

/// What a page adds to the pause: at most two list requests a second and job, however long the list is.
const PER_PAGE: Duration = Duration::from_millis(500);

/// While nothing ends, scans back off: the pause is a fiftieth of the time since the last end, up to this.
const LONGEST: Duration = Duration::from_secs(10);
const QUIET: u32 = 50;

/// The most executions on a page of a scan. The cost of a scan depends on how far down the list it reads: ten pages of a
/// thousand are as many bytes as a hundred pages of a hundred, and a tenth of the requests.
const LARGEST_PAGE: i32 = 1_000;

/// The requests that scans cost in the half minute that a long poll is held: one a tick.
const SCANS: usize = 30;

/// How many runs that a list does not settle are asked for at a time.
const ASKS: usize = 16;

/// An execution that has ended, or that could not be waited for.
type Ended = (ExecutionName, Result<Finished>);

/// The runs as they end.
pub(crate) fn watch(runs: impl IntoIterator<Item = Run>) -> BoxStream<'static, Ended> {
    // Runs with a wait limit are awaited individually, so that the limit fires on time.
    let (limited, patient): (Vec<_>, Vec<_>) = runs.into_iter().partition(Run::has_wait_limit);
    let mut jobs = BTreeMap::<JobName, Vec<Run>>::new();
    for run in patient {
        jobs.entry(run.execution().job().clone()).or_default().push(run);
    }
    let shared = stream::select_all(jobs.into_iter().filter_map(|(job, runs)| of_job(job, runs)));
    stream::select(limited.into_iter().map(alone).collect::<FuturesUnordered<_>>(), shared).boxed()
}

fn of_job(job: JobName, runs: Vec<Run>) -> Option<BoxStream<'static, Ended>> {
    let shared = JobWatch {
        caller: runs.first()?.caller().clone(),
        job,
        depth: runs.len(),
        pending: runs.into_iter().map(|run| (run.execution().id().to_owned(), run)).collect(),
        parted: FuturesUnordered::new(),
        ended: VecDeque::new(),
        pause: Duration::ZERO,
        last_end: Instant::now(),
        trouble: Pace::default(),
    };
    Some(stream::unfold(shared, |mut shared| async move { Some((shared.next().await?, shared)) }).boxed())
}

fn alone(mut run: Run) -> BoxFuture<'static, Ended> {
    async move { (run.execution().clone(), run.wait().await) }.boxed()
}

/// What a run costs when it is waited for alone, in the half minute that a long poll is held: that one, or four polls
/// where there is no operation to wait for.
fn requests(run: &Run) -> usize {
    if run.operation().is_some() { 1 } else { 4 }
}

/// The waits for the executions of one job.
struct JobWatch {
    caller: Caller,
    job: JobName,
    /// The runs that have not ended yet and are looked for in the list, by the execution's id.
    pending: HashMap<String, Run>,
    /// The runs that are awaited individually, once that costs less than scanning, or the list cannot be read.
    parted: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// What has ended and was not yielded yet.
    ended: VecDeque<Ended>,
    pause: Duration,
    /// How far down the list the last scan has read: the next one will have to do the same.
    depth: usize,
    last_end: Instant,
    trouble: Pace,
}

impl JobWatch {
    async fn next(&mut self) -> Option<Ended> {
        loop {
            if let Some(ended) = self.ended.pop_front() {
                return Some(ended);
            }
            if !self.parted.is_empty() || self.pending.values().map(requests).sum::<usize>() <= SCANS {
                self.part();
                return self.parted.next().await;
            }
            sleep(self.pause).await;
            self.scan().await;
        }
    }

    /// Waits for each by itself from now on.
    fn part(&mut self) {
        self.parted.extend(self.pending.drain().map(|(_, run)| alone(run)));
    }

    /// Reads the job's list as far as necessary, and asks one by one for what has ended and for what is not in the list.
    async fn scan(&mut self) {
        let mut asked = Vec::new();
        match self.read(&mut asked).await {
            Ok((pages, unseen)) => {
                asked.extend(unseen.iter().filter_map(|name| self.pending.remove(name)));
                let quiet = (self.last_end.elapsed() / QUIET).min(LONGEST);
                self.pause = TICK.max(PER_PAGE * pages).max(quiet);
                self.trouble = Pace::default();
            }
            Err(error) if error.kind() != ErrorKind::Protocol && self.caller.rides_out(&error) => {
                self.pause = self.trouble.next(self.caller.random(), error.retry_after()).max(TICK);
            }
            // A caller that may read executions but not list them is served individually, and so is every caller when the
            // list makes no sense.
            Err(_) => self.part(),
        }
        self.ask(asked).await;
    }

    /// Reads the list until everything that is pending was found. Moves what has ended out of `pending`; returns how many
    /// pages were read, and the names that are not in the list.
    async fn read(&mut self, ended: &mut Vec<Run>) -> Result<(u32, HashSet<String>)> {
        let mut unseen: HashSet<String> = self.pending.keys().cloned().collect();
        let size = i32::try_from(self.depth).map_or(LARGEST_PAGE, |depth| depth.clamp(PAGE_SIZE, LARGEST_PAGE));
        let mut list = self.caller.execution_pages(&self.job, size);
        let (mut pages, mut depth) = (0, 0);
        while !unseen.is_empty()
            && let Some(page) = list.try_next().await?
        {
            pages += 1;
            for execution in page {
                depth += usize::from(!unseen.is_empty());
                // The pager has checked that it is one of this job.
                let id = execution.name.rsplit('/').next().unwrap_or_default();
                if unseen.remove(id)
                    && is_finished(&execution)
                    && let Some(mut run) = self.pending.remove(id)
                {
                    run.accept(execution);
                    ended.push(run);
                }
            }
        }
        self.depth = depth;
        Ok((pages, unseen))
    }

    /// Polls these runs, and goes on with those that this does not settle.
    async fn ask(&mut self, runs: Vec<Run>) {
        let answers = stream::iter(runs).map(|mut run| async move { (run.poll().await, run) });
        let mut answers = answers.buffer_unordered(ASKS);
        while let Some((answer, mut run)) = answers.next().await {
            let answer = match answer {
                Ok(Some(finished)) => Ok(finished),
                Err(error) if !self.caller.rides_out(&error) && !run.may_show_up() => Err(error),
                _ => {
                    self.pending.insert(run.execution().id().to_owned(), run);
                    continue;
                }
            };
            self.last_end = Instant::now();
            self.ended.push_back((run.execution().clone(), answer));
        }
    }
}
