//! The program as a child process, for every suite that runs it.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
};

/// The program with this command line and an environment that holds nothing, except that no metadata server is asked:
/// the one of a real machine is none of a test's business.
pub(crate) fn runjob(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runjob"));
    command.env_clear().env("NO_GCE_CHECK", "true").args(line.split_whitespace()).stdin(Stdio::null());
    command
}

/// A program that is still running, with its output at hand. It is killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) stdout: BufReader<ChildStdout>,
    pub(crate) stderr: BufReader<ChildStderr>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        Self { child, stdout, stderr }
    }

    pub(crate) fn line_of_stdout(&mut self) -> String {
        line(&mut self.stdout)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The next line, or nothing at the end.
pub(crate) fn line(stream: &mut impl BufRead) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).expect("Unicode");
    line.trim_end().to_owned()
}
