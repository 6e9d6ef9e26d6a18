//! Tasks that only pretend: each starts after a delay, runs for a while, and ends with a given result. No process, no
//! output, and no clock: an [`Agenda`] lists what happens next and when, and the owner of the clock carries it out.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{AttemptReport, GRACE};
use crate::{
    emulator::state::{AttemptEnd, AttemptId, Launch},
    name::JobName,
};

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// The script of a simulated runtime: what each attempt does. It has every image.
#[derive(Clone)]
pub struct Simulation(Arc<dyn Fn(&AttemptId) -> Simulated + Send + Sync>);

/// What one simulated attempt does.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Simulated {
    latency: Duration,
    duration: Duration,
    ending: AttemptEnd,
    shutdown: Duration,
}

impl Simulated {
    /// Ends at once with this exit code; 0 is success.
    pub fn exits(code: i32) -> Self {
        Self::ends(AttemptEnd::Exited(code))
    }

    /// Is ended at once by this signal.
    pub fn killed_by(signal: i32) -> Self {
        Self::ends(AttemptEnd::Signalled(signal))
    }

    /// Does so only after this time, counted from its start.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self { duration, ..self }
    }

    /// Starts only after this time. Default is none.
    #[must_use]
    pub fn starting_after(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }

    /// Takes this time to end when it is told to, by a cancel or a timeout. Default is none; after ten seconds it is
    /// killed, as on the service.
    #[must_use]
    pub fn shutting_down_for(self, shutdown: Duration) -> Self {
        Self { shutdown, ..self }
    }

    fn ends(ending: AttemptEnd) -> Self {
        Self { latency: Duration::ZERO, duration: Duration::ZERO, ending, shutdown: Duration::ZERO }
    }
}

impl Simulation {
    /// A script that looks at the attempt. Asked again for the same attempt it should say the same.
    pub fn new(script: impl Fn(&AttemptId) -> Simulated + Send + Sync + 'static) -> Self {
        Self(Arc::new(script))
    }
}

impl Default for Simulation {
    /// Every attempt succeeds at once.
    fn default() -> Self {
        Self::new(|_| Simulated::exits(0))
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Simulation").finish_non_exhaustive()
    }
}

/// What the simulated attempts do next.
#[derive(Debug)]
pub(crate) struct Agenda {
    script: Simulation,
    /// In the order in which they happen: by time, then by when they were put here.
    steps: BTreeMap<ScriptSlot, AttemptReport>,
    attempts: HashMap<AttemptId, Attempt>,
    serial: u64,
}

type ScriptSlot = (SystemTime, u64);

#[derive(Debug)]
struct Attempt {
    does: Simulated,
    has_gpu: bool,
    /// Its next step; `None` if that is later than time goes.
    next: Option<ScriptSlot>,
    /// Whether it has been told to end.
    stopping: bool,
}

impl Agenda {
    pub(crate) fn new(script: Simulation) -> Self {
        Self { script, steps: BTreeMap::new(), attempts: HashMap::new(), serial: 0 }
    }

    pub(crate) fn start(&mut self, launch: Launch, now: SystemTime) {
        let has_gpu = launch.has_gpu();
        let id = launch.id;
        let does = (self.script.0)(&id);
        let next = self.plan(now.checked_add(does.latency), AttemptReport::Started(id.clone()));
        self.attempts.insert(id, Attempt { does, has_gpu, next, stopping: false });
    }

    /// Maintains the host of the attempts of a job, or of all, that run now: they stand still meanwhile, and those with a
    /// GPU end.
    pub(crate) fn maintain(&mut self, job: Option<&JobName>, now: SystemTime) {
        let mut ids: Vec<_> =
            self.attempts.iter().filter(|(_, attempt)| self.runs(attempt) && !attempt.stopping).collect();
        ids.retain(|(id, _)| job.is_none_or(|job| id.execution.job() == job));
        let mut ids: Vec<_> = ids.into_iter().map(|(id, attempt)| (id.clone(), attempt.has_gpu)).collect();
        ids.sort_unstable();
        for (id, has_gpu) in ids {
            if has_gpu { self.stop(&id, now) } else { self.hold(&id, GRACE) }
        }
    }

    /// Puts off the end of an attempt.
    fn hold(&mut self, id: &AttemptId, time: Duration) {
        let Some(slot) = self.attempts.get(id).and_then(|attempt| attempt.next) else { return };
        let next = self.steps.remove(&slot).and_then(|step| self.plan(slot.0.checked_add(time), step));
        self.attempts.entry(id.clone()).and_modify(|attempt| attempt.next = next);
    }

    /// Whether an attempt has started.
    fn runs(&self, attempt: &Attempt) -> bool {
        attempt.next.is_none_or(|slot| matches!(self.steps.get(&slot), Some(AttemptReport::Ended(..))))
    }

    /// Ends an attempt early, unless it ends by itself before that.
    pub(crate) fn stop(&mut self, id: &AttemptId, now: SystemTime) {
        let Some(attempt) = self.attempts.get(id) else { return };
        let runs = self.runs(attempt);
        let (shutdown, signal) = match attempt.does.shutdown {
            _ if !runs => (Duration::ZERO, SIGTERM),
            shutdown if shutdown < GRACE => (shutdown, SIGTERM),
            _ => (GRACE, SIGKILL),
        };
        let end = now.checked_add(shutdown);
        if runs && attempt.next.is_some_and(|(at, _)| end.is_none_or(|end| at <= end)) {
            return;
        }
        if let Some(slot) = attempt.next {
            self.steps.remove(&slot);
        }
        let next = self.plan(end, AttemptReport::Ended(id.clone(), AttemptEnd::Signalled(signal)));
        self.attempts.entry(id.clone()).and_modify(|attempt| (attempt.next, attempt.stopping) = (next, true));
    }

