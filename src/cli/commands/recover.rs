//! `runjob recover`: what became of starts that were sent and never answered.
//!
//! Asks about each by its key. One that is not seen stays in the journal: it may show later.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    JobName, Location, StartKey,
    cli::{
        args::Format,
        config::{Recover, Target},
        exit::Exit,
        failure::Failure,
        journal::{Intent, Journal, Settled},
        printer::Printer,
        session::Session,
        view::NOTHING,
    },
};

/// One start, and what is known of it.
#[derive(Debug, Serialize)]
struct Row {
    state: State,
    job: String,
    key: Option<String>,
    /// When it was about to be sent; nothing for one that the journal does not know.
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

/// Looks for the starts that are wanted.
pub(super) async fn run(target: &Target, recover: Recover, printer: &Printer) -> Result<Exit, Failure> {
    let Recover { job, key, forget, journal } = recover;
    let is_wanted = |intent: &Intent| {
        job.as_ref().is_none_or(|job| intent.job().as_ref() == Some(job))
            && key.as_ref().is_none_or(|key| intent.key().as_ref() == Some(key))
    };
    let pending: Vec<_> = pending(&journal, printer)?.into_iter().filter(is_wanted).collect();
    let mut sessions = Sessions { target, printer, open: BTreeMap::new() };
    let mut rows = Vec::new();
    for intent in &pending {
        let Some(job) = intent.job() else { continue };
        let row = sessions.look(&job, intent.key().as_ref(), Some(intent.time.clone())).await?;
        settle(&journal, intent, &row, forget)?;
        rows.push(row);
    }
    // A key can be asked about that this machine's journal does not know, or no longer.
    if let (true, Some(job), Some(key)) = (rows.is_empty(), &job, &key) {
        rows.push(sessions.look(job, Some(key), None).await?);
    }
    report(printer, &rows)
}

/// The journal's open starts. A machine without a journal has none.
fn pending(journal: &Journal, printer: &Printer) -> Result<Vec<Intent>, Failure> {
    journal.pending().or_else(|error| {
        printer.note(&format!("warning: the journal of starts cannot be read: {error}"));
        Ok(Vec::new())
    })
}

fn settle(journal: &Journal, intent: &Intent, row: &Row, forget: bool) -> Result<(), Failure> {
    match &row.execution {
        Some(execution) => Ok(journal.settle(intent, Settled::Started(execution.clone()))?),
        None if forget => Ok(journal.settle(intent, Settled::Forgotten)?),
        None => Ok(()),
    }
}

fn report(printer: &Printer, rows: &[Row]) -> Result<Exit, Failure> {
    match printer.format() {
        Format::Json => printer.json(&rows)?,
        Format::Text if rows.is_empty() => printer.note("note: the journal has no start of unknown end"),
        Format::Text => {
            for row in rows {
                printer.text(&row.line())?;
            }
        }
    }
    for row in rows {
        for duplicate in &row.duplicates {
            printer.note(&format!("warning: {duplicate} has the same start key"));
        }
    }
    let open = |state: State| rows.iter().any(|row| row.state == state);
    if open(State::NotSeen) {
        printer.note("note: NOT_SEEN is no proof: the start may still be on its way; ask again before starting again");
    }
    if open(State::NoKey) {
        printer.note("note: NO_KEY was started without --start-key: compare its time with `runjob executions list`");
    }
    Ok(if open(State::NotSeen) || open(State::NoKey) { Exit::StartUnknown } else { Exit::Done })
}

impl Row {
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
    target: &'a Target,
    printer: &'a Printer,
    open: BTreeMap<Location, Session>,
}

impl Sessions<'_> {
    async fn look(&mut self, job: &JobName, key: Option<&StartKey>, time: Option<String>) -> Result<Row, Failure> {
        let row = Row {
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
            let session = Session::open(self.target, location, self.printer).await?;
            self.open.insert(location.clone(), session);
        }
        let found = match self.open.get(location) {
            Some(session) => session.client.find_start(job, key).await?,
            None => None,
        };
        Ok(match found {
            Some(run) => Row {
                state: State::Started,
                execution: Some(run.execution().to_string()),
                duplicates: run.duplicates().iter().map(ToString::to_string).collect(),
                ..row
            },
            None => Row { state: State::NotSeen, ..row },
        })
    }
}
