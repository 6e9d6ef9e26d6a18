//! What can go wrong with an emulator itself.

use std::{error::Error as StdError, fmt, io, net::SocketAddr, path::Path};

use crate::{emulator::refusal::Refusal, name::NameError};

type Cause = Box<dyn StdError + Send + Sync>;

/// Why an emulator did not start, or did not end well: says what was wrong and what to do.
#[derive(Debug)]
pub struct EmulatorError {
    message: String,
    source: Option<Cause>,
}

impl EmulatorError {
    pub(crate) fn not_loopback(addr: SocketAddr) -> Self {
        let reason = "it runs commands for whoever reaches it";
        let hint = "use 127.0.0.1 or [::1], or require a token";
        Self::new(format!("the emulator does not listen on {addr}, because {reason}: {hint}"), None)
    }

    pub(crate) fn listen(addr: SocketAddr, error: io::Error) -> Self {
        let hint = "choose another port, or port 0 for a free one";
        Self::new(format!("the emulator cannot listen on {addr}: {hint}"), Some(error.into()))
    }

    pub(crate) fn empty_command(image: &str) -> Self {
        Self::new(format!("image '{image}' is mapped to an empty command: name a program"), None)
    }

    pub(crate) fn no_program(image: &str, program: &str) -> Self {
        let hint = "give the path of a program, or a name that is on PATH";
        Self::new(format!("image '{image}' is mapped to '{program}', which is not there: {hint}"), None)
    }

    pub(crate) fn member(text: &str) -> Self {
        let hint = "write user:EMAIL, serviceAccount:EMAIL, group:EMAIL, domain:NAME or allUsers";
        Self::new(format!("'{text}' is no member: {hint}"), None)
    }

    pub(crate) fn grant(text: &str) -> Self {
        let hint = "name a role such as roles/run.invoker, or a permission such as run.jobs.run";
        Self::new(format!("'{text}' cannot be granted: {hint}"), None)
    }

    pub(crate) fn homes(error: io::Error) -> Self {
        Self::new("the emulator cannot make a temporary directory for its tasks: check TMPDIR", Some(error.into()))
    }

    pub(crate) fn thread(error: io::Error) -> Self {
        Self::new("the emulator cannot start a thread: end other programs, or raise `ulimit -u`", Some(error.into()))
    }

    pub(crate) fn unwritable(dir: &Path, error: impl Into<Cause>) -> Self {
        let hint = "it needs a directory that it can write to, with room";
        Self::new(format!("the emulator cannot keep its state in {}: {hint}", dir.display()), Some(error.into()))
    }

    pub(crate) fn unreadable(file: &Path, error: impl Into<Cause>) -> Self {
        let hint = "it is left as it is; put back a copy of it, move it away to start afresh, or use another directory";
        Self::new(format!("the state in {} cannot be used: {hint}", file.display()), Some(error.into()))
    }

    pub(crate) fn in_use(dir: &Path) -> Self {
        let hint = "stop that one, or use another directory";
        Self::new(format!("another emulator keeps its state in {}: {hint}", dir.display()), None)
    }

    pub(crate) fn open_to_others(dir: &Path) -> Self {
        let (dir, reason) = (dir.display(), "it holds what jobs are given, also secrets");
        Self::new(format!("{dir} is open to other users, and {reason}: chmod 700 {dir}"), None)
    }

    pub(crate) fn seed(path: &Path, error: impl Into<Cause>) -> Self {
        Self::new(format!("the seed file {} cannot be used", path.display()), Some(error.into()))
    }

    /// The state could not be kept while the emulator ran.
    pub(crate) fn store(text: &str) -> Self {
        Self::new(text, None)
    }

    pub(crate) fn samples(refusal: Refusal) -> Self {
        Self::new("the sample jobs cannot be created", Some(Box::new(tonic::Status::from(refusal))))
    }

    pub(crate) fn sample_name(error: NameError) -> Self {
        Self::new("the sample jobs cannot be in this location", Some(error.into()))
    }

    pub(crate) fn descriptors(error: prost_reflect::DescriptorError) -> Self {
        Self::new("the descriptors of the API cannot be read", Some(error.into()))
    }

    pub(crate) fn reflection(error: tonic_reflection::server::Error) -> Self {
        Self::new("the descriptors of the API cannot be served", Some(error.into()))
    }

    pub(crate) fn serve(error: tonic::transport::Error) -> Self {
        Self::new("the emulator could not go on serving", Some(error.into()))
    }

    pub(crate) fn worker(error: tokio::task::JoinError) -> Self {
        Self::new("a part of the emulator ended early, which is a bug in it", Some(error.into()))
    }

    pub(crate) fn panicked(text: &str) -> Self {
        Self::new(format!("the emulator panicked, which is a bug in it: {text}"), None)
    }

    fn new(message: impl Into<String>, source: Option<Cause>) -> Self {
        Self { message: message.into(), source }
    }
}

impl fmt::Display for EmulatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for EmulatorError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
