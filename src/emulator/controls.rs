//! What a test holds in its hands: the engine with its time, the faults and the journal. Knows neither HTTP nor gRPC.

use std::sync::Arc;

use super::{engine::Engine, fault::Faults, journal::Journal};

#[derive(Debug)]
pub(crate) struct Controls {
    pub(crate) engine: Arc<Engine>,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
}

impl Controls {
    pub(crate) fn new(engine: &Arc<Engine>) -> Arc<Self> {
        Arc::new(Self { engine: Arc::clone(engine), faults: Faults::default(), journal: Journal::default() })
    }

    /// As it was in the beginning.
    pub(crate) fn reset(&self) {
        self.faults.clear();
        self.engine.reset();
        self.journal.clear();
    }
}
