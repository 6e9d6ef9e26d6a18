//! Servers as child processes, so that their processor time is not counted as the client's.

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

const NEUTRAL: &str = "neutral server";

/// The server that all arms of a measurement call.
#[derive(Debug)]
pub struct Site {
    /// What a report calls it.
    title: String,
    address: String,
    /// What the calls are about; only the job, where the rest has to be found or started first.
    names: Names,
    may_start: bool,
    server: ServerOwner,
}

/// Who runs the server.
#[derive(Debug)]
enum ServerOwner {
    /// A neutral server of ours, which can be asked for its counters and to be far away.
    Neutral(Mutex<ChildProcess>),
    /// Another child process.
    Child { _until_dropped: ChildProcess },
    /// Somebody else.
    Elsewhere,
}

impl Site {
    /// Starts the neutral server: a program that calls [`serve`](super::serve).
    ///
    /// # Errors
    /// When the program cannot be started or does not print an address.
    pub fn launch(command: Command) -> Result<Self> {
        let (process, address) = ChildProcess::start(command)?;
        let server = ServerOwner::Neutral(Mutex::new(process));
        Ok(Self { title: NEUTRAL.to_owned(), address, names: canned::names(), may_start: true, server })
    }

    /// Starts another server, such as an emulator, that prints `HOST:PORT` first and ends when its standard input does.
    /// Executions of `job` are started there. A report calls it `title`.
    ///
    /// # Errors
    /// When the program cannot be started or does not print an address.
    pub fn launch_other(command: Command, title: impl Into<String>, job: impl Into<String>) -> Result<Self> {
        let (process, address) = ChildProcess::start(command)?;
        let server = ServerOwner::Child { _until_dropped: process };
        Ok(Self { title: title.into(), server, ..Self::at(address, job, true) })
    }

    /// A neutral server that runs already, at `HOST:PORT`. It is not asked what it has counted.
    pub fn neutral(address: impl Into<String>) -> Self {
        let (title, address) = (NEUTRAL.to_owned(), address.into());
        Self { title, address, names: canned::names(), may_start: true, server: ServerOwner::Elsewhere }
    }

    /// A plaintext server at `HOST:PORT` that serves gRPC and REST. With `may_start`, executions of `job` are started there;
    /// without, calls that need that are refused.
    pub fn at(address: impl Into<String>, job: impl Into<String>, may_start: bool) -> Self {
        let (address, names) = (address.into(), Names { job: job.into(), ..Names::default() });
        Self { title: address.clone(), address, names, may_start, server: ServerOwner::Elsewhere }
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What a report calls it.
    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    /// Whether executions may be started there.
    pub(crate) fn may_start(&self) -> bool {
        self.may_start
    }

    /// Whether the server can be asked for its counters, and to be far away.
    pub(crate) fn can_be_asked(&self) -> bool {
        matches!(self.server, ServerOwner::Neutral(_))
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// The address at which the server is this much further away.
    pub(crate) fn at_distance(&self, round_trip: Duration) -> Result<String> {
        if round_trip.is_zero() {
            return Ok(self.address.clone());
        }
        let ServerOwner::Neutral(child) = &self.server else {
            return Err(Error::new("only the neutral server can be far away"));
        };
        locked(child).ask(&format!("{DISTANCE} {}", round_trip.as_micros()))
    }

    /// What the server has counted since the last time; only the neutral server counts.
    pub(crate) fn counters(&self) -> Result<Option<Counters>> {
        let ServerOwner::Neutral(child) = &self.server else { return Ok(None) };
        Ok(Some(serde_json::from_str(&locked(child).ask(COUNTERS)?)?))
    }
}

fn locked(child: &Mutex<ChildProcess>) -> MutexGuard<'_, ChildProcess> {
    // Nothing panics while it is held.
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child process until it is dropped.
#[derive(Debug)]
pub(crate) struct ChildProcess {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl ChildProcess {
    /// Starts a process, which prints its address first.
    pub(crate) fn start(mut command: Command) -> Result<(Self, String)> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |cause: &dyn std::fmt::Display| Error::new(format!("cannot start the server {program}: {cause}"));
        // In its own process group, because Ctrl-C on a terminal reaches a whole group: the interrupted client still asks
        // the server for its counters. The server ends when its standard input does.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
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
        let answer = self.line()?;
        if answer.is_empty() { Err(Error::new("the server has ended before the measurement has")) } else { Ok(answer) }
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // It may have ended already, and then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
