//! Where the machine's random names come from: equal seeds give equal names.

use std::time::Duration;

use uuid::{Builder, Uuid};

/// What the end of an execution's name is made of, and how long it is.
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const SUFFIX_LENGTH: u32 = 5;
const SUFFIXES: u64 = 36_u64.pow(SUFFIX_LENGTH);
/// From one suffix to the next. It has no divisor in common with their number, so that all come before one comes again.
const STRIDE: u64 = 37_370_153;

#[derive(Clone, Debug)]
pub(crate) struct Ids {
    random: fastrand::Rng,
    suffix: u64,
}

impl Ids {
    /// Different in every emulator.
    pub(crate) fn random() -> Self {
        Self::from(fastrand::Rng::new())
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self::from(fastrand::Rng::with_seed(seed))
    }

    /// A version 4 UUID: of a resource, or in the name of an operation.
    pub(super) fn uuid(&mut self) -> Uuid {
        Builder::from_random_bytes(self.random.u128(..).to_be_bytes()).into_uuid()
    }

    /// Some part of a length of time, in whole milliseconds.
    pub(super) fn part_of(&mut self, length: Duration) -> Duration {
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.random.u64(..=millis))
    }

    /// Five of `a-z0-9`. Also the name of an execution that is gone does not come again.
    pub(super) fn suffix(&mut self) -> String {
        self.suffix = (self.suffix + STRIDE) % SUFFIXES;
        let digit = |place| self.suffix / 36_u64.pow(place) % 36;
        (0..SUFFIX_LENGTH).map(|place| char::from(ALPHABET[digit(place) as usize])).collect()
    }
}

impl From<fastrand::Rng> for Ids {
    fn from(mut random: fastrand::Rng) -> Self {
        let suffix = random.u64(..SUFFIXES);
        Self { random, suffix }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn suffixes_do_not_recur() {
        let mut ids = Ids::seeded(1);
        let mut seen = HashSet::new();
        assert!((0..100_000).all(|_| seen.insert(ids.suffix())));
        assert!(seen.iter().all(|suffix| suffix.len() == 5));
    }
}
