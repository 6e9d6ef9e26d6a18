//! What was observed of one arm at one level, and the figures in it.

use std::collections::BTreeMap;

use fastrand::Rng;
use hdrhistogram::Histogram;

use super::{
    call::LogicalCall,
    caller::Arm,
    round::Round,
    server::Counters,
    stats::{self, Interval, median},
};

/// Failures of more than this share say that something else was measured than the others did.
const TOLERATED: f64 = 0.01;

/// One round, from both ends.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) round: Round,
    pub(crate) counters: Option<Counters>,
}

/// All rounds of one arm at one level that count.
#[derive(Clone, Debug)]
pub(crate) struct ArmSample {
    pub(crate) arm: Arm,
    pub(crate) rounds: Vec<Observed>,
}

impl ArmSample {
    /// All latencies in nanoseconds, to three digits.
    pub(crate) fn histogram(&self) -> Histogram<u64> {
        histogram(self.rounds.iter().flat_map(|observed| &observed.round.sample.latencies))
    }

    /// How late the generator was, in nanoseconds; none in closed loop.
    pub(crate) fn lateness(&self) -> Option<Histogram<u64>> {
        let lateness = histogram(self.rounds.iter().flat_map(|observed| &observed.round.sample.lateness));
        (!lateness.is_empty()).then_some(lateness)
    }

    /// The median latency of each round, in nanoseconds.
    pub(crate) fn medians(&self) -> Vec<f64> {
        let of_round = |observed: &Observed| {
            median(observed.round.sample.latencies.iter().map(|&latency| latency as f64).collect())
        };
        self.rounds.iter().map(of_round).collect()
    }

    pub(crate) fn answered(&self) -> u64 {
        self.total(|round| round.sample.latencies.len() as u64)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.total(|round| round.dropped)
    }

    pub(crate) fn failures(&self) -> BTreeMap<String, u64> {
        let mut failures = BTreeMap::new();
        for (cause, count) in self.rounds.iter().flat_map(|observed| &observed.round.sample.failures) {
            *failures.entry(cause.clone()).or_default() += count;
        }
        failures
    }

    /// Whether its latencies are those of the calls that were asked for.
    pub(crate) fn is_comparable(&self) -> bool {
        let failed: u64 = self.failures().values().sum();
        self.answered() > 0 && (failed as f64) <= TOLERATED * (failed + self.answered()) as f64
    }

    /// RPCs a second, the median of the rounds.
    pub(crate) fn rpcs_per_second(&self, call: LogicalCall) -> f64 {
        median(self.rounds.iter().map(|observed| rpcs(observed, call) / observed.round.elapsed.as_secs_f64()).collect())
    }

    /// Processor time of this process for an RPC in microseconds, the median of the rounds.
    pub(crate) fn processor_per_rpc(&self, call: LogicalCall) -> f64 {
        let of_round = |observed: &Observed| observed.round.processor.as_secs_f64() * 1e6 / rpcs(observed, call);
        median(self.rounds.iter().map(of_round).filter(|time| time.is_finite()).collect())
    }

    /// The counters of the server over all rounds; none where it does not count.
    pub(crate) fn counters(&self) -> Option<Counters> {
        let all: Option<Vec<Counters>> = self.rounds.iter().map(|observed| observed.counters).collect();
        Some(all?.into_iter().fold(Counters::default(), |sum, one| Counters {
            connections: sum.connections + one.connections,
            requests: sum.requests + one.requests,
            peak: sum.peak.max(one.peak),
            received: sum.received + one.received,
            sent: sum.sent + one.sent,
        }))
    }

    /// The ratio of the median latencies to those of `base` in the same rounds; none where either has failed.
    pub(crate) fn ratio_to(&self, base: &Self, seed: u64) -> Option<Interval> {
        if !self.is_comparable() || !base.is_comparable() {
            return None;
        }
        let pairs: Vec<_> = self.medians().into_iter().zip(base.medians()).collect();
        stats::ratio(&pairs, &mut Rng::with_seed(seed))
    }

    fn total(&self, of_round: impl Fn(&Round) -> u64) -> u64 {
        self.rounds.iter().map(|observed| of_round(&observed.round)).sum()
    }
}

/// RPCs of a round, with those that failed: they cost as well.
fn rpcs(observed: &Observed, call: LogicalCall) -> f64 {
    let sample = &observed.round.sample;
    ((sample.latencies.len() as u64 + sample.failed()) * call.rpcs()) as f64
}

fn histogram<'a>(values: impl Iterator<Item = &'a u64>) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).unwrap_or_else(|_| unreachable!("three digits are allowed"));
    for &value in values {
        // It grows as it needs to, so that no value is out of range.
        let _ = histogram.record(value);
    }
    histogram
}
