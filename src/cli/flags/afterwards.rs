//! What follows once a job is defined: whether it is waited for until it is ready, and whether it is started.

use super::{global::Notation, waiting::Waiting};
use crate::cli::failure::Failure;

/// Flags of a command that defines a job.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct AfterwardsArgs {
    /// Start the job as soon as it is ready, as `runjob execute` does.
    #[arg(long)]
    execute_now: bool,
    /// Start the job as --execute-now does, and wait for the execution to end.
    #[arg(long)]
    wait: bool,
    /// Return when the service has accepted: the job, without waiting until it is ready; with --execute-now, the start.
    #[arg(long, conflicts_with = "wait")]
    r#async: bool,
    #[command(flatten)]
    waiting: Waiting,
}

/// What follows once a job is defined.
#[derive(Debug)]
pub(in crate::cli) enum Afterwards {
    /// The command ends when the service has accepted the job.
    Nothing,
    /// The command ends when the job is ready.
    Ready,
    /// The job is started when it is ready, and waited for where that was asked for.
    Start(Option<Waiting>),
}

impl AfterwardsArgs {
    /// What these flags ask for, beside this format.
    pub(in crate::cli) fn resolve(self, notation: Notation) -> Result<Afterwards, Failure> {
        self.waiting.check(self.wait, notation)?;
        Ok(match self {
            Self { wait: true, waiting, .. } => Afterwards::Start(Some(waiting)),
            Self { execute_now: true, .. } => Afterwards::Start(None),
            Self { r#async: true, .. } => Afterwards::Nothing,
            _ => Afterwards::Ready,
        })
    }
}
