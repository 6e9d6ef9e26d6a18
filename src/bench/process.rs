//! Servers in processes of their own, so that their processor time is not the client's.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    call::Names,
    canned,
    error::{Error, Result},
    server::{COUNTERS, Counters, DISTANCE},
};

/// The server that all arms of a measurement call.
#[derive(Debug)]
pub struct Site {
    address: String,
    /// What the calls are about; only the job, where the rest has to be started first.
    names: Names,
    child: Option<Mutex<Process>>,
}

impl Site {
    /// Starts the neutral server: a program that calls [`serve`](super::serve).
    ///
    /// # Errors
    /// When the program cannot be started or does not print an address.
    pub fn launch(command: Command) -> Result<Self> {
        let (process, address) = Process::start(command)?;
        Ok(Self { address, names: canned::names(), child: Some(Mutex::new(process)) })
    }

    /// A neutral server that runs already, at `HOST:PORT`. It is not asked what it has counted.
    pub fn neutral(address: impl Into<String>) -> Self {
        Self { address: address.into(), names: canned::names(), child: None }
    }

    /// A plaintext server at `HOST:PORT` that serves gRPC and REST, such as an emulator. Starts executions of `job` there.
    pub fn at(address: impl Into<String>, job: impl Into<String>) -> Self {
        let names = Names { job: job.into(), ..Names::default() };
        Self { address: address.into(), names, child: None }
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whether the server can be asked for its counters, and to be far away.
    pub(crate) fn can_be_asked(&self) -> bool {
        self.child.is_some()
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// The address at which the server is this much further away.
    pub(crate) fn at_distance(&self, round_trip: Duration) -> Result<String> {
        if round_trip.is_zero() {
            return Ok(self.address.clone());
        }
        let child = self.child.as_ref().ok_or_else(|| Error::new("only the neutral server can be far away"))?;
        locked(child).ask(&format!("{DISTANCE} {}", round_trip.as_micros()))
    }

    /// What the server has counted since the last time; none where it is not ours.
    pub(crate) fn counters(&self) -> Result<Option<Counters>> {
        let Some(child) = &self.child else { return Ok(None) };
        Ok(Some(serde_json::from_str(&locked(child).ask(COUNTERS)?)?))
    }
}

fn locked(child: &Mutex<Process>) -> MutexGuard<'_, Process> {
    // Nothing panics while it is held.
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child process until it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a process, which prints its address first.
    pub(crate) fn start(mut command: Command) -> Result<(Self, String)> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |cause: &dyn std::fmt::Display| Error::new(format!("cannot start the server {program}: {cause}"));
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.map_err(|cause| failed(&cause))?;
        let stdout = child.stdout.take().ok_or_else(|| failed(&"it has no output"))?;
        let mut process = Self { child, lines: BufReader::new(stdout) };
        let address = process.line().map_err(|cause| failed(&cause))?;
        if address.parse::<std::net::SocketAddr>().is_err() {
            return Err(failed(&format!("it printed \"{address}\" in place of an address")));
        }
        Ok((process, address))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// The line that answers this one.
    fn ask(&mut self, question: &str) -> Result<String> {
        let stdin = self.child.stdin.as_mut().ok_or_else(|| Error::new("the server cannot be asked"))?;
        writeln!(stdin, "{question}")?;
        self.line()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
