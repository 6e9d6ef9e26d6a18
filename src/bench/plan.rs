//! What is to be measured, and whether it can be. Plain values.

use std::time::Duration;

use super::{
    call::Call,
    caller::Arm,
    error::{Error, Result},
    process::Site,
};

/// More calls in flight than one machine's sockets and the server's windows are made for.
const MOST_IN_FLIGHT: usize = 4_096;

/// What is to be measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The arms, which take turns. The first one is what the others are compared with.
    pub arms: Vec<Arm>,
    /// The logical calls.
    pub calls: Vec<Call>,
    /// How many calls are in flight; in open loop, how many may be.
    pub in_flight: Vec<usize>,
    /// How much further away the server is.
    pub distances: Vec<Duration>,
    /// When calls begin.
    pub pace: Pace,
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
pub enum Pace {
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
            calls: vec![Call::StartPoll],
            in_flight: vec![1, 16, 64, 512],
            distances: vec![Duration::ZERO],
            pace: Pace::Answered,
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
    pub(crate) fn check_at(&self, site: &Site) -> Result<()> {
        self.check()?;
        if !site.can_be_asked() && self.distances.iter().any(|distance| !distance.is_zero()) {
            return Err(Error::new("only the neutral server can be far away; leave the distances out"));
        }
        Ok(())
    }

    fn problems(&self) -> impl Iterator<Item = String> {
        let Self { arms, calls, in_flight, distances, pace, rounds, round, .. } = self;
        let widths = in_flight.iter().filter(|width| !(1..=MOST_IN_FLIGHT).contains(*width));
        let rate = match pace {
            Pace::PerSecond(rate) if !(0.1..=1e6).contains(rate) => Some(*rate),
            _ => None,
        };
        [
            arms.is_empty().then(|| "there is no arm; name at least one".to_owned()),
            repeated(arms).map(|arm| format!("the arm {arm} is named twice")),
            calls.is_empty().then(|| "there is no call; name at least one".to_owned()),
            in_flight.is_empty().then(|| "nothing is in flight; name at least one number".to_owned()),
            widths.min().map(|width| format!("{width} in flight cannot be; from 1 to {MOST_IN_FLIGHT} can")),
            rate.map(|rate| format!("{rate} calls a second cannot be; from 0.1 to 1000000 can")),
            (self.cold && rate_of(pace).is_some()).then(|| "cold calls have no open loop; choose one".to_owned()),
            distances.is_empty().then(|| "there is no distance; 0 is one".to_owned()),
            distances.iter().find(|far| far.as_secs() >= 10).map(|_| "a distance of 10 s or more is none".to_owned()),
            (*rounds == 0).then(|| "0 rounds measure nothing; 5 or more give an interval".to_owned()),
            round.is_zero().then(|| "a round of 0 s measures nothing".to_owned()),
        ]
        .into_iter()
        .flatten()
    }

    /// How many rounds there are in all.
    pub(crate) fn steps(&self) -> usize {
        (self.rounds + 1) * self.arms.len() * self.calls.len() * self.in_flight.len() * self.distances.len()
    }
}

fn rate_of(pace: &Pace) -> Option<f64> {
    if let Pace::PerSecond(rate) = pace { Some(*rate) } else { None }
}

fn repeated(arms: &[Arm]) -> Option<Arm> {
    arms.iter().enumerate().find(|(at, arm)| arms[..*at].contains(arm)).map(|(_, arm)| *arm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_cannot_be_carried_out_is_refused_with_the_reason() {
        let plan = Plan::default();
        plan.check().expect("the default");
        for (wrong, word) in [
            (Plan { arms: vec![], ..plan.clone() }, "no arm"),
            (Plan { arms: vec![Arm::Raw, Arm::Raw], ..plan.clone() }, "twice"),
            (Plan { calls: vec![], ..plan.clone() }, "no call"),
            (Plan { in_flight: vec![1, 0], ..plan.clone() }, "0 in flight"),
            (Plan { in_flight: vec![5_000], ..plan.clone() }, "5000 in flight"),
            (Plan { pace: Pace::PerSecond(0.0), ..plan.clone() }, "0 calls a second"),
            (Plan { pace: Pace::PerSecond(f64::NAN), ..plan.clone() }, "NaN calls a second"),
            (Plan { pace: Pace::PerSecond(9.0), cold: true, ..plan.clone() }, "open loop"),
            (Plan { distances: vec![Duration::from_secs(10)], ..plan.clone() }, "distance"),
            (Plan { rounds: 0, ..plan.clone() }, "0 rounds"),
            (Plan { round: Duration::ZERO, ..plan }, "round of 0 s"),
        ] {
            let error = wrong.check().expect_err(word).to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
