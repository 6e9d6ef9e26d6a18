//! `runjob execute`: start a job once, and wait for its end where that was asked for.
//!
//! The start is written down before it is sent, and what became of it as soon as that is known. What is neither known
//! nor found is left to `runjob recover`.

mod each;
mod lines;
mod note;
mod request;
mod secrets;

use std::time::Duration;

use uuid::Uuid;

use self::{each::LineStarts, note::Note, secrets::SecretVariables};
use crate::{
    Error, ErrorKind, JobName, Location, Result as Started, Run, StartKey, StartRate, StartToken,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{
            file,
            overrides::{self, Overrides},
            sections::Sections,
            show_env::ShowEnv,
            values,
            waiting::{Until, Waiting},
        },
        follow::Follow,
        interrupt::Interrupt,
        printer::Printer,
        session::Session,
        show::report::Report,
        start_log::StartLog,
        verb::{Verb, call},
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
    /// Wait for the execution to end, or with --wait=started until its first task runs.
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "done")]
    wait: Option<Until>,
    /// Start once for each line of FILE, or of stdin for -: arguments as a shell splits them, or a JSON object of overrides as
    /// --dry-run shows it. Line N has the key KEY/N, and the same command again starts what is missing.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["wait", "exactly_once", "validate_first"])]
    each: Option<String>,
    /// With --each: most starts under way at a time. The default is 16.
    #[arg(long, value_name = "N", requires = "each", value_parser = clap::value_parser!(u16).range(1..=1000))]
    in_flight: Option<u16>,
    /// With --each: most starts within a minute. The default is 180, which is a project's quota in a region.
    #[arg(long, value_name = "N", requires = "each", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    per_minute: Option<u32>,
    /// Return when the start is accepted. This is the default.
    #[arg(long, conflicts_with = "wait")]
    r#async: bool,
    #[command(flatten)]
    waiting: Waiting,
    /// Print the request that would be sent, after all checks that can be made here, and call nothing.
    #[arg(long, conflicts_with_all = ["exactly_once", "validate_first", "wait"])]
    dry_run: bool,
    #[command(flatten)]
    env: ShowEnv,
}

/// What to start, and how to wait where that is asked for.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    start: PlannedStart,
    waiting: Option<(Until, Waiting)>,
}

/// Starts the job, or shows how it would.
pub(in crate::cli) async fn run(typed: Execute, context: &Context<'_>, printer: &Printer) -> Result<Exit, Failure> {
    if let Some(path) = typed.each.clone() {
        return run_each(typed, &path, context, printer).await;
    }
    if !typed.dry_run {
        return call(typed, context, printer).await;
    }
    let show_env = typed.env.show_env;
    let PlannedStart { job, overrides, guard, .. } = typed.resolve(context)?.start;
    let mark = guard.map(|guard| chosen(guard, printer)).transpose()?;
    request::show(&job, overrides, mark.as_ref().and_then(Mark::key), show_env, printer).await
}

/// What to start, and with which precautions.
#[derive(Debug)]
struct PlannedStart {
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

/// Starts the job for each line of the file, or shows how it would.
async fn run_each(typed: Execute, path: &str, context: &Context<'_>, printer: &Printer) -> Result<Exit, Failure> {
    if path == file::STDIN && overrides::stdin_reads(&typed.sections) > 0 {
        return Err(Failure::usage("stdin is named for --each and for arguments"));
    }
    let (show_env, dry_run) = (typed.env.show_env, typed.dry_run);
    let usual = StartRate::default();
    let in_flight = typed.in_flight.map_or(usual.in_flight, usize::from);
    let per_minute = typed.per_minute.and_then(|starts| usize::try_from(starts).ok()).unwrap_or(usual.per_minute);
    let PlannedStart { job, overrides, guard, log, .. } = typed.resolve(context)?.start;
    let lines = lines::read(path, &overrides)?;
    let mark = chosen(guard.unwrap_or(Guard::NewKey), printer)?;
    let Some(key) = mark.key() else { return Err(Failure::usage("--each needs a start key")) };
    let rate = usual.in_flight(in_flight).per_minute(per_minute);
    let batch = LineStarts::new(job, lines, key, rate, log)?;
    let requests = batch.requests(path).await?;
    if dry_run {
        return request::show_all(requests, show_env, printer);
    }
    let session = Session::open(context, batch.job().location(), printer).await?;
    let exit = batch.start(path, &session, printer).await?;
    session.close().await?;
    Ok(exit)
}

impl Verb for Execute {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        self.waiting.check(self.wait.is_some(), context.global.format)?;
        if self.env.show_env && !self.dry_run {
            return Err(Failure::usage("--show-env says what --dry-run shows").hint("add --dry-run"));
        }
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
        let start =
            PlannedStart { job: context.job(&self.job)?, overrides, guard, validate_first: self.validate_first, log };
        Ok(Meaning { start, waiting: self.wait.map(|until| (until, self.waiting)) })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.start.job.location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        start(meaning.start, meaning.waiting, session, printer).await
    }
}

/// Starts a job as it is, as `execute` without overrides does.
pub(super) async fn as_it_is(
    job: JobName,
    log: Option<StartLog>,
    waiting: Option<Waiting>,
    session: &Session,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let start = PlannedStart { job, overrides: Overrides::default(), guard: None, validate_first: false, log };
    self::start(start, waiting.map(|waiting| (Until::Done, waiting)), session, printer).await
}

/// Starts the job as it was asked for.
async fn start(
    start: PlannedStart,
    waiting: Option<(Until, Waiting)>,
    session: &Session,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let PlannedStart { job, overrides, guard, validate_first, log } = start;
    let is_new = matches!(guard, Some(Guard::NewKey));
    let mark = guard.map(|guard| chosen(guard, printer)).transpose()?;
    let note = tokio::select! {
        biased;
        note = async {
            check(&overrides, &job, session).await?;
            Note::take(log, &job, mark.as_ref().and_then(Mark::key), is_new, printer).await
        } => note?,
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
        Some((until, waiting)) => {
            let printer = printer.clone();
            let follow = Follow { session, printer, run: &mut run, is_ours: true, lines: output, until, interrupt };
            follow.until_wanted(&waiting).await
        }
        None => Ok(accepted(session, printer, &run)),
    }
}

/// Refuses to give as text what is a secret in the job.
async fn check(overrides: &Overrides, job: &JobName, session: &Session) -> Result<(), Failure> {
    let secrets = SecretVariables::of(&session.client, job, [overrides].into_iter()).await;
    match secrets.refused(overrides) {
        Some((what, way_out)) => Err(Failure::usage(what).hint(way_out)),
        None => Ok(()),
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
        _ => {
            let start = request::builder(&session.client, job, overrides, mark.and_then(Mark::key));
            if validate_first { start.validate_first().start().await } else { start.start().await }
        }
    }
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
