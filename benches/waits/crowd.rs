//! Ten thousand waits at the same time, in one process, over loopback: what one holds in memory, how long after the end it
//! returns, and how often it asks.

use std::{
    num::NonZeroUsize,
    pin::pin,
    time::{Duration, Instant, SystemTime},
};

use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use runjob::{Change, Client, Finished, JobName, Run};
use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{sleep_until, timeout},
};

use crate::{
    MEMORY, Result,
    claims::Claims,
    ends::quantile,
    process::{processor_time, resident},
    service::{Asked, Service, Times},
};

/// Starts under way at a time.
const IN_FLIGHT: usize = 64;
/// When a wait counts as forgotten, from the moment that all executions are over.
const LIMIT: Duration = Duration::from_secs(120);

/// How a crowd waits.
#[derive(Clone, Copy)]
enum Way {
    /// [`Run::wait`] in a task for each, over as many connections.
    Each(usize),
    /// [`Run::changes`] to its last item in a task for each, over as many connections.
    Changes(usize),
    /// One `Client::watch` for all.
    Watch,
}

/// What one crowd came to.
struct Seen {
    lags: Vec<Duration>,
    /// Bytes while all hold their handles, and while all wait, beyond those before.
    handles: usize,
    waiting: usize,
    resident: Option<usize>,
    asked: Asked,
    processor: Duration,
}

pub(crate) fn measure(count: usize, times: Times, claims: &mut Claims) -> Result<()> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    // What three quarters of the places of 100 calls each are enough for.
    let enough = count.div_ceil(75);
    println!("{count} waits at the same time, whose executions end at random within {} s\n", times.span.as_secs());
    println!(
        "| how | ended | bytes per handle | with its wait | resident | lag p50 | p99 | longest | long polls | polls | \
         lists | requests per wait | processor time per wait |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for (name, way) in [
        (format!("`wait`, {enough} connections"), Way::Each(enough)),
        (format!("`changes`, {enough} connections"), Way::Changes(enough)),
        ("`wait`, 16 connections".to_owned(), Way::Each(16)),
        ("`watch`".to_owned(), Way::Watch),
    ] {
        let mut seen = runtime.block_on(crowd(count, times, way))?;
        claims.count(format!("{name}: waits that ended with a success"), count, seen.lags.len());
        row(&name, count, &mut seen);
    }
    println!();
    Ok(())
}

fn row(name: &str, count: usize, seen: &mut Seen) {
    let [half, most, longest] = [0.5, 0.99, 1.0].map(|share| quantile(&mut seen.lags, share).as_secs_f64() * 1e3);
    let resident = seen.resident.map_or_else(|| "-".to_owned(), |bytes| (bytes / count).to_string());
    let Asked { long_polls, polls, lists } = seen.asked;
    println!(
        "| {name} | {} | {} | {} | {resident} | {half:.1} ms | {most:.1} ms | {longest:.1} ms | {long_polls} | {polls} | \
         {lists} | {:.2} | {} µs |",
        seen.lags.len(),
        seen.handles / count,
        seen.waiting / count,
        seen.asked.all() as f64 / count as f64,
        seen.processor.as_micros() / count as u128,
    );
}

async fn crowd(count: usize, times: Times, way: Way) -> Result<Seen> {
    let mut service = Service::start(times)?;
    let mut builder = Client::builder().emulator(&service.address);
    if let Way::Each(connections) | Way::Changes(connections) = way {
        builder = builder.connections(NonZeroUsize::new(connections).ok_or("no connections")?);
    }
    let client = builder.build().await?;
    let job: JobName = "projects/demo/locations/us-central1/jobs/echo".parse()?;
    let (before, resident_before) = (MEMORY.allocated(), resident());
    let began = Instant::now();
    let starts = stream::iter(0..count).map(|_| client.run(&job).start());
    let runs: Vec<Run> = starts.buffer_unordered(IN_FLIGHT).try_collect().await?;
    let handles = MEMORY.allocated().saturating_sub(before);

    let processor = processor_time();
    let mut waits = match way {
        Way::Each(_) => each(runs, async |mut run| run.wait().await.ok()),
        Way::Changes(_) => each(runs, async |run| last(run.into_changes()).await),
        Way::Watch => watch(&client, runs),
    };
    sleep_until((began + times.still * 3 / 4).into()).await;
    if !waits.is_empty() && began.elapsed() >= times.still {
        return Err("the machine was too slow: executions were over before all were waited for".into());
    }
    let waiting = MEMORY.allocated().saturating_sub(before);
    let resident = resident().zip(resident_before).map(|(now, before)| now.saturating_sub(before));
    let mut lags = Vec::new();
    // Who is forgotten is missing in the count.
    _ = timeout(times.still + times.span + LIMIT, async {
        while let Some(part) = waits.join_next().await {
            lags.extend(part.unwrap_or_default());
        }
    })
    .await;
    let (asked, processor) = (service.asked()?, processor_time() - processor);
    service.stop()?;
    Ok(Seen { lags, handles, waiting, resident, asked, processor })
}

/// A task for each run; it gives its lag.
fn each<F>(runs: Vec<Run>, end: impl Fn(Run) -> F) -> JoinSet<Vec<Duration>>
where
    F: Future<Output = Option<Finished>> + Send + 'static,
{
    let mut waits = JoinSet::new();
    for run in runs {
        let end = end(run);
        waits.spawn(async move { end.await.and_then(|finished| lag(&finished)).into_iter().collect() });
    }
    waits
}

/// The end that a run's changes end with.
async fn last(changes: impl Stream<Item = runjob::Result<Change>>) -> Option<Finished> {
    let mut ends = pin!(changes.filter_map(async |change| match change {
        Ok(Change::Finished(finished)) => Some(finished),
        _ => None,
    }));
    ends.next().await
}

/// One task for all runs; it gives their lags.
fn watch(client: &Client, runs: Vec<Run>) -> JoinSet<Vec<Duration>> {
    let mut waits = JoinSet::new();
    let ended = client.watch(runs);
    waits.spawn(ended.filter_map(async |(_, end)| end.ok().and_then(|finished| lag(&finished))).collect());
    waits
}

/// How long ago it ended, by the emulator's clock, which is this machine's. None if it did not succeed.
fn lag(finished: &Finished) -> Option<Duration> {
    let over = SystemTime::try_from(finished.execution().completion_time?).ok()?;
    finished.outcome().is_success().then(|| SystemTime::now().duration_since(over).unwrap_or_default())
}
