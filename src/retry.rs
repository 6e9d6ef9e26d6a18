//! Policies as pure values: how long to pause, how often to try, what may be sent again, and how many may be held.
//!
//! Knows no runtime, no clock, no RPC and no random source: the caller brings the number.

use std::time::Duration;

use crate::error::Advice;

/// What is known of a request that failed, from evidence and never from a status code alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// Its message never left this process.
    NeverSent,
    /// It left, and the peer proved that it did not process it (RFC 9113 8.7: a refused stream, or one above the
    /// last id of a GOAWAY; or the peer does not speak HTTP/2).
    Unprocessed,
    /// The service itself answered with a code that means that nothing was done.
    Rejected,
    /// It may have been processed.
    Ambiguous,
}

/// Exponential pauses with jitter, so that many callers do not come back at the same moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) factor: f64,
    pub(crate) longest: Duration,
}

impl Backoff {
    /// The pause after failure number `failures`, from 1, with `random` in `0..1`.
    ///
    /// Between half of the exponential step and all of it: a pause of nothing would be no pause.
    pub(crate) fn pause(&self, failures: u32, random: f64) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let step = self.first.as_secs_f64() * self.factor.powi(exponent);
        let step = step.min(self.longest.as_secs_f64());
        Duration::from_secs_f64(step * (0.5 + random.clamp(0.0, 1.0) / 2.0))
    }
}

/// How often a read is tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ReadPolicy {
    pub(crate) attempts: u32,
    pub(crate) backoff: Backoff,
    /// The longest pause that the service may ask for; a longer one ends the read.
    pub(crate) longest_advice: Duration,
}

impl ReadPolicy {
    /// Five attempts within about three seconds: long enough for a connection to be replaced, short enough for a
    /// person to wait. The published service config names no policy for Jobs, Executions, Tasks and Operations.
    pub(crate) const DEFAULT: Self = Self {
        attempts: 5,
        backoff: Backoff { first: Duration::from_millis(200), factor: 2.0, longest: Duration::from_secs(2) },
        longest_advice: Duration::from_secs(30),
    };

    /// The pause before the next attempt after `failures` of them, or none when it is time to give up. What the
    /// service advises counts more than the backoff.
    pub(crate) fn next(&self, failures: u32, advice: Option<Advice>, random: f64) -> Option<Duration> {
        if failures >= self.attempts {
            return None;
        }
        match advice {
            Some(Advice::Never) => None,
            Some(Advice::After(pause)) => (pause <= self.longest_advice).then_some(pause),
            None => Some(self.backoff.pause(failures, random)),
        }
    }
}

/// How often a start is sent, where there is proof each time that it was not processed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StartPolicy {
    pub(crate) attempts: u32,
    /// How often the peer may refuse: a proof that comes from the peer is as good as the peer.
    pub(crate) refusals: u32,
    pub(crate) backoff: Backoff,
}

impl StartPolicy {
    /// Once more at once (gRFC A6: what the peer did not process is tried again without a pause), and then within about
    /// three seconds: a server that restarts is waited for, and one that is not there is told soon. Starting again
    /// after [`NotStarted`](crate::ErrorKind::NotStarted) is safe for a caller with more patience.
    pub(crate) const DEFAULT: Self = Self {
        attempts: 6,
        refusals: 3,
        backoff: Backoff { first: Duration::from_millis(200), factor: 2.0, longest: Duration::from_secs(2) },
    };

    /// The pause before the start may be sent again after `failures` attempts, `refused` of which the peer refused.
    /// None when nothing proves that the last one was not processed, or when it is time to give up.
    pub(crate) fn next(&self, evidence: Evidence, failures: u32, refused: u32, random: f64) -> Option<Duration> {
        let unprocessed = matches!(evidence, Evidence::NeverSent | Evidence::Unprocessed);
        if !unprocessed || failures >= self.attempts || refused >= self.refusals {
            return None;
        }
        Some(if failures == 1 { Duration::ZERO } else { self.backoff.pause(failures - 1, random) })
    }
}

/// How often the calls of a client are tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Policies {
    pub(crate) read: ReadPolicy,
    pub(crate) start: StartPolicy,
}

impl Policies {
    pub(crate) const DEFAULT: Self = Self { read: ReadPolicy::DEFAULT, start: StartPolicy::DEFAULT };

    /// The longest pause that can be asked for: a longer one is no backoff, and a clock could not tell it.
    const LONGEST: Duration = Duration::from_secs(3600);

    pub(crate) fn set_attempts(&mut self, most: u32) {
        (self.read.attempts, self.start.attempts) = (most, most);
    }

    pub(crate) fn set_backoff(&mut self, first: Duration, longest: Duration) {
        for backoff in [&mut self.read.backoff, &mut self.start.backoff] {
            *backoff = Backoff { first: first.min(Self::LONGEST), longest: longest.min(Self::LONGEST), ..*backoff };
        }
    }

    /// Whether the pauses do not begin or do not grow.
    pub(crate) fn has_no_pause(&self) -> bool {
        let Backoff { first, longest, .. } = self.read.backoff;
        first.is_zero() || longest < first
    }
}

/// Keeps the attempts of all calls together from making a bad time worse (gRFC A6, throttling).
///
/// Each failure takes a token, each success gives a tenth back; while half of them or fewer are left, nothing is
/// tried again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Throttle {
    /// In tenths of a token, so that they add up exactly.
    tenths: u32,
}

impl Throttle {
    /// The ten tokens of the example in A6 are few for a client that many tasks share; a hundred keep one broken
    /// connection under many calls from looking like an outage.
    const MOST: u32 = 100 * 10;

