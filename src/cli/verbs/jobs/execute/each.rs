//! `runjob execute --each`: one start per line of a file, at a limited rate, each with its own start key.
//!
//! The job's executions are searched once for the keys of all lines. What carries one is taken as started, and the rest is
//! started, so that the same command again starts what is missing.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use tokio::{sync::watch, time::sleep_until};

use super::{
    lines::{self, EachLine},
    note::Note,
    request,
    secrets::SecretVariables,
};
use crate::{
    Error, ErrorKind, JobName, Run, StartKey, StartRate,
    bulk::Pacer,
    cli::{
        exit::Exit,
        failure::Failure,
        flags::global::Format,
        interrupt::Interrupt,
        printer::{Printer, ProgressLine},
        session::Session,
        start_log::{Settled, StartLog},
    },
    proto::run::v2::{Execution, RunJobRequest, env_var},
};

/// How far the search goes back from the job's newest execution, in seconds: as that of a single key.
const LOOK_BACK: i64 = 7 * 24 * 3600;

/// The starts of a file.
#[derive(Debug)]
pub(super) struct LineStarts {
    job: JobName,
    lines: Vec<Keyed>,
    rate: StartRate,
    log: Option<StartLog>,
}

/// A line, and the key that its start is found by.
#[derive(Debug)]
struct Keyed {
    line: EachLine,
    key: StartKey,
}

/// What became of a line, as it is printed in JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LineReport {
    line: usize,
    key: String,
    outcome: LineOutcome,
    execution: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip)]
    exit: Exit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum LineOutcome {
    Started,
    /// It was started by an earlier run of the command.
    Found,
    NotStarted,
    Unknown,
}

impl LineStarts {
    /// The starts of these lines, named after the key of the whole.
    pub(super) fn new(
        job: JobName,
        lines: Vec<EachLine>,
        key: &StartKey,
        rate: StartRate,
        log: Option<StartLog>,
    ) -> Result<Self, Failure> {
        let keyed = |line: EachLine| {
            let key = format!("{key}/{}", line.number).parse().map_err(Failure::from)?;
            Ok::<_, Failure>(Keyed { line, key })
        };
        Ok(Self { job, lines: lines.into_iter().map(keyed).collect::<Result<_, _>>()?, rate, log })
    }

    pub(super) fn job(&self) -> &JobName {
        &self.job
    }

    /// The request of each line, of which all must be good.
    pub(super) async fn requests(&self, path: &str) -> Result<Vec<RunJobRequest>, Failure> {
        let client = request::undialed().await?;
        let of = |Keyed { line, key }: &Keyed| {
            let start = request::builder(&client, &self.job, line.overrides.clone(), Some(key));
            start.request().map_err(|error| lines::bad_line(path, line.number, &error.to_string()))
        };
        self.lines.iter().map(of).collect()
    }

    /// Starts what has not been started yet of the lines of this file.
    pub(super) async fn start(self, path: &str, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let mut interrupt = Interrupt::listen()?;
        let reports = tokio::select! {
            found = async {
                self.check(path, session).await?;
                self.find(session).await
            } => found?,
            () = interrupt.next() => return Err(Failure::new(Exit::Interrupted, "interrupted: nothing was started")),
        };
        self.settle_found(&reports);
        let found = reports.len();
        let mut reports = reports.into_iter().map(|report| report.told(printer)).collect();
        let was_stopped = self.start_missing(session, printer, &mut interrupt, &mut reports).await;
        reports.sort_by_key(|report| report.line);
        let exit = if was_stopped { Exit::Interrupted } else { exit(&reports) };
        let started = reports.iter().filter(|report| report.outcome == LineOutcome::Started).count();
        printer.note(&format!("note: {} lines: {started} started, {found} found", self.lines.len()));
        if started + found < self.lines.len() {
            printer.note("note: the same command with the same --start-key starts what is missing");
        }
        if printer.format() == Format::Json && printer.json_or_error(&reports).is_err() {
            reports.iter().filter_map(|report| report.execution.as_ref()).for_each(|name| printer.line(name));
            return Ok(Exit::StoppedWaiting);
        }
        Ok(exit)
    }

