//! What goes wrong on purpose: which calls, at which point, and what happens to them. Knows no connection; who has one
//! carries out what is decided here.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tonic::Status;

use super::rpc::Rpc;

/// Something that goes wrong on purpose: see [`Emulator::fault`](super::Emulator::fault).
///
/// It says at which point of which calls it acts, what it does, and at which of these calls; every one of them unless it
/// says less. A start that took effect and whose first reply was lost on the way:
///
/// ```
/// use runjob::emulator::{Fault, Rpc};
///
/// let lost = Fault::after(Rpc::RunJob).lose_reply().times(1);
/// ```
#[derive(Clone, Debug)]
#[must_use = "it goes wrong only with Emulator::fault"]
pub struct Fault {
    pub(crate) rpc: Option<Rpc>,
    pub(crate) job: Option<String>,
    pub(crate) point: Point,
    pub(crate) action: Action,
    pub(crate) when: When,
    pub(crate) times: Option<u64>,
}

/// A point before the handler: the call has had no effect yet. See [`Fault::before`].
#[derive(Clone, Copy, Debug)]
#[must_use = "a fault does something"]
pub struct Before(Option<Rpc>);

/// A point after the handler: what the call asked for is done, or refused. See [`Fault::after`].
#[derive(Clone, Copy, Debug)]
#[must_use = "a fault does something"]
pub struct After(Option<Rpc>);

/// Why a stream or a connection ends: an error code of HTTP/2 (RFC 9113, 7).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Reason {
    /// Nothing is wrong.
    NoError,
    /// The other side broke the rules.
    ProtocolError,
    /// Something went wrong here.
    InternalError,
    /// The request was not processed at all.
    RefusedStream,
    /// The answer is no longer wanted.
    Cancel,
    /// Too much is asked for.
    EnhanceYourCalm,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Point {
    Before,
    After,
}

/// By how much a list lags behind, in the extensions of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lag(pub(crate) Duration);

#[derive(Clone, Debug)]
pub(crate) enum Action {
    Answer(Status),
    Delay(Duration),
    Cut,
    GoAway(Reason),
    Reset(Reason),
    Truncate,
    Corrupt,
    Lag(Duration),
    Maintain,
}

/// At which of the calls, counted from 1.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum When {
    #[default]
    Always,
    Nth(u64),
    Every(u64),
    Random {
        probability: f64,
        seed: u64,
    },
}

impl Fault {
    /// Acts before the handler of an RPC, or of every RPC: `Fault::before(None)`.
    pub fn before(rpc: impl Into<Option<Rpc>>) -> Before {
        Before(rpc.into())
    }

    /// Acts after the handler of an RPC, or of every RPC: `Fault::after(None)`.
    pub fn after(rpc: impl Into<Option<Rpc>>) -> After {
        After(rpc.into())
    }

    /// Only at calls about this job, its executions or its tasks, by the job's id. Calls about operations name no job.
    pub fn job(self, id: impl Into<String>) -> Self {
        Self { job: Some(id.into()), ..self }
    }

    /// Only at one call, counted from 1 when the fault was set.
    pub fn nth(self, call: u64) -> Self {
        Self { when: When::Nth(call), ..self }
    }

    /// Only at every n-th call.
    pub fn every(self, calls: u64) -> Self {
        Self { when: When::Every(calls), ..self }
    }

    /// Only at some calls, by chance: from 0 for none to 1 for all. Equal seeds choose equal calls.
    pub fn random(self, probability: f64, seed: u64) -> Self {
        Self { when: When::Random { probability, seed }, ..self }
    }

    /// So many times at most. Default is without end.
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    fn new(rpc: Option<Rpc>, point: Point, action: Action) -> Self {
        Self { rpc, job: None, point, action, when: When::Always, times: None }
    }

    fn is_about(&self, rpc: Rpc, resource: &str) -> bool {
        let job = |id: &str| resource.split_once("/jobs/").map(|(_, rest)| rest.split('/').next() == Some(id));
        self.rpc.is_none_or(|wanted| wanted == rpc) && self.job.as_deref().is_none_or(|id| job(id) == Some(true))
    }
}

impl Before {
    /// The call is answered with this status, details and all, and has no effect.
    pub fn answer(self, status: Status) -> Fault {
        Fault::new(self.0, Point::Before, Action::Answer(status))
    }

