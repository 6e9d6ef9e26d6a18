//! `runjob execute`: start a job once, and wait for its end where that was asked for.
//!
//! The start is written down before it is sent, and what became of it as soon as that is known. What is neither known
//! nor found is left to `runjob recover`.

use std::{io, time::Duration};

use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::{
    Error, ErrorKind, JobName, Location, Result as Started, Run, RunBuilder, StartKey, StartToken,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{
            overrides::{self, Overrides},
            sections::Sections,
            values,
            waiting::Waiting,
        },
        follow::Follow,
        interrupt::Interrupt,
        printer::Printer,
        session::Session,
        show::report::Report,
        start_log::{Intent, Settled, StartLog},
        verb::Verb,
    },
};

/// `runjob execute`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Execute {
    /// Job to start: its id, or its full name `projects/P/locations/R/jobs/J`.
    job: String,
    #[command(flatten)]
    sections: Sections,
    /// Number of tasks, instead of the job's own.
    #[arg(long, value_name = "N", value_parser = values::task_count, allow_negative_numbers = true)]
    tasks: Option<u32>,
    /// Limit of each attempt of a task, instead of the job's own: 1s to 168h, as in 300, 300s, 5m, 1h30m.
    #[arg(long, value_name = "DURATION", value_parser = values::task_timeout, allow_negative_numbers = true)]
    task_timeout: Option<Duration>,
    /// Name this start, so that it is found and not made again when the same key is given again: 1 to 128 letters,
    /// digits and . _ - : / that are no secret, as in `order-4711`. Without KEY a random one is generated and printed.
    /// Sets RUNJOB_START_KEY in the first container that is overridden, or the only one.
    #[arg(long, value_name = "KEY", num_args = 0..=1, require_equals = true)]
    start_key: Option<Option<StartKey>>,
    /// Start the execution JOB-TOKEN, once however often and wherever this is given: lowercase letters, digits
    /// and -, with the job's id at most 62. Writes the token into the job (UpdateJob, with its etag), so it needs
    /// run.jobs.update, and takes the job as it is, without overrides.
    #[arg(long, value_name = "TOKEN", require_equals = true, conflicts_with_all = ["start_key", "validate_first"])]
    exactly_once: Option<StartToken>,
    /// Let the service check the start before it is made: one call more, and its refusals then start nothing.
    #[arg(long)]
    validate_first: bool,
    /// Wait for the execution to end.
    #[arg(long)]
    wait: bool,
    /// Return when the start is accepted. This is the default.
    #[arg(long, conflicts_with = "wait")]
    r#async: bool,
    #[command(flatten)]
    waiting: Waiting,
}

/// What to start, and how to wait where the end is waited for.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    start: Start,
    waiting: Option<Waiting>,
}

/// What to start, and with which precautions.
#[derive(Debug)]
struct Start {
    job: JobName,
    overrides: Overrides,
    guard: Option<Guard>,
    validate_first: bool,
    /// Where it is written down first; nowhere for an emulator that ends with this process, and for a token, which is
    /// safe to give again.
    log: Option<StartLog>,
}

/// By what a start is known again.
#[derive(Debug)]
enum Guard {
    Key(StartKey),
    /// A start key to be generated, which is lost unless it is written down.
    NewKey,
    Token(StartToken),
}

impl Verb for Execute {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        self.waiting.check(self.wait)?;
        let overrides = Overrides {
            containers: overrides::resolve(&self.sections, context.env)?,
            task_count: self.tasks,
            task_timeout: self.task_timeout,
        };
        let guard = match (self.exactly_once, self.start_key) {
            (Some(token), _) => Some(Guard::Token(token)),
            (None, Some(key)) => Some(key.map_or(Guard::NewKey, Guard::Key)),
            (None, None) => None,
        };
        let is_token = matches!(guard, Some(Guard::Token(_)));
        if is_token && overrides != Overrides::default() {
            return Err(Failure::usage("--exactly-once starts the job as it is, and overrides are given with it")
                .hint("leave the overrides out, or use --start-key=KEY"));
        }
        let log = context.start_log().filter(|_| !is_token);
        let start = Start { job: context.job(&self.job)?, overrides, guard, validate_first: self.validate_first, log };
        Ok(Meaning { start, waiting: self.wait.then_some(self.waiting) })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.start.job.location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        start(meaning.start, meaning.waiting.as_ref(), session, printer).await
    }
}