    /// Refuses to give as text what is a secret in the job.
    async fn check(&self, path: &str, session: &Session) -> Result<(), Failure> {
        let lines = || self.lines.iter().map(|keyed| &keyed.line);
        let secrets = SecretVariables::of(&session.client, &self.job, lines().map(|line| &line.overrides)).await;
        let refused = lines().find_map(|line| Some((line.number, secrets.refused(&line.overrides)?)));
        match refused {
            Some((number, (what, way_out))) => Err(lines::bad_line(path, number, &what).hint(way_out)),
            None => Ok(()),
        }
    }

    /// The lines that are started already, by one reading of the job's executions.
    async fn find(&self, session: &Session) -> Result<Vec<LineReport>, Failure> {
        let mut wanted: HashMap<&str, &Keyed> = self.lines.iter().map(|keyed| (keyed.key.as_str(), keyed)).collect();
        let mut executions = session.client.executions(&self.job);
        let (mut found, mut newest) = (Vec::new(), None);
        while !wanted.is_empty()
            && let Some(execution) = executions.try_next().await.map_err(unlooked)?
        {
            let created = execution.create_time.map_or(0, |time| time.seconds);
            if created < newest.get_or_insert(created).saturating_sub(LOOK_BACK) {
                break;
            }
            if let Some(keyed) = key_of(&execution).and_then(|key| wanted.remove(key)) {
                found.push(keyed.report(LineOutcome::Found, Some(execution.name.clone()), Exit::Done));
            }
        }
        Ok(found)
    }

    /// Starts the lines without a report, and adds their reports. Gives whether a signal has stopped it: what is sent then
    /// is still waited for, until a second signal.
    async fn start_missing(
        &self,
        session: &Session,
        printer: &Printer,
        interrupt: &mut Interrupt,
        reports: &mut Vec<LineReport>,
    ) -> bool {
        let starter = Starter::new(session, printer, self);
        let done: HashSet<usize> = reports.iter().map(|report| report.line).collect();
        let missing = self.lines.iter().filter(|keyed| !done.contains(&keyed.line.number));
        let starts = missing.map(|keyed| starter.start(keyed)).collect::<Vec<_>>();
        let mut starts = stream::iter(starts).buffer_unordered(self.rate.in_flight.max(1));
        let mut line = ProgressLine::begin(printer, self.job.id());
        let mut was_interrupted = false;
        loop {
            tokio::select! {
                biased;
                next = starts.next() => match next {
                    Some(report) => {
                        reports.extend(report.map(|report| starter.ended(report)));
                        line.keep(format!("{}: {} of {} lines", self.job.id(), reports.len(), self.lines.len()));
                    }
                    None => return was_interrupted,
                },
                () = interrupt.next() => {
                    if was_interrupted {
                        return true;
                    }
                    was_interrupted = true;
                    starter.stop.send_replace(true);
                    printer.note("note: stopping; what is being sent is waited for");
                }
                () = sleep_until(line.next_heartbeat()) => line.heartbeat(),
            }
        }
    }

    /// Writes down what was found, so that `runjob recover` does not ask for it again.
    fn settle_found(&self, found: &[LineReport]) {
        let Some(log) = self.log.as_ref().filter(|_| !found.is_empty()) else { return };
        let found: HashMap<&str, &LineReport> = found.iter().map(|report| (report.key.as_str(), report)).collect();
        for intent in log.pending().unwrap_or_default() {
            let (job, key) = (intent.job(), intent.key());
            let report =
                key.as_ref().filter(|_| job.as_ref() == Some(&self.job)).and_then(|key| found.get(key.as_str()));
            if let Some(execution) = report.and_then(|report| report.execution.clone()) {
                // What cannot be written down is asked for once more.
                _ = log.settle(&intent, Settled::Started(execution));
            }
        }
    }
}

/// What the starts have in common.
struct Starter<'a> {
    session: &'a Session,
    printer: &'a Printer,
    batch: &'a LineStarts,
    pacer: Pacer,
    /// Whether the user was warned that the start log cannot be written.
    has_warned: AtomicBool,
    /// Whether no more is to be sent.
    stop: watch::Sender<bool>,
}

