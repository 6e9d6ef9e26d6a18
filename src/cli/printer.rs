//! The one place that writes: results, and beside text results what the tasks write, to stdout; all else to stderr.
//!
//! Knows streams, formats and terminals, and no command. Text from elsewhere is made safe here; a closed pipe is a
//! quiet end, not an error.

mod bar;
mod live_line;
mod progress;

use std::{
    fmt::{self, Debug, Formatter},
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
};

use comfy_table::{Table, presets};
use indicatif::ProgressBar;
use serde::Serialize;
use terminal_size::terminal_size_of;

pub(super) use self::{bar::Bar, progress::ProgressLine};
use super::{
    exit::Exit,
    failure::Failure,
    flags::global::{Format, Notation},
    github::ActionsRunner,
    show::{event::Event, report::Report, safe, yaml},
};
use crate::{ExecutionName, Progress};

/// Writes what a command has to say.
#[derive(Debug, Clone)]
pub(super) struct Printer {
    format: Format,
    /// Whether what is for programs is written as YAML.
    is_yaml: bool,
    stdout: LineWriter,
    stderr: LineWriter,
    /// How wide stdout is, where that is a terminal.
    width: Option<usize>,
    /// Whether only results, warnings and errors are written.
    is_quiet: bool,
    /// Whether stderr is a terminal.
    is_watched: bool,
    /// Whether changes are written as they come, in lines of JSON.
    has_events: bool,
    runner: ActionsRunner,
    /// The live line, hidden unless a [`ProgressLine`] shows it; other lines must go above it.
    live: ProgressBar,
}

impl Printer {
    /// A printer of results in this notation, and of notes beside them unless it is to be quiet. The runner is shown
    /// every report.
    pub(super) fn new(notation: Notation, is_quiet: bool, runner: ActionsRunner) -> Self {
        Self {
            is_yaml: notation == Notation::Yaml,
            is_quiet,
            runner,
            width: width_of(io::stdout()),
            is_watched: io::stderr().is_terminal(),
            ..Self::over(notation.format(), LineWriter::new(io::stdout()), LineWriter::new(io::stderr()))
        }
    }

    /// A printer to other streams, of which none is a terminal.
    fn over(format: Format, stdout: LineWriter, stderr: LineWriter) -> Self {
        let (runner, live) = (ActionsRunner::default(), ProgressBar::hidden());
        let (is_yaml, is_quiet, is_watched, has_events) = (false, false, false, false);
        Self { format, is_yaml, stdout, stderr, width: None, is_quiet, is_watched, has_events, runner, live }
    }

    /// For whom results are.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Whether a line on a terminal shows how far something is.
    pub(super) fn shows_progress(&self) -> bool {
        self.is_watched && !self.is_quiet
    }

    /// The same printer, whose JSON is lines of events: each change, then the report.
    pub(super) fn with_events(&self) -> Self {
        Self { has_events: self.format == Format::Json, ..self.clone() }
    }

    /// Writes how far an execution is, where events are wanted. That stdout cannot be written to is reported with the
    /// report.
    pub(super) fn progress(&self, execution: &ExecutionName, now: &Progress) {
        if self.has_events {
            _ = self.line_or_error(&Event::progress(execution, now));
        }
    }

    /// Writes what is known of an execution to stdout, and to stderr where stdout takes nothing: the name of what was
    /// started always reaches the user. Gives the status to end with, which is this one unless the result did not arrive.
    pub(super) fn report(&self, report: &Report, exit: Exit) -> Exit {
        self.tell_runner(&[report]);
        self.part(report, exit)
    }

    /// Writes what is known of one execution of several, before [`reports`](Self::reports).
    pub(super) fn part(&self, report: &Report, exit: Exit) -> Exit {
        let text = match self.format {
            Format::Text => report.to_string(),
            Format::Json if self.has_events => compact(&Event::Report(report)).unwrap_or_else(|_| report.to_string()),
            Format::Json => self.encoded(report).unwrap_or_else(|_| report.to_string()),
        };
        self.outcome(&text, report.is_finished(), exit)
    }

    /// Writes what is known of several executions as one list, which text has in parts already.
    pub(super) fn reports(&self, reports: &[&Report], exit: Exit) -> Exit {
        self.tell_runner(reports);
        let lines = || reports.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let text = match self.format {
            Format::Text => return exit,
            Format::Json if self.has_events => compact(&Event::reports(reports)).unwrap_or_else(|_| lines()),
            Format::Json => self.encoded(&reports).unwrap_or_else(|_| lines()),
        };
        self.outcome(&text, reports.iter().all(|report| report.is_finished()), exit)
    }

