//! Clocks: how fine the one for latencies is, and what the process has computed.

use std::time::{Duration, Instant};

use cpu_time::ProcessTime;

/// Samples of the clock; the smallest step among them is its resolution.
const SAMPLES: usize = 1_000;

/// Both clocks, since one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch {
    began: Instant,
    processor: ProcessTime,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now(), processor: ProcessTime::now() }
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// The time that has passed, and the processor time of all threads.
    pub(crate) fn stop(self) -> (Duration, Duration) {
        (self.began.elapsed(), self.processor.elapsed())
    }
}

/// The smallest step that a clock makes.
pub(crate) fn resolution(now: impl Fn() -> Instant) -> Duration {
    let steps = (0..SAMPLES).filter_map(|_| {
        let before = now();
        // A clock that does not move within this many looks is taken for coarser than the time they take.
        (0..10_000).map(|_| now().duration_since(before)).find(|step| !step.is_zero())
    });
    steps.min().unwrap_or(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_resolution_is_the_smallest_step_of_the_clock() {
        let (start, reads) = (Instant::now(), Cell::new(0_u32));
        let coarse = || {
            reads.set(reads.get() + 1);
            // Every tenth look sees the clock 4 ms further on.
            start + Duration::from_millis(4) * (reads.get() / 10)
        };
        assert_eq!(resolution(coarse), Duration::from_millis(4));
    }
}
