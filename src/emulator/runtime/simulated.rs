//! Tasks that only pretend: so long, then this result. No process, no output.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::{Control, Inadmissible, Runner};
use crate::{
    emulator::state::{AttemptId, Ending, Launch},
    proto::run::v2::Container,
};

/// The script of a simulated runtime: what each attempt does. It has every image.
#[derive(Clone)]
pub struct Simulation(Arc<dyn Fn(&AttemptId) -> Simulated + Send + Sync>);

/// What one simulated attempt does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Simulated {
    duration: Duration,
    result: SimulatedResult,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum SimulatedResult {
    Exit(i32),
    Signal(i32),
}

impl Simulated {
    /// Ends at once with this exit code; 0 is success.
    pub fn exits(code: i32) -> Self {
        Self { duration: Duration::ZERO, result: SimulatedResult::Exit(code) }
    }

    /// Is ended at once by this signal.
    pub fn killed_by(signal: i32) -> Self {
        Self { duration: Duration::ZERO, result: SimulatedResult::Signal(signal) }
    }

    /// Does so after this time, on the clock of tokio: `tokio::time::pause` makes a long time short.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self { duration, ..self }
    }
}

impl Simulation {
    /// A script that looks at the attempt. Asked again for the same attempt it should say the same.
    pub fn new(script: impl Fn(&AttemptId) -> Simulated + Send + Sync + 'static) -> Self {
        Self(Arc::new(script))
    }
}

impl Default for Simulation {
    /// Every attempt succeeds at once.
    fn default() -> Self {
        Self::new(|_| Simulated::exits(0))
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Simulation").finish_non_exhaustive()
    }
}

impl Runner for Simulation {
    fn admits(&self, _: &Container) -> Result<(), Inadmissible> {
        Ok(())
    }

    fn run(&self, launch: Launch, control: Control) -> BoxFuture<'static, Ending> {
        let Simulated { duration, result } = (self.0)(&launch.id);
        let Control { started, mut stop } = control;
        Box::pin(async move {
            // A driver that is gone needs no report.
            _ = started.send(());
            if !duration.is_zero() {
                tokio::select! {
                    () = sleep(duration) => {}
                    () = stop.asked() => return Ending::Signalled(15),
                }
            }
            match result {
                SimulatedResult::Exit(code) => Ending::Exited(code),
                SimulatedResult::Signal(signal) => Ending::Signalled(signal),
            }
        })
    }

    fn kill_all(&self) {}
}
