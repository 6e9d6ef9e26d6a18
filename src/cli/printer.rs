//! The one place that writes: results, and beside text results what the tasks write, to stdout; all else to stderr.
//!
//! Knows streams, formats and terminals, and no command. Text from elsewhere is made safe here; a closed pipe is a
//! quiet end, not an error.

mod progress;
mod safe;

use std::io::{self, IsTerminal, Write};

use comfy_table::{Table, presets};
use indicatif::ProgressBar;
use serde::Serialize;

pub(super) use self::progress::Progress;
use super::{args::Format, exit::Exit, failure::Failure, report::Report};

/// Writes what a command has to say.
#[derive(Debug, Clone)]
pub(super) struct Printer {
    format: Format,
    /// The live line, hidden unless a [`Progress`] shows it; other lines must go above it.
    live: ProgressBar,
}

impl Printer {
    /// A printer of results in this format.
    pub(super) fn new(format: Format) -> Self {
        Self { format, live: ProgressBar::hidden() }
    }

    /// The format of results.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Writes what is known of an execution to stdout.
    pub(super) fn report(&self, report: &Report) -> Result<(), Failure> {
        match self.format {
            Format::Text => self.text(&report.to_string()),
            Format::Json => self.json(report),
        }
    }

    /// Writes lines of a result to stdout, at once.
    pub(super) fn text(&self, text: &str) -> Result<(), Failure> {
        self.result(&safe::text(text))
    }

    /// Writes a result to stdout as JSON.
    pub(super) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value).map_err(|error| unwritten(&error.into()))?;
        self.result(&safe::json(&text))
    }

    /// Writes a result to stdout as columns under a header, aligned and without lines.
    pub(super) fn table(&self, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<(), Failure> {
        let mut table = Table::new();
        table.set_header(header.iter().copied());
        for row in rows {
            table.add_row(row.iter().map(|cell| safe::text(cell)));
        }
        self.columns(table)
    }

    /// Writes a result to stdout as names with their values.
    pub(super) fn pairs(&self, pairs: Vec<[String; 2]>) -> Result<(), Failure> {
        let mut table = Table::new();
        for pair in pairs {
            table.add_row(pair.iter().map(|cell| safe::text(cell)));
        }
        self.columns(table)
    }

    /// Writes a line to stderr. A stderr that cannot be written to is nobody's concern.
    pub(super) fn note(&self, line: &str) {
        let line = safe::text(line);
        self.live.suspend(|| _ = writeln!(io::stderr().lock(), "{line}"));
    }

    /// Writes a line that a task has written: to stdout where people read it, to stderr beside JSON. A stdout that
    /// cannot be written to is told when the result is.
    pub(super) fn passed_on(&self, line: &str) {
        match self.format {
            Format::Text => _ = self.text(line),
            Format::Json => self.note(line),
        }
    }

    /// Writes a failure to stderr: what was being done, why it did not work, and the way out.
    pub(super) fn failure(&self, failure: &Failure) {
        self.note(&format!("error: {}", failure.message()));
        if let Some(hint) = failure.way_out() {
            self.note(&format!("hint: {hint}"));
        }
    }

    fn columns(&self, mut table: Table) -> Result<(), Failure> {
        table.load_style(presets::NOTHING);
        let mut index = 0;
        while let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            index += 1;
        }
        self.result(&table.trim_fmt())
    }

    fn result(&self, text: &str) -> Result<(), Failure> {
        let write = || {
            let mut stdout = io::stdout().lock();
            writeln!(stdout, "{text}")?;
            stdout.flush()
        };
        match self.live.suspend(write) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritten(&error)),
            _ => Ok(()),
        }
    }
}

/// Whether somebody watches stderr.
fn watched() -> bool {
    io::stderr().is_terminal()
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::new(Exit::Other, format!("could not write the result: {error}"))
}
