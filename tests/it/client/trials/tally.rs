//! What came of many trials, counted and printed. Judges nothing.

use std::{collections::BTreeMap, fmt, ops::AddAssign};

use super::oracle::Told;

pub(super) const TRIALS: &str = "trials";
pub(super) const UNKNOWN: &str = "told: unknown";
pub(super) const DUPLICATES: &str = "started more than once";
pub(super) const WRONG: &str = "told or started otherwise than may be";
pub(super) const NAIVE_DUPLICATES: &str = "naive client: started more than once";

/// Counts by what was counted, in the order of the table.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Tally(BTreeMap<(usize, &'static str), u64>);

impl Tally {
    /// Of one trial: what its caller was told, how often it started, and what the judge says.
    pub(super) fn of(told: &[Told], starts: usize, is_wrong: bool) -> Self {
        let end = match told.last() {
            Some(Told::Started(_)) => "told: started",
            Some(Told::Adopted(..)) => "told: adopted",
            Some(Told::NotStarted) => "told: not started",
            Some(Told::Rejected) => "told: rejected",
            Some(Told::NothingSent) => "told: another error, nothing sent",
            _ => UNKNOWN,
        };
        Self(BTreeMap::from([
            ((0, TRIALS), 1),
            ((1, "calls of `start`"), told.len() as u64),
            ((2, end), 1),
            ((3, "told: unknown, and started"), u64::from(end == UNKNOWN && starts > 0)),
            ((4, "starts"), starts as u64),
            ((5, DUPLICATES), u64::from(starts > 1)),
            ((6, WRONG), u64::from(is_wrong)),
        ]))
    }

    /// The same of the naive client, which is told of a start or of a failure.
    pub(super) fn of_naive(is_told: bool, starts: usize) -> Self {
        Self(BTreeMap::from([
            ((7, "naive client: starts"), starts as u64),
            ((8, NAIVE_DUPLICATES), u64::from(starts > 1)),
            ((9, "naive client: told of a failure, and started"), u64::from(!is_told && starts > 0)),
        ]))
    }

    pub(super) fn count(&self, what: &str) -> u64 {
        self.0.iter().filter(|((_, known), _)| *known == what).map(|(_, count)| count).sum()
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (what, count) in other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }
}

/// A table in Markdown.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trials = self.count(TRIALS).max(1);
        writeln!(f, "| | | of the trials |\n|---|--:|--:|")?;
        for ((_, what), count) in &self.0 {
            writeln!(f, "| {what} | {count} | {:.3} % |", *count as f64 * 100.0 / trials as f64)?;
        }
        Ok(())
    }
}