    /// Tells GitHub Actions, where that runs this. It is no part of the result.
    fn tell_runner(&self, reports: &[&Report]) {
        let reports: Vec<_> = reports.iter().filter_map(|report| serde_json::to_value(report).ok()).collect();
        match self.runner.tell(&reports) {
            Ok(lines) => lines.iter().for_each(|line| self.line(line)),
            Err(error) => self.line(&format!("warning: GitHub Actions was not told: {error}")),
        }
    }

    fn outcome(&self, text: &str, is_finished: bool, exit: Exit) -> Exit {
        let Err(error) = self.text_or_error(text) else { return exit };
        self.live.suspend(|| _ = self.stderr.line(&safe::text(text)));
        let is_closed = error.kind() == io::ErrorKind::BrokenPipe;
        if !is_closed {
            self.failure(&unwritten(&error));
        }
        // A reader that has left misses nothing: the status tells the outcome.
        if is_closed && is_finished { exit } else { Exit::StoppedWaiting }
    }

    /// Writes a result to stdout as one line of JSON.
    pub(super) fn line_or_error(&self, value: &impl Serialize) -> io::Result<()> {
        self.text_or_error(&compact(value)?)
    }

    /// Writes lines of a result to stdout, at once.
    pub(super) fn text(&self, text: &str) -> Result<(), Failure> {
        unless_closed(self.text_or_error(text))
    }

    /// Writes a result to stdout as JSON, or in YAML where that was asked for.
    pub(super) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        unless_closed(self.json_or_error(value))
    }

    /// As [`text`](Self::text), where a closed pipe matters as well.
    pub(super) fn text_or_error(&self, text: &str) -> io::Result<()> {
        self.live.suspend(|| self.stdout.line(&safe::text(text)))
    }

    /// As [`json`](Self::json), where a closed pipe matters as well.
    pub(super) fn json_or_error(&self, value: &impl Serialize) -> io::Result<()> {
        self.text_or_error(&self.encoded(value)?)
    }

    /// Writes a result to stdout as columns under a header, aligned and without lines; or each row by itself, as names with
    /// their values, where the columns are wider than the terminal: broken lines are no columns.
    pub(super) fn table(&self, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<(), Failure> {
        let rows: Vec<Vec<_>> = rows.into_iter().map(safe_cells).collect();
        let mut table = Table::new();
        table.set_header(header.iter().copied());
        table.add_rows(&rows);
        let text = aligned(table);
        if self.width.is_none_or(|width| text.lines().all(|line| line.chars().count() <= width)) {
            return self.text(&text);
        }
        let records: Vec<_> = rows.into_iter().map(|row| aligned(record(header, row))).collect();
        self.text(&records.join("\n\n"))
    }

    /// Writes a result to stdout as names with their values.
    pub(super) fn pairs(&self, pairs: Vec<[String; 2]>) -> Result<(), Failure> {
        let mut table = Table::new();
        table.add_rows(pairs.into_iter().map(safe_cells));
        self.text(&aligned(table))
    }

    /// Writes a note to stderr: one line that a quiet printer leaves out.
    pub(super) fn note(&self, line: &str) {
        if !self.is_quiet {
            self.line(line);
        }
    }

    /// Writes one line to stderr. That stderr cannot be written to is ignored: there is no other place to say it.
    pub(super) fn line(&self, line: &str) {
        self.live.suspend(|| _ = self.stderr.line(&safe::line(line)));
    }

    /// Asks a person whether to go on, where one is there to answer: on a terminal, unless it is to be quiet.
    pub(super) fn confirm(&self, question: &str) -> Result<(), Failure> {
        if self.is_quiet || !self.is_watched || !io::stdin().is_terminal() {
            return Ok(());
        }
        self.line(&format!("{question} Type y to go on."));
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Failure::new(Exit::Interrupted, "nothing was deleted").hint("--quiet deletes without asking")),
        }
    }

    /// Writes a line that a task has written: to stdout in text, to stderr beside JSON. That stdout cannot be written to
    /// is reported with the result.
    pub(super) fn passed_on(&self, line: &str) {
        match self.format {
            Format::Text => _ = self.text(line),
            Format::Json => self.live.suspend(|| _ = self.stderr.line(&safe::text(line))),
        }
    }

    /// Writes a failure to stderr: what was being done, why it did not work, and the way out.
    pub(super) fn failure(&self, failure: &Failure) {
        if self.format == Format::Json
            && let Ok(line) = compact(failure)
        {
            return self.live.suspend(|| _ = self.stderr.line(&line));
        }
        self.line(&format!("error: {}", failure.message()));
        if let Some(hint) = failure.way_out() {
            self.line(&format!("hint: {hint}"));
        }
    }

    /// The value in the notation for programs.
    fn encoded(&self, value: &impl Serialize) -> io::Result<String> {
        if self.is_yaml { yaml::text(value) } else { Ok(pretty(value)?) }
    }
}

