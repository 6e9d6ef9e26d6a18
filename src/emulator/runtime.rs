//! What carries attempts out. A runtime knows one attempt at a time, and nothing of executions, retries or timeouts:
//! those are the machine's.

pub(crate) mod images;
pub(crate) mod output;
pub(crate) mod process;
pub(crate) mod simulated;
mod spawner;
mod survivors;
mod variables;

use std::{fmt, future::pending, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::sync::{oneshot, watch};

use self::simulated::Simulation;
use crate::{
    emulator::state::{AttemptEnd, AttemptId, Launch},
    proto::run::v2::{Container, EnvVar},
};

/// Between SIGTERM and SIGKILL, as on the service.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// What carries attempts out here: something that takes its own time, or a script that takes none.
#[derive(Debug)]
pub(crate) enum Backend {
    Live(Arc<dyn Runner>),
    Simulated(Simulation),
}

impl Backend {
    /// Whether a job may have this container here. A simulation has every image.
    pub(crate) fn admits(&self, container: &Container) -> Result<(), Inadmissible> {
        match self {
            Self::Live(runtime) => runtime.admits(container),
            Self::Simulated(_) => Ok(()),
        }
    }

    /// Whether a caller may set these variables here. A simulation has nothing that would read them.
    pub(crate) fn admits_variables(&self, variables: &[EnvVar]) -> Result<(), Inadmissible> {
        match self {
            Self::Live(runtime) => runtime.admits_variables(variables),
            Self::Simulated(_) => Ok(()),
        }
    }

    /// Kills everything before it returns, and runs nothing afterwards.
    pub(crate) fn kill_all(&self) {
        if let Self::Live(runtime) = self {
            runtime.kill_all();
        }
    }
}

/// What an attempt tells of itself.
#[derive(Debug)]
pub(crate) enum AttemptReport {
    Started(AttemptId),
    Ended(AttemptId, AttemptEnd),
}

/// Carries out attempts, and says beforehand what it can run.
pub(crate) trait Runner: fmt::Debug + Send + Sync {
    /// Whether a job may have this container.
    fn admits(&self, container: &Container) -> Result<(), Inadmissible>;

    /// Whether a caller may set these variables.
    fn admits_variables(&self, variables: &[EnvVar]) -> Result<(), Inadmissible>;

    /// Runs one attempt to its end. Dropping the future ends the attempt as well, by force.
    fn run(&self, launch: Launch, control: Control) -> BoxFuture<'static, AttemptEnd>;

    /// Kills everything before it returns, and runs nothing afterwards.
    fn kill_all(&self);
}

/// Why a container cannot run here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Inadmissible {
    /// There is no such image: on the service, too, a missing image.
    ImageMissing,
    /// The container names its own command, which the operator has not allowed.
    CommandNotAllowed,
    /// A variable could choose what is run.
    Variable { name: String, why: &'static str },
}

impl fmt::Display for Inadmissible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ImageMissing => f.write_str("There is no such image."),
            Self::CommandNotAllowed => write!(f, "{ONLY_IMAGES}"),
            Self::Variable { name, why } => {
                write!(f, "The environment variable {} is refused: {why}. {ONLY_IMAGES}", name.escape_default())
            }
        }
    }
}

/// What the operator of the emulator decides.
const ONLY_IMAGES: &str =
    "The emulator runs an image's own command only; start it with --allow-command to change that.";

/// How an attempt and its driver talk while it runs.
#[derive(Debug)]
pub(crate) struct Control {
    /// Notified once, when the attempt really runs.
    pub(crate) started: oneshot::Sender<()>,
    /// What the attempt should do, as it changes.
    pub(crate) directives: Directives,
}

/// What an attempt should do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Directive {
    Run,
    Pause,
    /// Before its time, and for good.
    Stop,
}

#[derive(Clone, Debug)]
pub(crate) struct Directives(watch::Receiver<Directive>);

impl Directives {
    /// To run, until something else is sent.
    pub(crate) fn new() -> (watch::Sender<Directive>, Self) {
        let (directive, directives) = watch::channel(Directive::Run);
        (directive, Self(directives))
    }

    /// Resolves with the next directive; never, once the sender is dropped.
    pub(crate) async fn next(&mut self) -> Directive {
        if self.0.changed().await.is_err() {
            pending::<()>().await;
        }
        *self.0.borrow_and_update()
    }

    /// Resolves when a stop is requested; never, once the sender is dropped.
    pub(crate) async fn stop(&mut self) {
        let abandoned = self.0.wait_for(|directive| *directive == Directive::Stop).await.is_err();
        if abandoned {
            pending::<()>().await;
        }
    }
}
