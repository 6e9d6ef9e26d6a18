//! One round of one arm: lanes that call until the time is up, and what that took. Knows no arm.

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use tokio::task::JoinSet;

use crate::{
    Result,
    arms::{Lane, Work},
};

/// When the lanes of a round stop.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After this many pairs each.
    Pairs(usize),
}

/// What one round has measured.
#[derive(Debug)]
pub(crate) struct Round {
    /// Of each pair, in microseconds, the shortest first.
    pub(crate) latencies: Vec<f64>,
    pub(crate) elapsed: Duration,
    /// What all threads of this process have used.
    pub(crate) processor: Duration,
}

impl Work for Until {
    type Output = Round;

    async fn run<L: Lane>(self, lanes: Vec<L>) -> Result<Round> {
        let mut tasks = JoinSet::new();
        let (began, processor) = (Instant::now(), ProcessTime::now());
        for lane in lanes {
            tasks.spawn(self.calls(lane, began));
        }
        let mut latencies = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            latencies.extend(ended??);
        }
        let (elapsed, processor) = (began.elapsed(), processor.elapsed());
        latencies.sort_by(f64::total_cmp);
        Ok(Round { latencies, elapsed, processor })
    }
}

impl Until {
    /// The latencies of one lane.
    async fn calls(self, mut lane: impl Lane, began: Instant) -> Result<Vec<f64>> {
        let mut latencies = Vec::with_capacity(1 << 12);
        loop {
            let enough = match self {
                Self::Elapsed(limit) => began.elapsed() >= limit,
                Self::Pairs(count) => latencies.len() >= count,
            };
            if enough {
                return Ok(latencies);
            }
            let sent = Instant::now();
            lane.pair().await?;
            latencies.push(sent.elapsed().as_secs_f64() * 1e6);
        }
    }
}