/// How many columns the terminal has that this stream is, if it is one and says.
pub(super) fn width_of(stream: impl AsFd) -> Option<usize> {
    terminal_size_of(stream).map(|(width, _)| usize::from(width.0)).filter(|width| *width > 0)
}

fn safe_cells(cells: impl IntoIterator<Item = String>) -> Vec<String> {
    cells.into_iter().map(|cell| safe::line(&cell).into_owned()).collect()
}

/// A row with the name of each cell before it.
fn record(header: &[&str], row: Vec<String>) -> Table {
    let mut table = Table::new();
    table.add_rows(header.iter().zip(row).map(|(name, cell)| [(*name).to_owned(), cell]));
    table
}

fn aligned(mut table: Table) -> String {
    table.load_style(presets::NOTHING);
    let mut index = 0;
    while let Some(column) = table.column_mut(index) {
        column.set_padding((0, 2));
        index += 1;
    }
    table.trim_fmt()
}

/// Somewhere to write lines to; clones write to the same.
#[derive(Clone)]
struct LineWriter(Arc<Mutex<dyn Write + Send>>);

impl LineWriter {
    fn new(stream: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(stream)))
    }

    /// Writes a line at once, so that no other process writes within it, and leaves none of it in a buffer.
    fn line(&self, text: &str) -> io::Result<()> {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stream.write_all(format!("{text}\n").as_bytes())?;
        stream.flush()
    }
}

impl Debug for LineWriter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineWriter").finish_non_exhaustive()
    }
}

fn compact(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(safe::json(&serde_json::to_string(value)?).into_owned())
}

fn pretty(value: &impl Serialize) -> serde_json::Result<String> {
    Ok(safe::json(&serde_json::to_string_pretty(value)?).into_owned())
}

fn unless_closed(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unwritten(&error)),
        _ => Ok(()),
    }
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::new(Exit::Other, format!("could not write the result: {error}"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A stream whose lines can be read back.
    #[derive(Clone, Default)]
    pub(in crate::cli) struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        pub(in crate::cli) fn lines(&self) -> Vec<String> {
            let bytes = self.0.lock().expect("nothing panics").clone();
            String::from_utf8(bytes).expect("Unicode").lines().map(str::to_owned).collect()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nothing panics").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A stream that cannot be written to.
    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    /// A printer, and what it writes to stderr.
    pub(in crate::cli) fn printer(stdout: impl Write + Send + 'static) -> (Printer, Written) {
        let stderr = Written::default();
        (Printer::over(Format::Text, LineWriter::new(stdout), LineWriter::new(stderr.clone())), stderr)
    }

    #[test]
    fn the_name_of_a_started_execution_goes_to_stderr_when_stdout_takes_nothing() {
        let report = Report::for_tests("projects/p/locations/r/jobs/j/executions/j-a");
        for (kind, lines) in [(io::ErrorKind::BrokenPipe, 1), (io::ErrorKind::StorageFull, 2)] {
            let (printer, stderr) = printer(Broken(kind));
            assert_eq!(printer.report(&report, Exit::Done), Exit::StoppedWaiting, "{kind}");
            assert_eq!((&stderr.lines()[0], stderr.lines().len()), (&report.to_string(), lines), "{kind}");
        }
    }

    #[test]
    fn a_quiet_printer_leaves_out_notes_and_no_warnings() {
        let (printer, stderr) = printer(io::sink());
        let quiet = Printer { is_quiet: true, ..printer };
        quiet.note("note: started");
        quiet.line("warning: twice");
        quiet.failure(&Failure::usage("no"));
        assert_eq!(stderr.lines(), ["warning: twice", "error: no"]);
    }

    #[test]
    fn what_a_server_says_is_one_line() {
        let (printer, stderr) = printer(io::sink());
        printer.failure(&Failure::usage("nope\nhint: run this").hint("no\u{2028}hint: that"));
        assert_eq!(stderr.lines(), ["error: nope hint: run this", "hint: no hint: that"]);
    }
}