    /// The call is kept waiting, on the emulator's clock. Other faults may follow.
    pub fn delay(self, time: Duration) -> Fault {
        Fault::new(self.0, Point::Before, Action::Delay(time))
    }

    /// The connection breaks, without a word. The call has no effect.
    pub fn drop_connection(self) -> Fault {
        Fault::new(self.0, Point::Before, Action::Cut)
    }

    /// The connection is closed by a GOAWAY that covers the calls before this one and not this one: a proof that it had no
    /// effect. Where that could deny a call that came in at the same time, the GOAWAY covers all and the stream is refused,
    /// which is the same proof. Over HTTP/1.1 the connection breaks.
    pub fn go_away(self, reason: Reason) -> Fault {
        Fault::new(self.0, Point::Before, Action::GoAway(reason))
    }

    /// A read that lags behind by so much, on the emulator's clock: ListExecutions leaves out the executions that are
    /// younger, and GetExecution and GetOperation answer NOT_FOUND for them and for the operations of their starts. Other
    /// RPCs are as ever.
    pub fn lag(self, time: Duration) -> Fault {
        Fault::new(self.0, Point::Before, Action::Lag(time))
    }

    /// The host of the running tasks is maintained: those of the job that the call is about, or all of them if it is about
    /// none. A task with a GPU is told to end, as by a cancel, and its attempt has failed. Every other one gets a SIGTSTP and,
    /// ten seconds later on the emulator's clock, a SIGCONT; one that simulates, or does not care about the signal, stands
    /// still in between, while its timeout goes on.
    ///
    /// ```
    /// use runjob::emulator::{Fault, Rpc};
    ///
    /// let moved = Fault::before(Rpc::GetExecution).maintenance().job("encode").nth(3);
    /// ```
    pub fn maintenance(self) -> Fault {
        Fault::new(self.0, Point::Before, Action::Maintain)
    }

    /// The stream is reset and the call has no effect; [`Reason::RefusedStream`] is a proof of that. Over HTTP/1.1 the
    /// connection breaks.
    pub fn reset(self, reason: Reason) -> Fault {
        Fault::new(self.0, Point::Before, Action::Reset(reason))
    }
}

impl After {
    /// The call has its effect, and is answered with this status, details and all.
    pub fn answer(self, status: Status) -> Fault {
        Fault::new(self.0, Point::After, Action::Answer(status))
    }

    /// The answer is kept back, on the emulator's clock. Other faults may follow.
    pub fn delay(self, time: Duration) -> Fault {
        Fault::new(self.0, Point::After, Action::Delay(time))
    }

    /// The call has its effect, and the connection breaks instead of an answer.
    pub fn lose_reply(self) -> Fault {
        Fault::new(self.0, Point::After, Action::Cut)
    }

    /// A GOAWAY comes that covers this call, and then the answer. Over HTTP/1.1 the answer closes the connection.
    pub fn go_away(self, reason: Reason) -> Fault {
        Fault::new(self.0, Point::After, Action::GoAway(reason))
    }

    /// The call has its effect, and the stream is reset instead of an answer. Over HTTP/1.1 the connection breaks.
    pub fn reset(self, reason: Reason) -> Fault {
        Fault::new(self.0, Point::After, Action::Reset(reason))
    }

    /// Only the first half of the answer's bytes comes, and then a proper end.
    pub fn truncate_reply(self) -> Fault {
        Fault::new(self.0, Point::After, Action::Truncate)
    }

    /// The answer comes in full length, and none of it makes sense.
    pub fn corrupt_reply(self) -> Fault {
        Fault::new(self.0, Point::After, Action::Corrupt)
    }
}

/// The faults that are set, and how often each has acted.
#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Vec<Armed>>);

/// A fault that was set.
#[derive(Clone, Debug)]
pub(crate) struct Armed {
    pub(crate) fault: Fault,
    /// The calls it could have acted on.
    pub(crate) seen: u64,
    /// Those it did act on.
    pub(crate) acted: u64,
    random: fastrand::Rng,
}

