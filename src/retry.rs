//! Policies as pure values: how long to pause, how often to try, and what may be sent again.
//!
//! Knows no runtime, no clock, no RPC and no random source: the caller brings the number.

use std::time::Duration;

/// What is known of a request that failed, from evidence and never from a status code alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
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
}

impl ReadPolicy {
    /// Five attempts within about three seconds: long enough for a connection to be replaced, short enough for a
    /// person to wait. The published service config names no policy for Jobs, Executions, Tasks and Operations.
    pub(crate) const DEFAULT: Self = Self {
        attempts: 5,
        backoff: Backoff { first: Duration::from_millis(200), factor: 2.0, longest: Duration::from_secs(2) },
    };

    /// The pause before the next attempt after `failures` of them, or none when it is time to give up.
    pub(crate) fn next(&self, failures: u32, random: f64) -> Option<Duration> {
        (failures < self.attempts).then(|| self.backoff.pause(failures, random))
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
        let policy = ReadPolicy { attempts: 2, backoff: BACKOFF };
        assert_eq!(policy.next(1, 1.0), Some(Duration::from_millis(100)));
        assert_eq!(policy.next(2, 1.0), None);
    }
}
