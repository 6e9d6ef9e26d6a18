//! What is to be measured, and whether it can be. Plain values.

use std::time::Duration;

use super::{
    call::LogicalCall,
    caller::Arm,
    error::{Error, Result},
    process::Site,
};

/// More calls in flight than one machine's sockets and the server's windows are made for.
const MOST_IN_FLIGHT: usize = 4_096;

/// More rounds narrow no interval that matters, and all latencies are kept.
const MOST_ROUNDS: usize = 1_000;

/// A shorter round has no median; a longer one is no longer in turns.
const SHORTEST_ROUND: Duration = Duration::from_millis(1);
const LONGEST_ROUND: Duration = Duration::from_secs(60);

/// More round-trip time than a network adds.
const FARTHEST: Duration = Duration::from_secs(10);

/// What is to be measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The arms, which take turns. The first one is what the others are compared with.
    pub arms: Vec<Arm>,
    /// The logical calls.
    pub calls: Vec<LogicalCall>,
    /// How many calls are in flight; in open loop, how many may be.
    pub in_flight: Vec<usize>,
    /// How much further away the server is.
    pub distances: Vec<Duration>,
    /// When calls begin.
    pub pace: LoopKind,
    /// Whether connections are kept, or each call begins with connecting.
    pub cold: bool,
    /// Rounds of each arm that count, after one that warms up.
    pub rounds: usize,
    /// How long a round is.
    pub round: Duration,
    /// Where the resamples of the intervals come from.
    pub seed: u64,
}

/// When calls begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LoopKind {
    /// Closed loop: each caller calls again when it has been answered.
    Answered,
    /// Open loop: this many calls a second begin, whether others have been answered or not. Latency counts from the
    /// moment at which a call should have begun.
    PerSecond(f64),
}

impl Default for Plan {
    /// Within two minutes: start and poll, one and many at a time, over every transport.
    fn default() -> Self {
        Self {
            arms: vec![Arm::Bare, Arm::Raw, Arm::Verbs, Arm::Rest, Arm::RestH2],
            calls: vec![LogicalCall::StartPoll],
            in_flight: vec![1, 16, 64, 512],
            distances: vec![Duration::ZERO],
            pace: LoopKind::Answered,
            cold: false,
            rounds: 15,
            round: Duration::from_millis(200),
            seed: 20_261_126,
        }
    }
}

impl Plan {
    /// Whether it can be carried out.
    ///
    /// # Errors
    /// What is wrong with it, before anything runs.
    pub fn check(&self) -> Result<()> {
        let mut problems = self.problems();
        problems.next().map_or(Ok(()), |problem| Err(Error::new(problem)))
    }

    /// Whether it can be carried out at this server.
    ///
    /// # Errors
    /// What is wrong with it, before anything runs.
    pub fn check_at(&self, site: &Site) -> Result<()> {
        self.check()?;
        if !site.can_be_asked() && self.distances.iter().any(|distance| !distance.is_zero()) {
            return Err(Error::new("only the neutral server can be far away; leave the distances out"));
        }
        let needs_a_start = |call: &&LogicalCall| call.starts() || **call == LogicalCall::Poll;
        match self.calls.iter().find(needs_a_start).filter(|_| !site.may_start()) {
            Some(call) => Err(Error::new(format!(
                "{call} would start executions of {} at {}; without permission to start, only get and list are measured",
                site.names().job,
                site.address()
            ))),
            None => Ok(()),
        }
    }

