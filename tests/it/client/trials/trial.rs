//! One trial: what the caller wants, and what goes wrong meanwhile. Carries nothing out.

use fastrand::Rng;
use runjob::StartKey;

use super::{cut::Cut, mishap::Mishap};

/// One start to be made by a caller, and all that goes wrong with it.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// Its number, from which it may have been drawn, and which its executions carry as their marker.
    pub(super) seed: u64,
    pub(super) is_keyed: bool,
    pub(super) validates_first: bool,
    /// How often the caller comes back after an error, as one who was restarted: with a key after any, and without one
    /// where that is said to be safe.
    pub(super) repeats: u32,
    /// By the calls of RunJob, in order.
    pub(super) starts: Vec<Option<Mishap>>,
    /// By the calls of ListExecutions, in order.
    pub(super) looks: Vec<Option<Mishap>>,
    /// By the connections, in order.
    pub(super) cuts: Vec<Cut>,
}

impl Trial {
    /// A start with which nothing goes wrong yet, by a caller who comes back three times if need be.
    pub(super) fn calm(is_keyed: bool, validates_first: bool) -> Self {
        let (starts, looks, cuts) = (Vec::new(), Vec::new(), Vec::new());
        Self { seed: 0, is_keyed, validates_first, repeats: 3, starts, looks, cuts }
    }

    /// The same, and this goes wrong with the next call.
    pub(super) fn then(&self, mishap: Mishap) -> Self {
        let starts = self.starts.iter().copied().chain([Some(mishap)]).collect();
        Self { starts, ..self.clone() }
    }

    pub(super) fn key(&self) -> StartKey {
        format!("trial-{}", self.seed).parse().expect("a key")
    }

    /// Equal seeds give equal trials.
    pub(super) fn drawn(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        // Half of them by sort, so that the many codes do not crowd out the rest.
        let (all, sorts) = (Mishap::all(), Mishap::sorts());
        let one = |rng: &mut Rng| {
            let among = if rng.bool() { &all } else { &sorts };
            rng.choice(among).copied()
        };
        let some = |rng: &mut Rng, most| {
            (0..rng.usize(0..=most)).map(|_| if rng.u8(0..4) > 0 { one(rng) } else { None }).collect()
        };
        let is_keyed = rng.bool();
        Self {
            seed,
            is_keyed,
            validates_first: rng.u8(0..4) == 0,
            repeats: rng.u32(0..=3),
            starts: some(&mut rng, 5),
            looks: if is_keyed && rng.u8(0..3) == 0 { some(&mut rng, 4) } else { Vec::new() },
            cuts: if rng.u8(0..4) == 0 { cuts(&mut rng) } else { Vec::new() },
        }
    }
}

/// One to three connections, most of which break somewhere within the first call or the answer to it.
fn cuts(rng: &mut Rng) -> Vec<Cut> {
    let cut = |rng: &mut Rng| match rng.u8(0..8) {
        0 => Cut::NEVER,
        1 => Cut { up: 0, down: 0 },
        2..=4 => Cut { up: rng.u64(0..800), ..Cut::NEVER },
        _ => Cut { down: rng.u64(0..3000), ..Cut::NEVER },
    };
    (0..rng.usize(1..=3)).map(|_| cut(rng)).collect()
}
