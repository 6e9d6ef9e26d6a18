//! One round of one arm: callers that call until the time is up, and what that took. Knows no arm and no server.

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
    time::Instant,
};

use super::{
    call::Ask,
    caller::Worker,
    error::{Error, Result},
    meter::Stopwatch,
};

/// The longest text by which failures are distinguished.
const LONGEST_CAUSE: usize = 200;

/// What the callers of a round do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// Call again when answered, for this long.
    For(Duration),
    /// Call this often each.
    Times(u64),
    /// Begin this many calls a second for this long, on any caller that is free.
    Arrivals { per_second: f64, length: Duration },
}

/// What one round has measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    pub(crate) sample: Sample,
    /// Calls that should have begun and never did, because no caller was free in time.
    pub(crate) dropped: u64,
    pub(crate) elapsed: Duration,
    /// Of all threads of this process.
    pub(crate) processor: Duration,
}

/// What one caller has measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// Of each call that was answered, in nanoseconds.
    pub(crate) latencies: Vec<u64>,
    /// How much later than it should the generator has handed out each call of an open loop, in nanoseconds.
    pub(crate) lateness: Vec<u64>,
    /// Calls that failed, by cause. They have no latency.
    pub(crate) failures: BTreeMap<String, u64>,
}

impl Sample {
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    pub(crate) fn absorb(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.lateness.extend(other.lateness);
        for (cause, count) in other.failures {
            *self.failures.entry(cause).or_default() += count;
        }
    }

    /// Makes one call, whose latency counts from `begun`.
    async fn call(&mut self, caller: &mut impl Worker, ask: &Ask, begun: Instant) {
        match caller.call(ask).await {
            Ok(()) => self.latencies.push(nanoseconds(begun.elapsed())),
            Err(cause) => {
                let cause = cause.to_string().chars().take(LONGEST_CAUSE).collect();
                *self.failures.entry(cause).or_default() += 1;
            }
        }
    }
}

pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// All callers call at the same time; afterwards they are there again.
pub(crate) async fn round<C: Worker>(callers: &mut Vec<C>, ask: &Ask, work: Work) -> Result<Round> {
    let ask = Arc::new(ask.clone());
    let mut tasks = JoinSet::new();
    let meter = Stopwatch::start();
    let arrivals = Arrivals::of(work);
    for mut caller in callers.drain(..) {
        let (ask, arrivals) = (Arc::clone(&ask), arrivals.clone());
        let began = Instant::from_std(meter.began());
        tasks.spawn(async move {
            let sample = match arrivals {
                Some(arrivals) => arrivals.serve(&mut caller, &ask).await,
                None => repeat(&mut caller, &ask, work, began).await,
            };
            (caller, sample)
        });
    }
    let mut round = Round::default();
    while let Some(ended) = tasks.join_next().await {
        let (caller, sample) = ended.map_err(|cause| Error::new(format!("an arm panicked: {cause}")))?;
        callers.push(caller);
        round.sample.absorb(sample);
    }
    (round.elapsed, round.processor) = meter.stop();
    if let Some(arrivals) = arrivals {
        round.dropped = arrivals.left().await;
    }
    Ok(round)
}

/// One caller in closed loop.
async fn repeat(caller: &mut impl Worker, ask: &Ask, work: Work, began: Instant) -> Sample {
    let mut sample = Sample::default();
    let mut calls = 0;
    loop {
        let enough = match work {
            Work::For(length) | Work::Arrivals { length, .. } => began.elapsed() >= length,
            Work::Times(times) => calls >= times,
        };
        if enough {
            return sample;
        }
        calls += 1;
        sample.call(caller, ask, Instant::now()).await;
    }
}

/// A call that should begin.
struct Arrival {
    due: Instant,
    /// When the generator has handed it out, which should be the same.
    handed_out: Instant,
}

/// The calls of an open loop, for any caller that is free.
#[derive(Clone)]
struct Arrivals {
    queue: Arc<Mutex<mpsc::UnboundedReceiver<Arrival>>>,
    /// After this moment no more calls begin: as long again as the round for what has piled up.
    closes: Instant,
}

impl Arrivals {
    fn of(work: Work) -> Option<Self> {
        let Work::Arrivals { per_second, length } = work else { return None };
        let (sender, queue) = mpsc::unbounded_channel();
        let began = Instant::now();
        let count = (per_second * length.as_secs_f64()).round() as u64;
        // A thread, because it sleeps to some 50 microseconds where the timer of tokio knows milliseconds.
        thread::spawn(move || {
            for number in 0..count {
                let due = began + Duration::from_secs_f64(number as f64 / per_second);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                if sender.send(Arrival { due, handed_out: Instant::now() }).is_err() {
                    return;
                }
            }
        });
        Some(Self { queue: Arc::new(Mutex::new(queue)), closes: began + 2 * length })
    }

