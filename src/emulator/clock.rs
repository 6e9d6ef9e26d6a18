//! The emulator's time: of day, or made up. Knows nothing of what is due when.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::engine::Engine;

/// Where made-up time begins: 2026-01-01T00:00:00Z, the same for everybody, so that equal calls give equal histories.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);
/// The last second that a protobuf timestamp can hold: time stops there.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// How the time of an emulator passes: of task timeouts, scripted tasks, delays and every timestamp.
///
/// Two things stay real, whatever the clock: how long WaitOperation holds its caller, which is that caller's patience,
/// and the processes of [`Runtime::Process`](super::Runtime::Process) with their ten seconds between SIGTERM and SIGKILL.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Clock {
    /// The time of day, carried on by the clock of tokio, which a test can pause.
    #[default]
    Real,
    /// Stands still at 2026-01-01T00:00:00Z until [`ClockHandle::advance`] moves it.
    Virtual,
    /// Starts as [`Virtual`](Self::Virtual) and jumps to the next event as soon as there is one: nothing takes long, and a
    /// caller may miss the states in between.
    Fast,
}

/// The time of a running emulator: see [`Emulator::clock`](super::Emulator::clock).
#[derive(Clone)]
pub struct ClockHandle(Arc<Engine>);

impl ClockHandle {
    pub(crate) fn new(engine: &Arc<Engine>) -> Self {
        Self(Arc::clone(engine))
    }

    /// What time it is in the emulator.
    pub fn now(&self) -> SystemTime {
        self.0.now()
    }

    /// Moves time on. All that becomes due meanwhile has happened, each thing at its own time, when this returns; only
    /// processes take their own time to react. A real clock goes on from there.
    pub fn advance(&self, by: Duration) {
        self.0.advance(by);
    }
}

impl fmt::Debug for ClockHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClockHandle").field(&self.now()).finish()
    }
}

/// What a clock shows, and since when.
#[derive(Clone, Debug)]
pub(crate) struct Timekeeper {
    clock: Clock,
    /// What it showed at `set`.
    shown: SystemTime,
    set: Instant,
}

impl Timekeeper {
    pub(crate) fn new(clock: Clock) -> Self {
        let shown = match clock {
            Clock::Real => SystemTime::UNIX_EPOCH + whole_micros(since_epoch(SystemTime::now())),
            Clock::Virtual | Clock::Fast => SystemTime::UNIX_EPOCH + EPOCH,
        };
        Self { clock, shown, set: Instant::now() }
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    pub(crate) fn now(&self) -> SystemTime {
        match self.clock {
            Clock::Real => self.shown + whole_micros(self.set.elapsed()),
            Clock::Virtual | Clock::Fast => self.shown,
        }
    }

    /// So much later, or when time ends.
    pub(crate) fn later(&self, by: Duration) -> SystemTime {
        let last = SystemTime::UNIX_EPOCH + LAST;
        self.now().checked_add(whole_micros(by)).map_or(last, |at| at.min(last))
    }

    /// Moves on to this time, never back.
    pub(crate) fn move_to(&mut self, at: SystemTime) {
        if let Ok(by) = at.duration_since(self.now()) {
            self.shown += by;
        }
    }

    /// When tokio's clock will say that it is this time; for a real clock only.
    pub(crate) fn instant(&self, at: SystemTime) -> Instant {
        self.set + at.duration_since(self.shown).unwrap_or_default()
    }
}

/// The service's times, and the etags made from them, have whole microseconds.
fn whole_micros(time: Duration) -> Duration {
    time - Duration::from_nanos(u64::from(time.subsec_nanos() % 1000))
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtual_clock_moves_only_when_it_is_moved_and_never_back() {
        let mut timekeeper = Timekeeper::new(Clock::Virtual);
        let start = timekeeper.now();
        assert_eq!(start, SystemTime::UNIX_EPOCH + EPOCH);
        timekeeper.move_to(start + Duration::from_secs(60));
        timekeeper.move_to(start);
        assert_eq!(timekeeper.now(), start + Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_real_clock_goes_on_from_where_it_was_moved_to() {
        let mut timekeeper = Timekeeper::new(Clock::Real);
        let start = timekeeper.now();
        timekeeper.move_to(start + Duration::from_secs(60));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(timekeeper.now(), start + Duration::from_secs(65));
        assert_eq!(timekeeper.instant(timekeeper.now()), Instant::now());
    }

    #[test]
    fn time_ends_with_the_last_timestamp() {
        assert_eq!(Timekeeper::new(Clock::Virtual).later(Duration::MAX), SystemTime::UNIX_EPOCH + LAST);
    }
}
