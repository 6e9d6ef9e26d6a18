//! What lies between the start of an execution and its first attempt: a delay, and the phases of its start-up.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::emulator::startup::{DELAY_LIMIT, Startup};

/// When each phase ends, and which one it is in. An execution that starts at once has none.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct StartupPlan {
    pub(super) stage: StartupPhase,
    /// Whether the caller allowed the service to choose the moment.
    delayed: bool,
    pub(super) begins: SystemTime,
    pub(super) imported: SystemTime,
    pub(super) provisioned: SystemTime,
    pub(super) ready: SystemTime,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(super) enum StartupPhase {
    Delayed,
    Importing,
    Provisioning,
    Starting,
    /// Tasks have their turn.
    Ready,
}

impl StartupPlan {
    /// The plan of an execution that is to begin at that time.
    pub(super) fn new(startup: Startup, delayed: bool, begins: SystemTime) -> Self {
        let imported = begins + startup.image;
        let provisioned = imported + startup.resources;
        let ready = provisioned + startup.started;
        Self { stage: StartupPhase::Delayed, delayed, begins, imported, provisioned, ready }
    }

    /// Enters every stage that is due.
    pub(super) fn advance(&mut self, now: SystemTime) {
        while let Some((at, next)) = self.following()
            && at <= now
        {
            self.stage = next;
        }
    }

    /// When something happens next: the next stage, or the end of a delayed execution that takes too long.
    pub(super) fn alarm(&self) -> Option<SystemTime> {
        self.following().map(|(at, _)| at).or_else(|| self.limit())
    }

    /// When the system ends a delayed execution.
    pub(super) fn limit(&self) -> Option<SystemTime> {
        self.delayed.then(|| self.ready + DELAY_LIMIT)
    }

    fn following(&self) -> Option<(SystemTime, StartupPhase)> {
        match self.stage {
            StartupPhase::Delayed => Some((self.begins, StartupPhase::Importing)),
            StartupPhase::Importing => Some((self.imported, StartupPhase::Provisioning)),
            StartupPhase::Provisioning => Some((self.provisioned, StartupPhase::Starting)),
            StartupPhase::Starting => Some((self.ready, StartupPhase::Ready)),
            StartupPhase::Ready => None,
        }
    }
}
