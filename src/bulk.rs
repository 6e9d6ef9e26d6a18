//! Many starts at a rate that fits a quota. How one start is made safe is `start`'s business.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::time::{Instant, sleep_until};
use tonic::Code;

use crate::{
    error::{Error, Result},
    run::Run,
    start::RunBuilder,
};

const MINUTE: Duration = Duration::from_secs(60);

/// How fast to start many executions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StartRate {
    /// How many starts may be under way at once, at least 1. Default is 16: far from the hundred streams that a
    /// connection usually has, and enough to use up the quota at any usual latency.
    pub in_flight: usize,
    /// How many starts may be sent within any minute, at least 1. Default is 180, what a project has in a region
    /// ("Job run requests per minute per region").
    pub per_minute: usize,
}

impl StartRate {
    /// The usual rate: what a project has by default.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with this many starts under way at most.
    pub fn in_flight(self, in_flight: usize) -> Self {
        Self { in_flight, ..self }
    }

    /// The same with this many starts within any minute at most.
    pub fn per_minute(self, per_minute: usize) -> Self {
        Self { per_minute, ..self }
    }
}

impl Default for StartRate {
    fn default() -> Self {
        Self { in_flight: 16, per_minute: 180 }
    }
}

/// The runs in the order of their starts. A start that fails is yielded as its error, and the others go on.
pub(crate) fn start_all(
    starts: impl IntoIterator<Item = RunBuilder, IntoIter: Send + 'static>,
    rate: StartRate,
) -> BoxStream<'static, Result<Run>> {
    let pacer = Arc::new(Pacer::new(rate));
    stream::iter(starts)
        .map(move |start| {
            let pacer = Arc::clone(&pacer);
            async move {
                pacer.turn().await;
                let started = start.start().await;
                pacer.answered(&started);
                started
            }
        })
        .buffered(rate.in_flight.max(1))
        .boxed()
}

/// Gives starts their turns at a rate.
#[derive(Debug)]
pub(crate) struct Pacer(Mutex<Window>);

impl Pacer {
    pub(crate) fn new(rate: StartRate) -> Self {
        Self(Mutex::new(Window::new(rate.per_minute)))
    }

    /// Returns when the next start may be sent.
    pub(crate) async fn turn(&self) {
        let slot = lock(&self.0).slot(Instant::now());
        sleep_until(slot).await;
    }

    /// Takes note of an answer: after one that says that a quota is used up, the next turns come later.
    pub(crate) fn answered(&self, started: &Result<Run>) {
        if let Err(error) = started
            && error.code() == Some(Code::ResourceExhausted)
        {
            lock(&self.0).hold(Instant::now() + pause(error));
        }
    }
}

/// How long to send nothing after a quota was used up: what the service advises, or the minute that quotas count.
fn pause(error: &Error) -> Duration {
    error.retry_after().unwrap_or(MINUTE).min(5 * MINUTE)
}

/// When the last starts were, or will be, sent.
#[derive(Debug)]
struct Window {
    per_minute: usize,
    sent: VecDeque<Instant>,
    not_before: Option<Instant>,
}

impl Window {
    fn new(per_minute: usize) -> Self {
        Self { per_minute: per_minute.max(1), sent: VecDeque::new(), not_before: None }
    }

    /// When the next start may be sent: at once, or when the one that is as many before it is a minute old.
    fn slot(&mut self, now: Instant) -> Instant {
        let mut slot = now.max(self.not_before.unwrap_or(now));
        if self.sent.len() == self.per_minute
            && let Some(oldest) = self.sent.pop_front()
        {
            slot = slot.max(oldest + MINUTE);
        }
        self.sent.push_back(slot);
        slot
    }

    /// Lets nothing be sent before `until`. Slots that were given already stay.
    fn hold(&mut self, until: Instant) {
        self.not_before = self.not_before.max(Some(until));
    }
}

fn lock(window: &Mutex<Window>) -> MutexGuard<'_, Window> {
    // Nothing panics while it is held.
    window.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_has_more_starts_than_the_quota() {
        let now = Instant::now();
        let mut window = Window::new(3);
        let slots: Vec<_> = (0..7).map(|_| (window.slot(now) - now).as_secs()).collect();
        assert_eq!(slots, [0, 0, 0, 60, 60, 60, 120]);
    }

    #[test]
    fn starts_that_are_slow_anyway_are_not_held_up() {
        let now = Instant::now();
        let mut window = Window::new(2);
        for second in [0, 31, 62, 93] {
            let at = now + Duration::from_secs(second);
            assert_eq!(window.slot(at), at);
        }
    }

    #[test]
    fn a_used_up_quota_holds_the_next_ones_back() {
        let now = Instant::now();
        let mut window = Window::new(3);
        window.slot(now);
        window.hold(now + Duration::from_secs(7));
        assert_eq!(window.slot(now), now + Duration::from_secs(7));
    }
}