    fn problems(&self) -> impl Iterator<Item = String> {
        let Self { arms, calls, in_flight, distances, pace, rounds, round, .. } = self;
        let rate = rate_of(pace);
        let missing = [("arm", arms.is_empty()), ("call", calls.is_empty()), ("distance", distances.is_empty())];
        let no_width = ("number of calls in flight", in_flight.is_empty());
        let missing = missing.into_iter().chain([no_width]).find(|(_, is_empty)| *is_empty);
        let width = in_flight.iter().find(|width| !(1..=MOST_IN_FLIGHT).contains(*width));
        [
            missing.map(|(what, _)| format!("no {what} is given; give at least one")),
            repeated(arms).map(|arm| format!("the arm {arm} is given twice")),
            repeated(calls).map(|call| format!("the call {call} is given twice")),
            repeated(in_flight).map(|width| format!("{width} in flight is given twice")),
            repeated(distances).map(|far| format!("the distance {far:?} is given twice")),
            width.map(|width| format!("{width} calls in flight cannot be measured; choose 1 to {MOST_IN_FLIGHT}")),
            rate.filter(|rate| !(0.1..=1e6).contains(rate))
                .map(|rate| format!("a rate of {rate} calls a second cannot be kept; choose 0.1 to 1000000")),
            (self.cold && rate.is_some()).then(|| "cold calls have no open loop; choose one of the two".to_owned()),
            distances
                .iter()
                .find(|far| **far > FARTHEST)
                .map(|far| format!("a distance of {far:?} is too far; choose up to {FARTHEST:?}")),
            (!(1..=MOST_ROUNDS).contains(rounds)).then(|| {
                format!("{rounds} rounds cannot be measured; choose 1 to {MOST_ROUNDS}, 5 or more for an interval")
            }),
            (!(SHORTEST_ROUND..=LONGEST_ROUND).contains(round)).then(|| {
                format!("a round of {round:?} cannot be measured; choose {SHORTEST_ROUND:?} to {LONGEST_ROUND:?}")
            }),
        ]
        .into_iter()
        .flatten()
    }

    /// How many rounds there are in all.
    pub(crate) fn steps(&self) -> usize {
        (self.rounds + 1) * self.arms.len() * self.calls.len() * self.in_flight.len() * self.distances.len()
    }
}

fn rate_of(pace: &LoopKind) -> Option<f64> {
    if let LoopKind::PerSecond(rate) = pace { Some(*rate) } else { None }
}

fn repeated<T: PartialEq>(values: &[T]) -> Option<&T> {
    values.iter().enumerate().find(|(at, value)| values[..*at].contains(value)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_started_where_that_is_not_permitted() {
        let plan = |call| Plan { calls: vec![LogicalCall::Get, call], ..Plan::default() };
        let site = |may_start| Site::at("127.0.0.1:1", "projects/p/locations/r/jobs/j", may_start);
        for call in [LogicalCall::StartPoll, LogicalCall::Start(3), LogicalCall::Poll] {
            plan(call).check_at(&site(true)).expect("permitted");
            let error = plan(call).check_at(&site(false)).expect_err("not permitted").to_string();
            assert!(error.starts_with(&format!("{call} would start executions of projects/p/")), "{error}");
        }
        plan(LogicalCall::List).check_at(&site(false)).expect("reads only");
    }

    #[test]
    fn a_plan_that_cannot_be_carried_out_is_refused_with_the_reason() {
        let plan = Plan::default();
        plan.check().expect("the default");
        for (wrong, word) in [
            (Plan { arms: vec![], ..plan.clone() }, "no arm"),
            (Plan { arms: vec![Arm::Raw, Arm::Raw], ..plan.clone() }, "the arm raw is given twice"),
            (Plan { calls: vec![], ..plan.clone() }, "no call"),
            (Plan { calls: vec![LogicalCall::Get, LogicalCall::Get], ..plan.clone() }, "the call get is given twice"),
            (Plan { in_flight: vec![], ..plan.clone() }, "no number of calls in flight"),
            (Plan { in_flight: vec![1, 0], ..plan.clone() }, "0 calls in flight"),
            (Plan { in_flight: vec![5_000], ..plan.clone() }, "5000 calls in flight"),
            (Plan { in_flight: vec![8, 8], ..plan.clone() }, "8 in flight is given twice"),
            (Plan { pace: LoopKind::PerSecond(0.0), ..plan.clone() }, "a rate of 0 calls"),
            (Plan { pace: LoopKind::PerSecond(f64::NAN), ..plan.clone() }, "a rate of NaN calls"),
            (Plan { pace: LoopKind::PerSecond(9.0), cold: true, ..plan.clone() }, "open loop"),
            (Plan { distances: vec![Duration::from_secs(11)], ..plan.clone() }, "a distance of 11s"),
            (Plan { distances: vec![Duration::ZERO; 2], ..plan.clone() }, "the distance 0ns is given twice"),
            (Plan { rounds: 0, ..plan.clone() }, "0 rounds"),
            (Plan { rounds: 1_001, ..plan.clone() }, "1001 rounds"),
            (Plan { round: Duration::ZERO, ..plan.clone() }, "a round of 0ns"),
            (Plan { round: Duration::MAX, ..plan }, "a round of"),
        ] {
            let error = wrong.check().expect_err(word).to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
