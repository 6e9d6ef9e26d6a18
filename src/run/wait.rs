//! One wait: which source is asked next, after which pause, and when it is over.
//!
//! There are two sources, the operation and the execution, and each may be wrong, slow or closed to the caller. The
//! first that proves the end ends the wait. One that refuses to answer leaves the wait to the other; the wait fails when
//! neither is left.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Finished, Run};
use crate::{
    error::{Error, ErrorKind, Result},
    operation::{Absence, LongPolls, Pace},
    outcome::Trouble,
};

/// While an operation says that it runs, the execution is asked as well, in case it knows better: first after this time,
/// so that most runs never pay for it, and then each time after twice as long.
const FIRST_CHECK: Duration = Duration::from_secs(60);
const LAST_CHECK: Duration = Duration::from_secs(15 * 60);

/// The holds of a wait that watches progress: a tenth of the time so far, within these bounds. News of a short run is a
/// second late, and an hour costs fewer than 300 requests.
const SHORTEST_HOLD: Duration = Duration::from_secs(1);
const LONGEST_HOLD: Duration = Duration::from_secs(15);

/// How often trouble is reported that lasts.
const REPORT: Duration = Duration::from_secs(60);

/// The state of one wait. It may be dropped at any time: what was learned is in the [`Run`].
#[derive(Debug)]
pub(super) struct Wait {
    began: Instant,
    watches_progress: bool,
    next: Source,
    pause: Option<Duration>,
    pace: Pace,
    polls: LongPolls,
    /// Whether the operation is asked at once after the execution: it was held, or is tried again after a failure. If not,
    /// it answers at once, and the two take turns.
    is_prompt: bool,
    refused: Refused,
    /// NOT_FOUND about the operation.
    lost: Absence,
    checked: Instant,
    check_after: Duration,
    trouble: Option<Ongoing>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Operation,
    Execution,
}

/// Which sources refuse to answer this caller.
#[derive(Debug, Default)]
struct Refused {
    operation: bool,
    execution: bool,
}

#[derive(Debug)]
struct Ongoing {
    since: Instant,
    report_at: Instant,
    error: Error,
}

impl Wait {
    /// A wait for the end alone.
    pub(super) fn for_end(run: &Run) -> Self {
        let now = Instant::now();
        Self {
            began: now,
            watches_progress: false,
            next: Source::Operation,
            pause: None,
            pace: Pace::default(),
            polls: LongPolls::new(&run.caller),
            is_prompt: false,
            refused: Refused::default(),
            lost: Absence::default(),
            checked: now,
            check_after: FIRST_CHECK,
            trouble: None,
        }
    }

    /// A wait for progress as well.
    pub(super) fn for_progress(run: &Run) -> Self {
        Self { watches_progress: true, ..Self::for_end(run) }
    }

    /// Asks one source once, after the pause that is due. Returns the end once it is proven.
    ///
    /// # Errors
    /// When there is no source left to ask.
    pub(super) async fn step(&mut self, run: &mut Run) -> Result<Option<Finished>> {
        if run.is_over() {
            return run.finish().await.map(Some);
        }
        if let Some(pause) = self.pause.take() {
            sleep(pause).await;
        }
        let source = self.source(run);
        let answer = match (source, &mut run.operation) {
            (Source::Operation, Some(operation)) => {
                if self.watches_progress {
                    self.polls.hold = (self.began.elapsed() / 10).clamp(SHORTEST_HOLD, LONGEST_HOLD);
                }
                operation.ask(&mut self.polls).await
            }
            _ => run.ask_execution().await.map(|()| false),
        };
        match answer {
            Ok(was_held) => {
                self.answered(run, source, was_held);
                Ok(None)
            }
            Err(error) => self.failed(run, source, error),
        }
    }

    /// Why the service has not answered, when it is time to report that.
    pub(super) fn trouble(&mut self) -> Option<Trouble> {
        let trouble = self.trouble.as_mut()?;
        let now = Instant::now();
        if now < trouble.report_at {
            return None;
        }
        trouble.report_at = now + REPORT;
        Some(Trouble { lasting: now - trouble.since, error: trouble.error.clone() })
    }

    /// The source to ask: the next one, or the other where that one has nothing to say.
    fn source(&self, run: &Run) -> Source {
        match self.next {
            Source::Operation if self.has_operation(run) => Source::Operation,
            Source::Execution if self.refused.execution && self.has_operation(run) => Source::Operation,
            _ => Source::Execution,
        }
    }

    fn has_operation(&self, run: &Run) -> bool {
        !self.refused.operation && run.operation.as_ref().is_some_and(|operation| !operation.is_done())
    }

    fn answered(&mut self, run: &mut Run, source: Source, was_held: bool) {
        self.trouble = None;
        match source {
            Source::Operation => {
                self.lost = Absence::default();
                self.is_prompt = was_held;
                run.accept_from_operation();
            }
            Source::Execution => self.checked = Instant::now(),
        }
        if !self.is_prompt || !self.has_operation(run) {
            // Never ask in a busy loop.
            self.next = source.other();
            self.pause = Some(self.pace.next(run.caller.random(), None));
            return;
        }
        self.next = Source::Operation;
        if source == Source::Operation {
            self.pace = Pace::default();
            self.check(run);
        }
    }

    /// Has the execution asked next, when that is due.
    fn check(&mut self, run: &Run) {
        let is_due = run.missing.is_suspected() || self.checked.elapsed() >= self.check_after;
        if is_due && !self.refused.execution {
            self.next = Source::Execution;
            self.check_after = (self.check_after * 2).min(LAST_CHECK);
        }
    }

    /// Takes note of a failure. It ends the wait where it proves that the execution is gone, or that waiting is pointless.
    fn failed(&mut self, run: &mut Run, source: Source, error: Error) -> Result<Option<Finished>> {
        let advice = error.retry_after();
        self.is_prompt = false;
        match (error.kind(), source) {
            (ErrorKind::NotFound, Source::Operation) => {
                // Operations expire; the execution shows the same.
                if self.lost.is_proven() {
                    run.operation = None;
                }
            }
            (ErrorKind::NotFound, Source::Execution) => {
                if run.missing.is_proven() {
                    return run.gone(error).map(Some);
                }
            }
            _ if run.caller.rides_out(&error) => {
                self.is_prompt = source == Source::Operation;
                self.note(run, error);
            }
            _ if error.is_from_peer() && self.refuse(run, source) => {}
            _ => return Err(error),
        }
        self.next = source.other();
        self.pause = Some(self.pace.next(run.caller.random(), advice));
        Ok(None)
    }

    /// Leaves the wait to the other source, if there is another.
    fn refuse(&mut self, run: &Run, source: Source) -> bool {
        match source {
            Source::Operation => {
                self.refused.operation = true;
                !self.refused.execution
            }
            Source::Execution => {
                self.refused.execution = true;
                self.has_operation(run)
            }
        }
    }

    /// Notes trouble, to be reported when it has lasted: at once where the service has never answered.
    fn note(&mut self, run: &Run, error: Error) {
        let now = Instant::now();
        let patience = if run.latest().is_none() { Duration::ZERO } else { REPORT };
        let trouble =
            self.trouble.get_or_insert_with(|| Ongoing { since: now, report_at: now + patience, error: error.clone() });
        trouble.error = error;
    }
}

impl Source {
    fn other(self) -> Self {
        match self {
            Self::Operation => Self::Execution,
            Self::Execution => Self::Operation,
        }
    }
}
