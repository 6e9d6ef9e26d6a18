//! The program as a user meets it: the real binary, its exact output, its exit status.

mod actions;
mod bad_input;
mod bench;
mod canaries;
mod contract;
mod credentials;
mod doctor;
mod dry_run;
mod each;
mod empty_root;
mod estimate;
mod execute;
mod happened;
mod interrupt;
mod jobs;
mod lists;
mod lost_output;
mod manners;
mod names;
pub(crate) mod place;
mod proxies;
mod pty;
mod readme;
mod recover;
mod resources;
mod restarts;
mod security;
mod server;
mod terminal;
mod verbose;
mod wait_many;

use std::{
    io::Read,
    process::{Command, Output, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::program::{Running, line, runjob};

pub(crate) const JOBS: &str = "projects/demo/locations/us-central1/jobs";

/// What the program did with this command line and an empty environment.
pub(crate) fn ran(line: &str) -> Ran {
    Ran::of(runjob(line))
}

/// What a program that has ended left behind. Suffixes of execution ids are shown as `-ID`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(mut command: Command) -> Self {
        Self::from(command.output().expect("the program runs"))
    }

    /// The result as JSON, as it was printed.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:#?}"))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().expect("the program ends by itself"),
            stdout: without_suffixes(&String::from_utf8(output.stdout).expect("Unicode")),
            stderr: without_suffixes(&String::from_utf8(output.stderr).expect("Unicode")),
        }
    }
}

/// The text with the random part of execution ids of sample jobs replaced.
fn without_suffixes(text: &str) -> String {
    let mut text = text.to_owned();
    for job in ["echo", "env", "sleep", "fail", "flaky", "screenshot"] {
        let mark = format!("{job}-");
        let mut from = 0;
        while let Some(found) = text[from..].find(&mark) {
            from += found + mark.len();
            let suffix = text[from..].bytes().take_while(u8::is_ascii_alphanumeric).count();
            if suffix == 5 {
                text.replace_range(from..from + 5, "ID");
            }
        }
    }
    text
}

impl Running {
    /// The next line of stderr that holds this text.
    pub(crate) fn line_of_stderr(&mut self, wanted: &str) -> String {
        loop {
            let line = line(&mut self.stderr);
            assert!(!line.is_empty(), "the program ended without saying {wanted:?}");
            if line.contains(wanted) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the program is running");
    }

    /// What it did from here on.
    pub(crate) fn end(mut self) -> Ran {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.stdout.read_to_end(&mut stdout).expect("stdout");
        self.stderr.read_to_end(&mut stderr).expect("stderr");
        let status = self.child.wait().expect("the program ends");
        Ran::from(Output { status, stdout, stderr })
    }
}

/// `runjob emulator` in a separate process, stopped when dropped.
pub(crate) struct Server {
    running: Running,
    variable: String,
    /// Where the programs that call it keep their start log.
    state: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    fn start_with(flags: &str) -> Self {
        Self::over(Running::start(runjob(&format!("emulator --listen=127.0.0.1:0 {flags}"))))
    }

    /// With these flags, started by a shell after these words.
    pub(crate) fn limited(words: &str, flags: &str) -> Self {
        let mut command = Command::new("/bin/sh");
        let line = format!("{words}; exec {} emulator --listen=127.0.0.1:0 {flags}", env!("CARGO_BIN_EXE_runjob"));
        command.env_clear().args(["-c", &line]).stdin(Stdio::null());
        Self::over(Running::start(command))
    }

    /// The emulator that this program is.
    pub(crate) fn over(mut running: Running) -> Self {
        let variable = running.line_of_stdout();
        Self { running, variable, state: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn address(&self) -> &str {
        self.variable.split_once('=').expect("a variable").1
    }

    pub(crate) fn id(&self) -> u32 {
        self.running.child.id()
    }

    pub(crate) fn line_of_stderr(&mut self, wanted: &str) -> String {
        self.running.line_of_stderr(wanted)
    }

    /// The program with this command line, sent to the emulator as its first line of output says.
    pub(crate) fn command(&self, line: &str) -> Command {
        let (name, value) = self.variable.split_once('=').expect("a variable");
        let mut command = runjob(line);
        command.env(name, value).env("XDG_STATE_HOME", self.state.path());
        command
    }

    pub(crate) fn ran(&self, line: &str) -> Ran {
        Ran::of(self.command(line))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Not killed outright: it has tasks to end.
        if let Ok(None) = self.running.child.try_wait() {
            self.running.signal(Signal::TERM);
            _ = self.running.child.wait();
        }
    }
}
