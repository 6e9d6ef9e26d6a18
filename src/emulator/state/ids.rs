//! Where the machine's random names come from: equal seeds give equal names.

use uuid::{Builder, Uuid};

/// How many characters follow the job's id in the name of an execution.
const SUFFIX_LENGTH: usize = 5;

#[derive(Clone, Debug)]
pub(crate) struct Ids(fastrand::Rng);

impl Ids {
    /// Different in every emulator.
    pub(crate) fn random() -> Self {
        Self(fastrand::Rng::new())
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// A version 4 UUID: of a resource, or in the name of an operation.
    pub(super) fn uuid(&mut self) -> Uuid {
        Builder::from_random_bytes(self.0.u128(..).to_be_bytes()).into_uuid()
    }

    /// Five of `a-z0-9`.
    pub(super) fn suffix(&mut self) -> String {
        (0..SUFFIX_LENGTH)
            .map(|_| char::from(*self.0.choice(b"abcdefghijklmnopqrstuvwxyz0123456789").unwrap_or(&b'0')))
            .collect()
    }
}
