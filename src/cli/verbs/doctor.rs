//! `runjob doctor`: whether a start with overrides and a wait would work from here, and if not, what is in the way.
//!
//! Takes the steps of a call one by one, as `checks` lists them, and starts nothing. Here is how they are reported, and the
//! status that they end with.

mod checks;
mod permissions;

use std::time::{Duration, Instant};

use serde::Serialize;

use self::checks::{CHECKS, Patient};
use crate::cli::{
    context::Context, exit::Exit, failure::Failure, flags::global::Format, printer::Printer, show::view::NOTHING,
};

/// `runjob doctor`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Doctor {
    /// Job whose permissions to check: its id or its full name. The default is the newest job of the project and region.
    job: Option<String>,
}

/// What a check has found.
enum Finding {
    /// It is as it should be.
    Good(String),
    /// There is nothing to check: what it is about is not used.
    Unused(String),
    /// Something is missing that a start and a wait can do without; the second text says how they do.
    Limited(String, String),
    /// Nothing works until this is mended.
    Failed(Failure),
    /// A check before it has failed.
    Skipped,
}

impl Finding {
    fn of(outcome: Result<String, impl Into<Failure>>) -> Self {
        match outcome {
            Ok(detail) => Self::Good(detail),
            Err(failure) => Self::Failed(failure.into()),
        }
    }
}

/// A check and what it has found, as it is reported.
#[derive(Serialize)]
struct CheckRow {
    check: &'static str,
    result: &'static str,
    detail: String,
    hint: Option<String>,
    /// How long it took, where it has called somebody.
    millis: Option<u64>,
}

/// All that was found.
#[derive(Serialize)]
struct Findings {
    /// Whether a start with overrides and a wait would work.
    works: bool,
    checks: Vec<CheckRow>,
}

/// Makes all checks, and ends with the status of the first that failed.
pub(in crate::cli) async fn run(typed: Doctor, context: &Context<'_>, printer: &Printer) -> Result<Exit, Failure> {
    let mut patient = Patient::new(context, printer, typed.job);
    let (mut rows, mut exit) = (Vec::new(), Exit::Done);
    for check in CHECKS {
        let began = Instant::now();
        let finding = (check.examine)(&mut patient).await;
        let took = check.calls.then(|| began.elapsed());
        if let (Finding::Failed(failure), Exit::Done) = (&finding, exit) {
            exit = failure.exit();
        }
        rows.push(CheckRow::new(check.name, finding, took));
    }
    patient.discharge().await?;
    let report = Findings { works: exit == Exit::Done, checks: rows };
    match printer.format() {
        Format::Json => printer.json(&report)?,
        Format::Text => printer.text(&report.text())?,
    }
    Ok(exit)
}

impl CheckRow {
    fn new(check: &'static str, finding: Finding, took: Option<Duration>) -> Self {
        let has_called = matches!(finding, Finding::Good(_) | Finding::Failed(_));
        let (result, detail, hint) = match finding {
            Finding::Good(detail) => ("ok", detail, None),
            Finding::Unused(detail) => ("unused", detail, None),
            Finding::Limited(detail, hint) => ("limited", detail, Some(hint)),
            Finding::Failed(failure) => ("failed", failure.message().to_owned(), failure.way_out().map(str::to_owned)),
            Finding::Skipped => ("skipped", NOTHING.to_owned(), None),
        };
        let millis = took.filter(|_| has_called).map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        Self { check, result, detail, hint, millis }
    }
}

impl Findings {
    /// A line for each check, and one for each hint.
    fn text(&self) -> String {
        let mut text = String::new();
        for CheckRow { check, result, detail, hint, millis } in &self.checks {
            let time = millis.map_or_else(String::new, |millis| format!(" ({millis} ms)"));
            text += &format!("{result:<8} {check:<12} {detail}{time}\n");
            if let Some(hint) = hint {
                text += &format!("{:<8} {:<12} {hint}\n", "", "");
            }
        }
        text += match self.works {
            true => "a start with overrides and a wait would work",
            false => "a start with overrides and a wait would not work",
        };
        text
    }
}
