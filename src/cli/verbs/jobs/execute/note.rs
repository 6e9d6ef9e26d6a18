//! A start's line in the start log: written before the request is sent, and settled when the outcome is known.

use std::io;

use tokio::task::spawn_blocking;

use crate::{
    ErrorKind, JobName, Result as Started, Run, StartKey,
    cli::{
        exit::Exit,
        failure::Failure,
        printer::Printer,
        start_log::{Intent, Settled, StartLog},
    },
};

/// The start's line in the start log.
pub(super) struct Note {
    log: StartLog,
    intent: Intent,
}

impl Note {
    /// Writes the start down. A log that cannot be written costs the recovery after a crash and not the start, unless
    /// a key was generated that would be lost with it.
    pub(super) async fn take(
        log: Option<StartLog>,
        job: &JobName,
        key: Option<&StartKey>,
        is_new: bool,
        printer: &Printer,
    ) -> Result<Option<Self>, Failure> {
        let Some(log) = log else { return Ok(None) };
        match Self::write(log, job, key).await {
            Ok(note) => Ok(Some(note)),
            Err(error) if is_new => {
                Err(Failure::new(Exit::NotStarted, format!("could not write the new start key down: {error}"))
                    .hint("give a key of your own, --start-key=KEY, or set XDG_STATE_HOME to where files can be kept"))
            }
            Err(error) => {
                unwritten(&error, printer);
                Ok(None)
            }
        }
    }

    /// Writes the start down.
    pub(super) async fn write(log: StartLog, job: &JobName, key: Option<&StartKey>) -> io::Result<Self> {
        let (writer, job, key) = (log.clone(), job.clone(), key.cloned());
        let intent = blocking(move || writer.intend(&job, key.as_ref())).await?;
        Ok(Self { log, intent })
    }

    /// Writes down what became of it, unless that is not known.
    pub(super) async fn settle(self, started: &Started<Run>, printer: &Printer) {
        let settled = match started {
            Ok(run) => Settled::started(run.execution()),
            Err(error) if error.kind() == ErrorKind::StartUnknown => return,
            Err(_) => Settled::NotStarted,
        };
        if let Err(error) = blocking(move || self.log.settle(&self.intent, settled)).await {
            unwritten(&error, printer);
        }
    }
}

/// Does what may block beside the signals, so that they are heard meanwhile.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Warns that a start is not written down.
pub(super) fn unwritten(error: &io::Error, printer: &Printer) {
    printer.line(&format!("warning: no start log is kept, so `runjob recover` will not know of this start: {error}"));
}