    /// When the next step is due.
    pub(crate) fn next(&self) -> Option<SystemTime> {
        self.steps.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next step, taken off.
    pub(crate) fn pop(&mut self) -> Option<AttemptReport> {
        let ((at, _), report) = self.steps.pop_first()?;
        match &report {
            AttemptReport::Ended(id, _) => _ = self.attempts.remove(id),
            AttemptReport::Started(id) => {
                let Simulated { duration, ending, .. } = self.attempts.get(id)?.does.clone();
                let next = self.plan(at.checked_add(duration), AttemptReport::Ended(id.clone(), ending));
                self.attempts.entry(id.clone()).and_modify(|attempt| attempt.next = next);
            }
        }
        Some(report)
    }

    /// Forgets all attempts.
    pub(crate) fn clear(&mut self) {
        self.steps.clear();
        self.attempts.clear();
    }

    fn plan(&mut self, at: Option<SystemTime>, step: AttemptReport) -> Option<ScriptSlot> {
        let slot = (at?, self.serial);
        self.serial += 1;
        self.steps.insert(slot, step);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Location;

    const SECOND: Duration = Duration::from_secs(1);

    fn launch() -> Launch {
        Launch { id: attempt(), task_count: 1, template: Arc::default() }
    }

    fn attempt() -> AttemptId {
        let job = Location::new("p", "r").expect("valid").job("j").expect("valid");
        AttemptId { execution: job.execution("j-1").expect("valid"), task_index: 0, attempt: 0 }
    }

    /// An attempt that does this, told to stop at these seconds: how it ends, and after how many seconds.
    fn ending(does: Simulated, stops: &[u32]) -> (AttemptEnd, u64) {
        let mut agenda = Agenda::new(Simulation::new(move |_| does.clone()));
        let origin = SystemTime::UNIX_EPOCH;
        agenda.start(launch(), origin);
        for stop in stops {
            let at = origin + SECOND * *stop;
            while agenda.next().is_some_and(|next| next <= at) {
                agenda.pop();
            }
            agenda.stop(&attempt(), at);
        }
        loop {
            let at = agenda.next().expect("it ends");
            if let Some(AttemptReport::Ended(_, ending)) = agenda.pop() {
                return (ending, at.duration_since(origin).expect("later").as_secs());
            }
        }
    }

    #[test]
    fn an_attempt_ends_its_time_after_its_start() {
        let does = Simulated::exits(3).starting_after(SECOND * 2).after(SECOND * 5);
        assert_eq!(ending(does, &[]), (AttemptEnd::Exited(3), 7));
        assert_eq!(ending(Simulated::killed_by(11), &[]), (AttemptEnd::Signalled(11), 0));
    }

    #[test]
    fn a_stopped_attempt_ends_by_sigterm_or_after_ten_seconds_by_sigkill() {
        let does = Simulated::exits(0).after(SECOND * 100);
        assert_eq!(ending(does.clone(), &[30]), (AttemptEnd::Signalled(SIGTERM), 30));
        assert_eq!(ending(does.clone().shutting_down_for(SECOND * 9), &[30]), (AttemptEnd::Signalled(SIGTERM), 39));
        assert_eq!(ending(does.clone().shutting_down_for(SECOND * 60), &[30]), (AttemptEnd::Signalled(SIGKILL), 40));
        assert_eq!(ending(does.shutting_down_for(SECOND * 60), &[95]), (AttemptEnd::Exited(0), 100));
    }

    #[test]
    fn an_attempt_stopped_twice_ends_by_the_first_stop() {
        let does = Simulated::exits(0).after(Duration::MAX).shutting_down_for(SECOND * 60);
        assert_eq!(ending(does, &[30, 35]), (AttemptEnd::Signalled(SIGKILL), 40));
    }

    #[test]
    fn an_attempt_stopped_before_its_start_never_starts() {
        let does = Simulated::exits(0).starting_after(SECOND * 60).shutting_down_for(SECOND * 60);
        assert_eq!(ending(does, &[1]), (AttemptEnd::Signalled(SIGTERM), 1));
    }

    #[test]
    fn an_attempt_on_a_maintained_host_ends_ten_seconds_later_unless_it_is_ending_already() {
        for (stop, end) in [(None, 110), (Some(20), 30)] {
            let mut agenda = Agenda::new(Simulation::new(|_| {
                Simulated::exits(0).after(SECOND * 100).shutting_down_for(SECOND * 60)
            }));
            let origin = SystemTime::UNIX_EPOCH;
            agenda.start(launch(), origin);
            agenda.pop();
            stop.into_iter().for_each(|at| agenda.stop(&attempt(), origin + SECOND * at));
            agenda.maintain(None, origin + SECOND * 25);
            assert_eq!(agenda.next(), Some(origin + SECOND * end), "{stop:?}");
        }
    }
}