    pub(crate) fn failed(&mut self) {
        self.tenths = self.tenths.saturating_sub(10);
    }

    pub(crate) fn succeeded(&mut self) {
        self.tenths = Self::MOST.min(self.tenths + 1);
    }

    pub(crate) fn allows(&self) -> bool {
        self.tenths > Self::MOST / 2
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self { tenths: Self::MOST }
    }
}

/// The slots that long polls may hold, so that a client full of waits has room for its other calls.
///
/// A poll that had to queue for its place shows that the peer allows fewer calls than there are slots: it takes its
/// place away with it. One that did not gives a tenth of a place back, up to what there was at first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slots {
    /// In tenths of a slot, as `allowed`, so that they add up exactly.
    most: usize,
    allowed: usize,
    taken: usize,
}

impl Slots {
    pub(crate) fn new(most: usize) -> Self {
        let most = most.saturating_mul(10);
        Self { most, allowed: most, taken: 0 }
    }

    /// Takes a slot, if there is one. One there always is.
    pub(crate) fn take(&mut self) -> bool {
        let free = self.taken < (self.allowed / 10).max(1);
        self.taken += usize::from(free);
        free
    }

    pub(crate) fn leave(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }

    pub(crate) fn queued(&mut self) {
        self.allowed = self.allowed.saturating_sub(10);
    }

    pub(crate) fn answered(&mut self) {
        self.allowed = self.most.min(self.allowed + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { first: Duration::from_millis(100), factor: 2.0, longest: Duration::from_millis(350) };

    #[test]
    fn pauses_double_up_to_the_longest() {
        let full: Vec<_> = (1..=4).map(|failures| BACKOFF.pause(failures, 1.0).as_millis()).collect();
        assert_eq!(full, [100, 200, 350, 350]);
        assert_eq!(BACKOFF.pause(u32::MAX, 1.0), BACKOFF.longest);
    }

    #[test]
    fn jitter_takes_off_at_most_half() {
        assert_eq!(BACKOFF.pause(1, 0.0), Duration::from_millis(50));
        assert_eq!(BACKOFF.pause(1, 0.5), Duration::from_millis(75));
    }

    #[test]
    fn a_read_is_given_up_after_its_attempts() {
        let policy = ReadPolicy { attempts: 2, backoff: BACKOFF, ..ReadPolicy::DEFAULT };
        assert_eq!(policy.next(1, None, 1.0), Some(Duration::from_millis(100)));
        assert_eq!(policy.next(2, None, 1.0), None);
    }

    #[test]
    fn the_service_decides_about_the_next_read_within_bounds() {
        let policy = ReadPolicy::DEFAULT;
        let after = |seconds| Some(Advice::After(Duration::from_secs(seconds)));
        assert_eq!(policy.next(1, after(0), 1.0), Some(Duration::ZERO));
        assert_eq!(policy.next(1, after(7), 1.0), Some(Duration::from_secs(7)));
        assert_eq!(policy.next(1, after(3600), 1.0), None);
        assert_eq!(policy.next(1, Some(Advice::Never), 1.0), None);
        assert_eq!(policy.next(policy.attempts, after(0), 1.0), None);
    }

    #[test]
    fn a_start_is_sent_again_only_with_proof() {
        let policy = StartPolicy::DEFAULT;
        assert_eq!(policy.next(Evidence::NeverSent, 1, 0, 1.0), Some(Duration::ZERO));
        assert_eq!(policy.next(Evidence::Unprocessed, 1, 1, 1.0), Some(Duration::ZERO));
        assert_eq!(policy.next(Evidence::NeverSent, 2, 0, 1.0), Some(Duration::from_millis(200)));
        assert_eq!(policy.next(Evidence::Unprocessed, 3, 3, 1.0), None);
        assert_eq!(policy.next(Evidence::NeverSent, policy.attempts, 0, 1.0), None);
        for failures in 1..10 {
            assert_eq!(policy.next(Evidence::Ambiguous, failures, 0, 1.0), None);
            assert_eq!(policy.next(Evidence::Rejected, failures, 0, 1.0), None);
        }
    }

    #[test]
    fn many_failures_stop_second_attempts_until_successes_make_up_for_them() {
        let mut throttle = Throttle::default();
        (0..49).for_each(|_| throttle.failed());
        assert!(throttle.allows());
        throttle.failed();
        assert!(!throttle.allows());
        throttle.succeeded();
        assert!(throttle.allows());
        (0..1_000).for_each(|_| throttle.failed());
        assert!(!throttle.allows());
        (0..10_000).for_each(|_| throttle.succeeded());
        assert_eq!(throttle, Throttle::default());
    }

    #[test]
    fn a_place_is_free_again_when_it_was_left() {
        let mut slots = Slots::new(2);
        assert_eq!([slots.take(), slots.take(), slots.take()], [true, true, false]);
        slots.leave();
        assert_eq!([slots.take(), slots.take()], [true, false]);
    }

    #[test]
    fn polls_that_queue_take_their_slots_away_until_others_make_up_for_them() {
        let mut slots = Slots::new(3);
        (0..2).for_each(|_| slots.queued());
        assert_eq!([slots.take(), slots.take()], [true, false]);
        slots.leave();
        (0..10).for_each(|_| slots.answered());
        assert_eq!([slots.take(), slots.take(), slots.take()], [true, true, false]);
        (0..9).for_each(|_| slots.queued());
        assert_eq!(slots.allowed, 0);
        (0..2).for_each(|_| slots.leave());
        assert!(slots.take(), "one wait always learns of its end at once");
        (0..99).for_each(|_| slots.answered());
        assert_eq!(slots.allowed, slots.most);
    }
}
