//! Waiting for several executions at once, over the lists that they share, until all have ended, patience ends, or a signal
//! comes.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep_until};

use crate::{
    Error, ErrorKind, ExecutionName, Finished, Result,
    cli::{
        exit::Exit,
        flags::{global::Format, waiting::Waiting},
        interrupt::Interrupt,
        leave_key::LeaveKey,
        printer::{Printer, ProgressLine},
        session::Session,
        show::report::Report,
    },
};

/// How many cancels are asked for at a time.
const CANCELS: usize = 16;

/// Executions to wait for, each once.
pub(in crate::cli) struct FollowMany<'a> {
    pub(in crate::cli) session: &'a Session,
    pub(in crate::cli) printer: Printer,
    pub(in crate::cli) executions: Vec<ExecutionName>,
    pub(in crate::cli) waiting: Waiting,
    pub(in crate::cli) interrupt: Interrupt,
}

/// What is known of each, and the status that comes of it.
#[derive(Default)]
struct Collected {
    reports: BTreeMap<ExecutionName, (Report, Exit)>,
    failures: BTreeMap<ExecutionName, Exit>,
}

/// Why there is nothing more to wait for.
#[derive(PartialEq)]
enum Over {
    AllEnded,
    OutOfPatience,
    /// By the key for that.
    Left,
    Interrupted,
}

impl FollowMany<'_> {
    /// Waits for all of them. Each is reported when it ends, or in JSON all in one list, in the order given.
    pub(in crate::cli) async fn until_all_end(mut self) -> Exit {
        if self.waiting.follow {
            self.printer = self.printer.with_events();
        }
        let mut known = Collected::default();
        let over = self.wait(&mut known).await;
        let open = self.report_open(&known, &over);
        let exit = self.status(&known, &over, open.len());
        let of = |name| known.reports.get(name).map(|(report, _)| report).or_else(|| open.get(name));
        let reports: Vec<_> = self.executions.iter().filter_map(of).collect();
        self.printer.reports(&reports, exit)
    }

    async fn wait(&mut self, known: &mut Collected) -> Over {
        let Self { session, printer, executions, waiting, interrupt } = self;
        let total = executions.len();
        let mut ends = session.client.watch(executions.iter().map(|name| session.client.attach(name)));
        let mut key = LeaveKey::listen(printer.shows_progress() && !session.is_private());
        let mut line = ProgressLine::begin(printer, &format!("{total} executions")).with_key(&key);
        let patience = waiting.wait_limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut is_cancelling = false;
        loop {
            let wake = patience.map_or_else(|| line.next_heartbeat(), |patience| patience.min(line.next_heartbeat()));
            tokio::select! {
                biased;
                next = ends.next() => match next {
                    Some((name, end)) => known.take(name, end, session, printer, waiting.propagate_exit_code),
                    None => return if is_cancelling { Over::Interrupted } else { Over::AllEnded },
                },
                () = interrupt.next() => {
                    if is_cancelling || !waiting.cancel_on_interrupt {
                        return Over::Interrupted;
                    }
                    is_cancelling = true;
                    printer.note("note: cancelling what still runs; interrupt again to leave it to the service");
                    cancel(session, printer, executions.iter().filter(|name| !known.has(name))).await;
                }
                () = key.typed() => return Over::Left,
                () = sleep_until(wake) => {
                    if patience.is_some_and(|patience| patience <= Instant::now()) {
                        return Over::OutOfPatience;
                    }
                    line.heartbeat();
                }
            }
            line.say(format!("{total} executions: {} ended", known.count()));
        }
    }

    /// Reports what still runs, and says how to come back to it.
    fn report_open(&self, known: &Collected, over: &Over) -> BTreeMap<ExecutionName, Report> {
        let open = self.executions.iter().filter(|name| *over != Over::AllEnded && !known.has(name));
        let open: BTreeMap<_, _> =
            open.map(|name| (name.clone(), Report::started(&self.session.client.attach(name)))).collect();
        if self.printer.format() == Format::Text {
            open.values().for_each(|report| _ = self.printer.part(report, Exit::StoppedWaiting));
        }
        if !open.is_empty() {
            let names: Vec<_> = open.keys().map(ToString::to_string).collect();
            self.printer.note(&format!("note: stopped waiting; go on with `runjob wait {}`", names.join(" ")));
        }
        open
    }

    /// An interrupt first, then what still runs, then what could not be asked, then the first that did not succeed.
    fn status(&self, known: &Collected, over: &Over, open: usize) -> Exit {
        let unsuccessful = |name| known.reports.get(name).map(|(_, exit)| *exit).filter(|exit| *exit != Exit::Done);
        match over {
            Over::Interrupted => Exit::Interrupted,
            _ if open > 0 => Exit::StoppedWaiting,
            _ => {
                let failed = self.executions.iter().find_map(|name| known.failures.get(name).copied());
                failed.or_else(|| self.executions.iter().find_map(unsuccessful)).unwrap_or(Exit::Done)
            }
        }
    }
}

impl Collected {
    /// Takes note of an end, and reports it at once where that is for people.
    fn take(
        &mut self,
        name: ExecutionName,
        end: Result<Finished>,
        session: &Session,
        printer: &Printer,
        propagate: bool,
    ) {
        match end {
            Ok(finished) => {
                let report = Report::finished(&session.client.attach(&name), &finished);
                let exit = Exit::of_outcome(finished.outcome(), propagate);
                let exit = if printer.format() == Format::Text { printer.part(&report, exit) } else { exit };
                self.reports.insert(name, (report, exit));
            }
            Err(error) => {
                let exit = Exit::from(&error);
                printer.failure(&error.into());
                self.failures.insert(name, exit);
            }
        }
    }

    fn has(&self, name: &ExecutionName) -> bool {
        self.reports.contains_key(name) || self.failures.contains_key(name)
    }

    fn count(&self) -> usize {
        self.reports.len() + self.failures.len()
    }
}

/// Requests that these be cancelled. One that has ended meanwhile is no failure; other failures are reported, and all
/// executions are waited for regardless.
async fn cancel(session: &Session, printer: &Printer, names: impl Iterator<Item = &ExecutionName>) {
    let asked = names.map(|name| async move { session.client.cancel(name).await.err() });
    let mut asked = stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(CANCELS);
    while let Some(answer) = asked.next().await {
        if let Some(error) = answer.filter(|error: &Error| error.kind() != ErrorKind::Conflict) {
            printer.failure(&error.into());
        }
    }
}