    /// Takes arrivals until there are no more, or time is up.
    async fn serve(&self, caller: &mut impl Worker, ask: &Ask) -> Sample {
        let mut sample = Sample::default();
        // Checked first, because a time-out lets through what is ready.
        while Instant::now() < self.closes {
            let next = async { self.queue.lock().await.recv().await };
            let Ok(Some(arrival)) = tokio::time::timeout_at(self.closes, next).await else { return sample };
            sample.lateness.push(nanoseconds(arrival.handed_out.saturating_duration_since(arrival.due)));
            sample.call(caller, ask, arrival.due).await;
        }
        sample
    }

    /// The arrivals that have not been taken.
    async fn left(&self) -> u64 {
        let mut queue = self.queue.lock().await;
        let mut left = 0;
        while queue.recv().await.is_some() {
            left += 1;
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use tokio::time::sleep;

    use super::*;
    use crate::bench::{
        call::{LogicalCall, Names},
        caller::CallResult,
    };

    const MS: Duration = Duration::from_millis(1);

    /// A caller that takes its time, and fails where it is told to.
    #[derive(Clone)]
    struct Scripted {
        /// How long each call takes; the last one goes on for the rest.
        times: Vec<Duration>,
        fails: bool,
        calls: Arc<AtomicUsize>,
    }

    impl Scripted {
        fn taking(times: &[u32]) -> Self {
            Self { times: times.iter().map(|&ms| MS * ms).collect(), fails: false, calls: Arc::default() }
        }
    }

    impl Worker for Scripted {
        async fn start(&mut self, _: &Ask) -> CallResult<String> {
            let number = self.calls.fetch_add(1, Relaxed);
            sleep(self.times[number.min(self.times.len() - 1)]).await;
            if self.fails { Err("UNAVAILABLE".into()) } else { Ok("operation".to_owned()) }
        }

        async fn poll(&mut self, operation: &str) -> CallResult<String> {
            Ok(operation.to_owned())
        }

        async fn get(&mut self, execution: &str) -> CallResult<String> {
            Ok(execution.to_owned())
        }

        async fn list(&mut self, _: &str) -> CallResult<usize> {
            Ok(0)
        }
    }

    fn ask() -> Ask {
        Ask::new(LogicalCall::Start(0), Names::default())
    }

    fn milliseconds(nanoseconds: &[u64]) -> Vec<u64> {
        nanoseconds.iter().map(|time| time / 1_000_000).collect()
    }

    /// Arrivals at these milliseconds, handed out this much late.
    fn arrivals(at: &[u32], late: Duration, closes: Duration) -> Arrivals {
        let (sender, queue) = mpsc::unbounded_channel();
        let began = Instant::now();
        for due in at.iter().map(|&ms| began + MS * ms) {
            sender.send(Arrival { due, handed_out: due + late }).expect("a queue");
        }
        Arrivals { queue: Arc::new(Mutex::new(queue)), closes: began + closes }
    }

    #[tokio::test(start_paused = true)]
    async fn callers_call_until_the_time_is_up_and_are_there_again() {
        let mut callers = vec![Scripted::taking(&[10]); 3];
        let round = round(&mut callers, &ask(), Work::For(MS * 95)).await.expect("a round");
        assert_eq!((round.sample.latencies.len(), callers.len()), (30, 3));
        assert!(round.sample.latencies.iter().all(|time| (10_000_000..11_000_000).contains(time)));
    }

    #[tokio::test(start_paused = true)]
    async fn failed_calls_are_counted_by_cause_and_have_no_latency() {
        let mut failing = Scripted::taking(&[1]);
        failing.fails = true;
        let round = round(&mut vec![failing], &ask(), Work::Times(7)).await.expect("a round");
        assert_eq!((round.sample.latencies.len(), round.sample.failed()), (0, 7));
        assert_eq!(round.sample.failures, BTreeMap::from([("UNAVAILABLE".to_owned(), 7)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_server_shows_as_queueing_in_open_loop() {
        // Five calls, one a millisecond; the first is held for 100 ms, and there is one caller.
        let arrivals = arrivals(&[0, 1, 2, 3, 4], Duration::ZERO, MS * 1_000);
        let sample = arrivals.serve(&mut Scripted::taking(&[100, 1]), &ask()).await;
        assert_eq!(milliseconds(&sample.latencies), [100, 100, 100, 100, 100]);
        // A closed loop would have reported one slow call of five.
        let closed = round(&mut vec![Scripted::taking(&[100, 1])], &ask(), Work::Times(5)).await.expect("a round");
        assert_eq!(milliseconds(&closed.sample.latencies), [100, 1, 1, 1, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn arrivals_that_found_no_caller_in_time_are_counted_as_dropped() {
        let arrivals = arrivals(&[0, 1, 2, 3, 4], Duration::ZERO, MS * 50);
        let sample = arrivals.serve(&mut Scripted::taking(&[30]), &ask()).await;
        assert_eq!((sample.latencies.len(), arrivals.left().await), (2, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_lateness_of_the_generator_is_measured_and_is_part_of_the_latency() {
        let arrivals = arrivals(&[0], MS * 20, MS * 50);
        sleep(MS * 20).await;
        let sample = arrivals.serve(&mut Scripted::taking(&[1]), &ask()).await;
        assert_eq!((milliseconds(&sample.lateness), milliseconds(&sample.latencies)), (vec![20], vec![21]));
    }
}