/// Starts a job as it is, as `execute` without further flags does.
pub(super) async fn as_it_is(
    job: JobName,
    log: Option<StartLog>,
    waiting: Option<&Waiting>,
    session: &Session,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let start = Start { job, overrides: Overrides::default(), guard: None, validate_first: false, log };
    self::start(start, waiting, session, printer).await
}

/// Starts the job as it was asked for.
async fn start(start: Start, waiting: Option<&Waiting>, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
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

/// What was given, or a new random key.
fn chosen(guard: Guard, printer: &Printer) -> Result<Mark, Failure> {
    match guard {
        Guard::Key(key) => Ok(Mark::Key(key)),
        Guard::Token(token) => Ok(Mark::Token(token)),
        Guard::NewKey => {
            let key: StartKey = Uuid::new_v4().simple().to_string().parse()?;
            printer.line(&format!("note: the start key is {key}"));
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
    /// a key was generated that would be lost with it.
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
    printer.line(&format!("warning: no start log is kept, so `runjob recover` will not know of this start: {error}"));
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
        printer.line(&format!("warning: {duplicate} has the same start key"));
    }
}

fn accepted(session: &Session, printer: &Printer, run: &Run) -> Exit {
    let execution = run.execution();
    let exit = printer.report(&Report::started(run), Exit::Done);
    if session.is_private() {
        printer.note("note: the emulator ends with this command, and the execution with it; add --wait to see it run");
    } else {
        let started = if run.was_adopted() { "" } else { "started; " };
        printer.note(&format!("note: {started}`runjob wait {execution}` waits for its end"));
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{environment::Environment, flags::global::Global};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        global: Global,
        #[command(flatten)]
        execute: Execute,
    }

    fn resolve(line: &str, variables: &[(&str, &str)]) -> Result<Meaning, Failure> {
        let Line { global, execute } = Line::try_parse_from(line.split(' ')).expect("the line is well-formed");
        let env = Environment::new(variables.iter().map(|(name, value)| (name.into(), value.into())));
        execute.resolve(&Context::new(&global, &env))
    }

    #[test]
    fn flags_may_stand_anywhere() {
        let line = "execute --wait echo --tasks=3 --task-timeout=1h30m --project=acme --region=r --emulator";
        let Meaning { start, waiting } = resolve(line, &[]).expect("it has a meaning");
        assert_eq!(start.job.to_string(), "projects/acme/locations/r/jobs/echo");
        assert_eq!(start.overrides.task_count, Some(3));
        assert_eq!(start.overrides.task_timeout, Some(Duration::from_secs(5400)));
        assert!(waiting.is_some());
    }

    #[test]
    fn flags_of_waiting_need_wait() {
        let failure = resolve("execute echo --emulator --wait-limit=5s", &[]).expect_err("no --wait");
        assert_eq!(failure.message(), "--wait-limit says how to wait");
        assert!(resolve("execute echo --emulator --wait-limit=5s --wait", &[]).is_ok());
    }

    #[test]
    fn a_token_takes_the_job_as_it_is_and_is_written_down_nowhere() {
        let server = [("RUN_EMULATOR_HOST", "127.0.0.1:1")];
        for flag in [
            "--args=a",
            "--clear-args",
            "--update-env-vars=A=1",
            "--container=c --args=a",
            "--tasks=2",
            "--task-timeout=5s",
        ] {
            let failure = resolve(&format!("execute echo --exactly-once=t {flag}"), &server).expect_err(flag);
            assert_eq!((failure.exit(), failure.way_out().is_some()), (Exit::Usage, true), "{flag}");
        }
        let Meaning { start, .. } = resolve("execute echo --exactly-once=order-1", &server).expect("it has a meaning");
        assert!(matches!(start.guard, Some(Guard::Token(token)) if token.as_str() == "order-1"));
        assert!(start.log.is_none());
    }
}
