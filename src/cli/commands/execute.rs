//! `runjob execute`: start a job once, and wait for its end where that was asked for.
//!
//! The start is written down before it is sent, and what became of it as soon as that is known. What is neither known
//! nor found is left to `runjob recover`.

use std::io;

use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::{
    Error, ErrorKind, JobName, Result as Started, Run, RunBuilder, StartKey, StartToken,
    cli::{
        config::{Guard, Start},
        exit::Exit,
        failure::Failure,
        flags::{overrides::Overrides, waiting::Waiting},
        follow::Follow,
        interrupt::Interrupt,
        printer::Printer,
        session::Session,
        show::report::Report,
        start_log::{Intent, Settled, StartLog},
    },
};

/// Starts the job as it was asked for.
pub(super) async fn run(
    session: &Session,
    printer: &Printer,
    start: Start,
    waiting: Option<&Waiting>,
) -> Result<Exit, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let Start { job, overrides, guard, validate_first, log } = start;
    let is_new = matches!(guard, Some(Guard::NewKey));
    let mark = guard.map(|guard| chosen(guard, printer)).transpose()?;
    let note = tokio::select! {
        biased;
        note = Note::take(log, &job, mark.as_ref().and_then(Mark::key), is_new, printer) => note?,
        () = interrupt.next() => return Err(Failure::new(Exit::Interrupted, "interrupted: nothing was started")),
    };
    // From before the start, so that no line of a quick task is missed.
    let output = session.output();
    let started = tokio::select! {
        started = begin(session, &job, overrides, mark.as_ref(), validate_first) => started,
        () = interrupt.next() => return Err(interrupted(&job, mark.as_ref())),
    };
    if let Some(note) = note {
        note.settle(&started, printer).await;
    }
    let mut run = started.map_err(|error| failed(error, &job, mark.as_ref()))?;
    tell_adopted(printer, &run, mark.as_ref());
    match waiting {
        Some(waiting) => {
            let follow = Follow { session, printer, run: &mut run, is_ours: true, lines: output, interrupt };
            follow.until_the_end(waiting).await
        }
        None => Ok(accepted(session, printer, &run)),
    }
}

/// By what the start is known again.
enum Mark {
    Key(StartKey),
    Token(StartToken),
}

impl Mark {
    fn key(&self) -> Option<&StartKey> {
        match self {
            Self::Key(key) => Some(key),
            Self::Token(_) => None,
        }
    }
}

/// What was given, or a new key that nobody else has.
fn chosen(guard: Guard, printer: &Printer) -> Result<Mark, Failure> {
    match guard {
        Guard::Key(key) => Ok(Mark::Key(key)),
        Guard::Token(token) => Ok(Mark::Token(token)),
        Guard::NewKey => {
            let key: StartKey = Uuid::new_v4().simple().to_string().parse()?;
            printer.note(&format!("note: the start key is {key}"));
            Ok(Mark::Key(key))
        }
    }
}

async fn begin(
    session: &Session,
    job: &JobName,
    overrides: Overrides,
    mark: Option<&Mark>,
    validate_first: bool,
) -> Started<Run> {
    match mark {
        Some(Mark::Token(token)) => session.client.start_once(job, token).await,
        _ => builder(session, job, overrides, mark.and_then(Mark::key), validate_first).start().await,
    }
}

fn builder(
    session: &Session,
    job: &JobName,
    overrides: Overrides,
    key: Option<&StartKey>,
    validate_first: bool,
) -> RunBuilder {
    let mut start = session.client.run(job);
    for container in overrides.containers {
        let name = container.name.unwrap_or_default();
        start = start.container(name, |mut change| {
            change = match container.args {
                Some(args) if args.is_empty() => change.clear_args(),
                Some(args) => change.args(args),
                None => change,
            };
            container.env.into_iter().fold(change, |change, (name, value)| change.env(name, value))
        });
    }
    if let Some(count) = overrides.task_count {
        start = start.task_count(count);
    }
    if let Some(timeout) = overrides.task_timeout {
        start = start.task_timeout(timeout);
    }
    if let Some(key) = key {
        start = start.start_key(key.clone());
    }
    if validate_first { start.validate_first() } else { start }
}

/// The start's line in the start log.
struct Note {
    log: StartLog,
    intent: Intent,
}

impl Note {
    /// Writes the start down. A log that cannot be written costs the recovery after a crash and not the start, unless
    /// a key was made up that would be lost with it.
    async fn take(
        log: Option<StartLog>,
        job: &JobName,
        key: Option<&StartKey>,
        is_new: bool,
        printer: &Printer,
    ) -> Result<Option<Self>, Failure> {
        let Some(log) = log else { return Ok(None) };
        let (writer, job, key) = (log.clone(), job.clone(), key.cloned());
        match blocking(move || writer.intend(&job, key.as_ref())).await {
            Ok(intent) => Ok(Some(Self { log, intent })),
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

    /// Writes down what became of it, unless that is not known.
    async fn settle(self, started: &Started<Run>, printer: &Printer) {
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

fn unwritten(error: &io::Error, printer: &Printer) {
    printer.note(&format!("warning: no start log is kept, so `runjob recover` will not know of this start: {error}"));
}

fn tell_adopted(printer: &Printer, run: &Run, mark: Option<&Mark>) {
    let by = match mark {
        Some(Mark::Key(key)) => format!("start key {key}"),
        Some(Mark::Token(token)) => format!("token {token}"),
        None => return,
    };
    if run.was_adopted() {
        printer.note(&format!("note: found by {by}, and not started again"));
    }
    for duplicate in run.duplicates() {
        printer.note(&format!("warning: {duplicate} has the same start key"));
    }
}

fn accepted(session: &Session, printer: &Printer, run: &Run) -> Exit {
    let execution = run.execution();
    let exit = printer.report(&Report::started(execution, run.operation(), run.latest()), Exit::Done);
    if session.is_private() {
        printer.note("note: the emulator ends with this command, and the execution with it; add --wait to see it run");
    } else {
        printer.note(&format!("note: started; `runjob wait {execution}` waits for its end"));
    }
    exit
}

/// A start that failed, with the way to find out where that is open.
fn failed(error: Error, job: &JobName, mark: Option<&Mark>) -> Failure {
    let is_open = error.kind() == ErrorKind::StartUnknown;
    let failure = Failure::from(error);
    if is_open { failure.hint(way_to_find_out(job, mark)) } else { failure }
}

/// The request may have left, so this is no detaching from something that is known to run.
fn interrupted(job: &JobName, mark: Option<&Mark>) -> Failure {
    Failure::new(Exit::Interrupted, format!("interrupted before the service had answered: job {job} may have started"))
        .hint(way_to_find_out(job, mark))
}

fn way_to_find_out(job: &JobName, mark: Option<&Mark>) -> String {
    match mark {
        Some(Mark::Key(key)) => {
            format!("look for it before starting again: runjob recover --job={job} --key={key}")
        }
        Some(Mark::Token(token)) => {
            format!("the same command again is safe: runjob execute {job} --exactly-once={token}")
        }
        None => format!("look at its newest executions before starting again: runjob executions list --job={job}"),
    }
}
