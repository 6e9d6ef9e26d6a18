//! When simulated executions end: at random within some time, and for one seed always alike.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use runjob::emulator::{Runtime, Simulated, Simulation};

/// In the order in which they start, each ends after `still` and a random part of `span`.
pub(crate) fn at_random(seed: u64, still: Duration, span: Duration) -> Runtime {
    let random = Mutex::new(Rng::with_seed(seed));
    Runtime::Simulated(Simulation::new(move |_| {
        let share = random.lock().unwrap_or_else(PoisonError::into_inner).f64();
        Simulated::exits(0).after(still + span.mul_f64(share))
    }))
}

/// The value below which this share of them is, in a list that this sorts.
pub(crate) fn quantile(values: &mut [Duration], share: f64) -> Duration {
    values.sort();
    let index = (values.len() as f64 * share) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}