impl Faults {
    pub(crate) fn set(&self, fault: Fault) {
        let seed = if let When::Random { seed, .. } = fault.when { seed } else { 0 };
        self.lock().push(Armed { fault, seen: 0, acted: 0, random: fastrand::Rng::with_seed(seed) });
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    pub(crate) fn clear_job(&self, id: &str) {
        self.lock().retain(|armed| armed.fault.job.as_deref() != Some(id));
    }

    pub(crate) fn list(&self) -> Vec<Armed> {
        self.lock().clone()
    }

    /// What happens to this call at this point, in the order in which the faults were set.
    pub(crate) fn strike(&self, point: Point, rpc: Rpc, resource: &str) -> Vec<Action> {
        let mut faults = self.lock();
        let about = faults.iter_mut().filter(|armed| armed.fault.point == point && armed.fault.is_about(rpc, resource));
        about.filter_map(|armed| armed.acts().then(|| armed.fault.action.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Armed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Armed {
    fn acts(&mut self) -> bool {
        self.seen += 1;
        let chosen = match self.fault.when {
            When::Always => true,
            When::Nth(call) => self.seen == call,
            When::Every(calls) => self.seen.checked_rem(calls) == Some(0),
            When::Random { probability, .. } => self.random.f64() < probability,
        };
        let acts = chosen && self.fault.times.is_none_or(|times| self.acted < times);
        self.acted += u64::from(acts);
        acts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "projects/p/locations/r/jobs/echo";

    /// At which of the first ten calls the fault acts.
    fn acts(fault: Fault) -> Vec<u64> {
        let faults = Faults::default();
        faults.set(fault);
        (1..=10).filter(|_| !faults.strike(Point::Before, Rpc::RunJob, JOB).is_empty()).collect()
    }

    fn fault() -> Fault {
        Fault::before(Rpc::RunJob).drop_connection()
    }

    #[test]
    fn a_fault_acts_at_the_calls_it_names() {
        assert_eq!(acts(fault()).len(), 10);
        assert_eq!(acts(fault().times(2)), [1, 2]);
        assert_eq!(acts(fault().nth(3)), [3]);
        assert_eq!(acts(fault().every(4)), [4, 8]);
        assert_eq!(acts(fault().every(3).times(2)), [3, 6]);
        assert_eq!(acts(fault().nth(0)), [0; 0]);
        assert_eq!(acts(fault().every(0)), [0; 0]);
    }

    #[test]
    fn chance_follows_its_seed() {
        assert_eq!(acts(fault().random(0.0, 1)), [0; 0]);
        assert_eq!(acts(fault().random(1.0, 1)).len(), 10);
        let chosen = acts(fault().random(0.5, 1));
        assert!((1..10).contains(&chosen.len()), "{chosen:?}");
        assert_eq!(acts(fault().random(0.5, 1)), chosen);
        assert!((2..20).any(|seed| acts(fault().random(0.5, seed)) != chosen));
    }

    #[test]
    fn a_fault_acts_on_its_rpc_its_job_and_its_point_alone() {
        let strikes = |fault: Fault, point, rpc, resource: &str| {
            let faults = Faults::default();
            faults.set(fault);
            !faults.strike(point, rpc, resource).is_empty()
        };
        assert!(!strikes(fault(), Point::After, Rpc::RunJob, JOB));
        assert!(!strikes(fault(), Point::Before, Rpc::GetJob, JOB));
        assert!(strikes(Fault::before(None).drop_connection(), Point::Before, Rpc::GetJob, JOB));
        assert!(strikes(fault().job("echo"), Point::Before, Rpc::RunJob, JOB));
        assert!(!strikes(fault().job("ech"), Point::Before, Rpc::RunJob, JOB));
        let task = format!("{JOB}/executions/echo-1/tasks/echo-1-task0");
        let any = || Fault::before(None).drop_connection();
        assert!(strikes(any().job("echo"), Point::Before, Rpc::GetTask, &task));
        assert!(!strikes(any().job("echo"), Point::Before, Rpc::GetOperation, "projects/p/locations/r/operations/1"));
    }

    #[test]
    fn the_faults_of_one_job_can_go_alone() {
        let faults = Faults::default();
        [fault().job("echo"), fault().job("echoes"), fault()].into_iter().for_each(|fault| faults.set(fault));
        faults.clear_job("echo");
        let left: Vec<_> = faults.list().into_iter().map(|armed| armed.fault.job).collect();
        assert_eq!(left, [Some("echoes".to_owned()), None]);
    }

    #[test]
    fn calls_that_are_not_meant_are_not_counted() {
        let faults = Faults::default();
        faults.set(fault().nth(2));
        let mut strike = |rpc| !faults.strike(Point::Before, rpc, JOB).is_empty();
        assert!(![Rpc::RunJob, Rpc::GetJob, Rpc::GetJob].into_iter().any(&mut strike));
        assert!(strike(Rpc::RunJob));
    }
}
