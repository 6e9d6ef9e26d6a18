//! An emulator in this process, where calls can be made to fail, and the program that calls it over loopback.

use std::{process::Command, time::Duration};

use runjob::{
    Client,
    emulator::{Emulator, EmulatorBuilder, Rpc, Runtime, Simulation},
};
use tempfile::TempDir;
use tokio::task::yield_now;

use super::{Ran, Running, runjob};

/// Longer than any test: what is kept waiting for it is let go by the end of its connection.
pub(crate) const HELD: Duration = Duration::from_secs(3600);

/// An emulator whose calls can be made to fail, and a home for the program that calls it.
pub(crate) struct Place {
    pub(crate) emulator: Emulator,
    pub(crate) home: TempDir,
}

impl Place {
    pub(crate) async fn new() -> Self {
        Self::of(Emulator::builder().runtime(Runtime::Simulated(Simulation::default()))).await
    }

    pub(crate) async fn of(emulator: EmulatorBuilder) -> Self {
        let emulator = emulator.start().await.expect("an emulator");
        Self { emulator, home: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn address(&self) -> String {
        self.emulator.addr().expect("it listens").to_string()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::builder().emulator(self.address()).build().await.expect("a client")
    }

    /// The program without a home.
    pub(crate) fn homeless(&self, line: &str) -> Command {
        let mut command = runjob(line);
        command.env("RUN_EMULATOR_HOST", self.address());
        command
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = self.homeless(line);
        command.env("XDG_STATE_HOME", self.home.path());
        command
    }

    pub(crate) fn ran(&self, line: &str) -> Ran {
        Ran::of(self.command(line))
    }

    pub(crate) fn starts(&self) -> usize {
        self.emulator.ledger().len()
    }

    /// Starts the program, and returns once its RunJob has come in.
    pub(crate) async fn sending(&self, line: &str) -> Running {
        let running = Running::start(self.command(line));
        while !self.emulator.journal().iter().any(|call| call.rpc == Rpc::RunJob) {
            yield_now().await;
        }
        running
    }
}
