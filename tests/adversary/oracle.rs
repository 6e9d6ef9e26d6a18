//! What a caller was told against what is true. "Unknown" is always allowed.

use std::fmt::{self, Display, Formatter};

use runjob::ErrorKind;
use tokio::time::Duration;

use crate::{
    caller::{Claim, PATIENCE, Told, Waited, longest},
    script::{End, Method, Script, Start},
    world::World,
};

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) promise: Promise,
    pub(crate) detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    /// "Not started" and "rejected" are true.
    NothingMeansNothing,
    /// "Started" and its name are true.
    StartedMeansStarted,
    /// One call starts once at the most.
    NoDuplicates,
    NoPanic,
    /// A start ends within its limit.
    InTime,
    /// Requests come at a bounded rate.
    NoFlood,
    /// The end of a wait is the end of the execution.
    VerdictIsTrue,
    /// A wait does not miss an end that can be seen.
    WaitEnds,
    /// Nothing but the caller's own job is written.
    WritesOwnJob,
}

impl Display for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.detail)
    }
}

/// With so many requests a conversation is ended: nothing that a script holds ready needs as many.
pub(crate) const MOST_REQUESTS: usize = 1_000;

/// The first promise that was broken.
pub(crate) fn judge(script: &Script, told: Option<&Told>, world: &World, panics: &[String]) -> Option<Violation> {
    let broken = |promise, detail: String| Some(Violation { promise, detail });
    if let Some(panic) = panics.first() {
        return broken(Promise::NoPanic, panic.clone());
    }
    if world.requests() >= MOST_REQUESTS {
        return broken(Promise::NoFlood, format!("{} requests by method: {:?}", world.requests(), world.asked));
    }
    let Some(told) = told else { return broken(Promise::NoPanic, "the call did not return".to_owned()) };
    let starts = world.started.len();
    if let Some(miswritten) = &world.miswritten {
        return broken(Promise::WritesOwnJob, miswritten.clone());
    }
    if starts > 1 {
        return broken(Promise::NoDuplicates, format!("{starts} starts, told {:?}", told.start));
    }
    match &told.start {
        Claim::Started(name) if !world.is_true(name) => {
            return broken(Promise::StartedMeansStarted, format!("told {name}; started {:?}", world.started));
        }
        Claim::Nothing(kind) if starts > 0 => {
            return broken(Promise::NothingMeansNothing, format!("told {kind:?}; started {:?}", world.started));
        }
        _ => {}
    }
    let limit = longest(script.caller);
    if told.start == Claim::Silence || told.took > limit + Duration::from_secs(1) {
        return broken(Promise::InTime, format!("{:?} for a limit of {limit:?}, told {:?}", told.took, told.start));
    }
    let (base, rate) = if script.caller.start == Start::Plain { (30, 20) } else { (200, 40) };
    if told.requests > allowed(base, rate, told.took) {
        return broken(Promise::NoFlood, format!("{} requests in {:?} by the start", told.requests, told.took));
    }
    told.waited.as_ref().and_then(|waited| judge_wait(script, waited, world))
}

fn judge_wait(script: &Script, waited: &Waited, world: &World) -> Option<Violation> {
    let broken = |promise, detail: String| Some(Violation { promise, detail });
    if waited.requests > allowed(300, 12, waited.took) {
        return broken(Promise::NoFlood, format!("{} requests in {:?} by the wait", waited.requests, waited.took));
    }
    match &waited.verdict {
        Ok((name, _)) if !world.is_true(name) => broken(Promise::VerdictIsTrue, format!("the end of {name}")),
        Ok((_, end)) if waited.truth.is_none() || end.is_some_and(|end| Some(end) != waited.truth) => {
            broken(Promise::VerdictIsTrue, format!("told {end:?}; in truth {:?}", waited.truth))
        }
        Err(ErrorKind::WaitLimit) if must_end(script) => {
            broken(Promise::WaitEnds, format!("{:?} after {PATIENCE:?}", script.fate.end))
        }
        _ => None,
    }
}

/// Whether the end can be seen for so long that a wait has to see it: reads of the execution are answered truly but for
/// a few, whatever the operation does.
fn must_end(script: &Script) -> bool {
    let reads = [Method::GetExecution, Method::ListTasks].map(|method| &script.answers[method as usize]);
    let is_free = reads.iter().all(|replies| replies.is_empty());
    // A connection that nobody answers on, or advice to wait, may take all the time there is.
    let is_plain = script.opens.is_empty() && !script.rude;
    is_free && is_plain && script.fate.end != End::Never && !holds_up(script)
}

/// Whether an answer of the operation asks for long pauses or breaks the connection's rules for later requests.
fn holds_up(script: &Script) -> bool {
    use crate::script::{Extra, Step};
    let is_advice = |extra: &Extra| matches!(extra, Extra::RetryInfo(_) | Extra::Pushback(_));
    script.answers.iter().flatten().flat_map(|reply| reply.early.iter().chain(&reply.steps)).any(|step| match step {
        Step::Head(head) => head.extras.iter().any(is_advice),
        Step::Deaf | Step::HalfClose | Step::Settings(_) => true,
        _ => false,
    })
}

fn allowed(base: usize, per_second: usize, took: Duration) -> usize {
    base + per_second * usize::try_from(took.as_secs()).unwrap_or(usize::MAX)
}