impl<'a> Starter<'a> {
    fn new(session: &'a Session, printer: &'a Printer, batch: &'a LineStarts) -> Self {
        let pacer = Pacer::new(batch.rate);
        Self { session, printer, batch, pacer, has_warned: AtomicBool::new(false), stop: watch::Sender::new(false) }
    }

    /// Says what became of a line, and stops where no other can fare better.
    fn ended(&self, report: LineReport) -> LineReport {
        if matches!(report.exit, Exit::Denied | Exit::Conflict) {
            self.stop.send_replace(true);
        }
        report.told(self.printer)
    }

    /// Starts a line when its turn comes, or returns `None` if the run was stopped before.
    async fn start(&self, keyed: &Keyed) -> Option<LineReport> {
        let mut stopped = self.stop.subscribe();
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return None,
            () = self.pacer.turn() => {}
        }
        let Keyed { line, key } = keyed;
        let job = &self.batch.job;
        let note = match &self.batch.log {
            Some(log) => Note::write(log.clone(), job, Some(key)).await.map(Some),
            None => Ok(None),
        };
        let note = note.unwrap_or_else(|error| {
            if !self.has_warned.swap(true, Ordering::Relaxed) {
                super::note::unwritten(&error, self.printer);
            }
            None
        });
        let builder = request::builder(&self.session.client, job, line.overrides.clone(), Some(key));
        let started = builder.start_searched().await;
        self.pacer.answered(&started);
        if let Some(note) = note {
            note.settle(&started, self.printer).await;
        }
        Some(keyed.ended(started))
    }
}

impl Keyed {
    fn report(&self, outcome: LineOutcome, execution: Option<String>, exit: Exit) -> LineReport {
        LineReport { line: self.line.number, key: self.key.to_string(), outcome, execution, error: None, exit }
    }

    fn ended(&self, started: crate::Result<Run>) -> LineReport {
        match started {
            Ok(run) => self.report(LineOutcome::Started, Some(run.execution().to_string()), Exit::Done),
            Err(error) => {
                let is_open = error.kind() == ErrorKind::StartUnknown;
                let outcome = if is_open { LineOutcome::Unknown } else { LineOutcome::NotStarted };
                let failure = Failure::from(error);
                LineReport { error: Some(failure.message().to_owned()), ..self.report(outcome, None, failure.exit()) }
            }
        }
    }
}

impl LineReport {
    /// Says what became of the line: the name for stdout, and for stderr where stdout takes nothing; a failure for stderr.
    fn told(self, printer: &Printer) -> Self {
        match (&self.execution, &self.error) {
            (Some(execution), _) if printer.format() == Format::Text && printer.text_or_error(execution).is_err() => {
                printer.line(execution);
                return Self { exit: Exit::StoppedWaiting, ..self };
            }
            (None, Some(error)) => {
                printer.failure(&Failure::new(self.exit, format!("line {}: {error}", self.line)));
            }
            _ => {}
        }
        self
    }
}

/// What is unknown first, because it alone may run; then the first that failed.
fn exit(reports: &[LineReport]) -> Exit {
    let failed = || reports.iter().map(|report| report.exit).find(|exit| *exit != Exit::Done);
    let unknown = reports.iter().any(|report| report.outcome == LineOutcome::Unknown);
    if unknown { Exit::StartUnknown } else { failed().unwrap_or(Exit::Done) }
}

/// The key that an execution was started with.
fn key_of(execution: &Execution) -> Option<&str> {
    let containers = execution.template.iter().flat_map(|template| &template.containers);
    containers.flat_map(|container| &container.env).find_map(|variable| match &variable.values {
        Some(env_var::Values::Value(value)) if variable.name == StartKey::VARIABLE => Some(value.as_str()),
        _ => None,
    })
}

fn unlooked(error: Error) -> Failure {
    let failure = Failure::from(error);
    let exit = if failure.exit() == Exit::Other { Exit::NotStarted } else { failure.exit() };
    Failure::new(
        exit,
        format!("could not look for what was started already, and nothing was sent: {}", failure.message()),
    )
}
