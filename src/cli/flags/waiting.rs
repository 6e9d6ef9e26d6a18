//! Flags of a command that waits for an execution.

use std::time::Duration;

use clap::ValueEnum;

use super::{global::Notation, values};
use crate::cli::failure::Failure;

/// How long a start is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Until {
    /// Until the first task runs.
    Started,
    /// Until the execution has ended.
    Done,
}

/// Flags of a command that waits for an execution.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Waiting {
    /// Stop waiting after this long, with exit status 5; the execution runs on. The default is no limit.
    #[arg(long, value_name = "DURATION", value_parser = values::wait_limit, allow_negative_numbers = true)]
    pub(in crate::cli) wait_limit: Option<Duration>,
    /// End with the exit code of the first failed task (128 + N for signal N) instead of 1.
    #[arg(long)]
    pub(in crate::cli) propagate_exit_code: bool,
    /// On Ctrl-C, cancel the execution and wait for that, instead of leaving it running.
    #[arg(long)]
    pub(in crate::cli) cancel_on_interrupt: bool,
    /// With --format=json: print each change as a line of JSON when it is seen, and the report as the last line.
    #[arg(long)]
    pub(in crate::cli) follow: bool,
}

impl Waiting {
    /// Refuses these flags where nothing is waited for, and events in another format than theirs.
    pub(in crate::cli) fn check(&self, is_waiting: bool, notation: Notation) -> Result<(), Failure> {
        if self.follow && notation != Notation::Json {
            return Err(Failure::usage("--follow prints lines of JSON").hint("add --format=json"));
        }
        let typed = [
            ("--wait-limit", self.wait_limit.is_some()),
            ("--propagate-exit-code", self.propagate_exit_code),
            ("--cancel-on-interrupt", self.cancel_on_interrupt),
            ("--follow", self.follow),
        ];
        match typed.iter().find(|(_, is_typed)| *is_typed && !is_waiting) {
            Some((flag, _)) => Err(Failure::usage(format!("{flag} says how to wait")).hint("add --wait")),
            None => Ok(()),
        }
    }
}
