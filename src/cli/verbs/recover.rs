//! `runjob recover`: what became of starts that were sent and never answered.
//!
//! Asks about each by its key. One that is not seen stays in the start log: it may show later. What is found is reported
//! before it is settled there, so that a report that cannot be written loses nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    JobName, Location, StartKey,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::global::Format,
        printer::Printer,
        session::Session,
        show::view::NOTHING,
        start_log::{Intent, Settled, StartLog},
    },
};

/// `runjob recover`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Recover {
    /// Only this job's: its id or its full name. With --key it is looked for even if the start log does not know it.
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    /// Only the start with this key.
    #[arg(long, value_name = "KEY")]
    key: Option<StartKey>,
    /// Do not list those again that are not found now.
    #[arg(long)]
    forget: bool,
}

/// One start, and what is known of it.
#[derive(Debug, Serialize)]
struct StartRow {
    state: State,
    job: String,
    key: Option<String>,
    /// When it was about to be sent; nothing for one that the start log does not know.
    time: Option<String>,
    execution: Option<String>,
    /// Other executions with the key.
    duplicates: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum State {
    Started,
    /// No proof that it did not start.
    NotSeen,
    /// It had no key to look for.
    NoKey,
}

/// Which starts to ask about.
#[derive(Debug)]
struct Meaning {
    job: Option<JobName>,
    key: Option<StartKey>,
    /// Give up those that are not found.
    forget: bool,
    log: StartLog,
}

impl Recover {
    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let log = context.start_log().ok_or_else(|| {
            Failure::usage("an emulator inside this process has no earlier starts: --emulator has no meaning here")
        })?;
        let job = self.job.as_deref().map(|job| context.job(job)).transpose()?;
        Ok(Meaning { job, key: self.key, forget: self.forget, log })
    }
}

/// Looks for the starts that are wanted.
pub(in crate::cli) async fn run(typed: Recover, context: &Context<'_>, printer: &Printer) -> Result<Exit, Failure> {
    let Meaning { job, key, forget, log } = typed.resolve(context)?;
    let is_wanted = |intent: &Intent| {
        job.as_ref().is_none_or(|job| intent.job().as_ref() == Some(job))
            && key.as_ref().is_none_or(|key| intent.key().as_ref() == Some(key))
    };
    let unread = |error| Failure::new(Exit::Other, format!("the start log cannot be read: {error}"));
    let (pending, unread) = match log.pending() {
        Ok(pending) => (pending, None),
        Err(error) => (Vec::new(), Some(unread(error))),
    };
    let pending: Vec<_> = pending.into_iter().filter(is_wanted).collect();
    let mut sessions = Sessions { context, printer, open: BTreeMap::new() };
    let (mut rows, mut failure) = (Vec::new(), unread);
    for intent in pending {
        let Some(job) = intent.job() else { continue };
        match sessions.look(&job, intent.key().as_ref(), Some(intent.time.clone())).await {
            Ok(row) => rows.push((row, Some(intent))),
            Err(error) => _ = failure.get_or_insert(error),
        }
    }
    // A key can be asked about that this machine's log does not know, or no longer.
    if let (true, Some(job), Some(key)) = (rows.is_empty(), &job, &key) {
        rows.push((sessions.look(job, Some(key), None).await?, None));
        failure = None;
    }
    let (rows, intents): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    report(printer, &rows)?;
    settle(&log, rows.iter().zip(intents.iter().flatten()), forget, printer);
    match failure {
        Some(failure) => Err(failure),
        None => Ok(exit(&rows, printer)),
    }
}

/// Writes down what was found. What cannot be written down is listed again.
fn settle<'a>(
    log: &StartLog,
    found: impl Iterator<Item = (&'a StartRow, &'a Intent)>,
    forget: bool,
    printer: &Printer,
) {
    for (row, intent) in found {
        let settled = match &row.execution {
            Some(execution) => Settled::Started(execution.clone()),
            None if forget => Settled::Forgotten,
            None => continue,
        };
        if let Err(error) = log.settle(intent, settled) {
            printer.line(&format!("warning: what was found will be listed again: {error}"));
            return;
        }
    }
}

fn report(printer: &Printer, rows: &[StartRow]) -> Result<(), Failure> {
    let lines: Vec<_> = rows.iter().map(StartRow::line).collect();
    let written = match printer.format() {
        Format::Json => printer.json_or_error(&rows),
        Format::Text if rows.is_empty() => return Ok(()),
        Format::Text => printer.text_or_error(&lines.join("\n")),
    };
    written.map_err(|error| {
        lines.iter().for_each(|line| printer.line(line));
        Failure::new(Exit::StoppedWaiting, format!("could not write the result: {error}"))
    })
}

/// What is still open, in words and as a status.
fn exit(rows: &[StartRow], printer: &Printer) -> Exit {
    if rows.is_empty() && printer.format() == Format::Text {
        printer.note("note: the start log has no start of unknown end");
    }
    for duplicate in rows.iter().flat_map(|row| &row.duplicates) {
        printer.line(&format!("warning: {duplicate} has the same start key"));
    }
    let open = |state: State| rows.iter().any(|row| row.state == state);
    if open(State::NotSeen) {
        printer.note("note: NOT_SEEN is no proof: the start may still be on its way; ask again before starting again");
    }
    if open(State::NoKey) {
        printer.note("note: NO_KEY was started without --start-key: compare its time with `runjob executions list`");
    }
    if open(State::NotSeen) || open(State::NoKey) { Exit::StartUnknown } else { Exit::Done }
}

impl StartRow {
    /// One line for people: the state first, and of a start the execution.
    fn line(&self) -> String {
        let word = match self.state {
            State::Started => "STARTED",
            State::NotSeen => "NOT_SEEN",
            State::NoKey => "NO_KEY",
        };
        let (what, key) = (self.execution.as_ref().unwrap_or(&self.job), self.key.as_deref().unwrap_or(NOTHING));
        format!("{word} {what} key={key} time={}", self.time.as_deref().unwrap_or(NOTHING))
    }
}

/// A connection to each region that is asked, opened when it is.
struct Sessions<'a> {
    context: &'a Context<'a>,
    printer: &'a Printer,
    open: BTreeMap<Location, Session>,
}

impl Sessions<'_> {
    async fn look(&mut self, job: &JobName, key: Option<&StartKey>, time: Option<String>) -> Result<StartRow, Failure> {
        let row = StartRow {
            state: State::NoKey,
            job: job.to_string(),
            key: key.map(ToString::to_string),
            time,
            execution: None,
            duplicates: Vec::new(),
        };
        let Some(key) = key else { return Ok(row) };
        let location = job.location();
        if !self.open.contains_key(location) {
            let session = Session::open(self.context, location, self.printer).await?;
            self.open.insert(location.clone(), session);
        }
        let found = match self.open.get(location) {
            Some(session) => session.client.find_start(job, key).await?,
            None => None,
        };
        Ok(match found {
            Some(run) => StartRow {
                state: State::Started,
                execution: Some(run.execution().to_string()),
                duplicates: run.duplicates().iter().map(ToString::to_string).collect(),
                ..row
            },
            None => StartRow { state: State::NotSeen, ..row },
        })
    }
}
