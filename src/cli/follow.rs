//! Waiting for an execution while saying how far it is, until it ends, patience ends, or a signal comes.
//!
//! What `execute --wait` and `wait` share. The wait and the progress are the library's.

mod many;

use std::{convert::Infallible, future::pending, pin::pin};

use futures_util::{Stream, StreamExt as _};
use tokio::time::timeout_at;

pub(super) use self::many::FollowMany;
use crate::{
    Change, Error, ErrorKind, ExecutionName, Finished, Phase, Result, Run,
    cli::{
        exit::Exit,
        failure::Failure,
        flags::waiting::{Until, Waiting},
        interrupt::Interrupt,
        leave_key::LeaveKey,
        printer::{Printer, ProgressLine},
        session::Session,
        show::output,
        show::report::Report,
    },
    emulator::{Output, OutputReader},
};

/// An execution to wait for.
pub(super) struct Follow<'a> {
    pub(super) session: &'a Session,
    pub(super) printer: Printer,
    pub(super) run: &'a mut Run,
    /// Whether this command has started it, so that it is known to be there.
    pub(super) is_ours: bool,
    /// What its tasks write, where that can be read.
    pub(super) lines: Option<OutputReader>,
    /// How far it is followed.
    pub(super) until: Until,
    pub(super) interrupt: Interrupt,
}

/// How a wait ended.
enum WaitEnd {
    Finished(Box<Finished>),
    /// Its first task runs, and more was not wanted.
    Running,
    Failed(Error),
    Interrupted,
    /// By the key for that.
    Left,
}

impl Follow<'_> {
    /// Follows the run as far as was asked for and reports it.
    ///
    /// Fails only where nothing proves that the execution is there. Otherwise what breaks the wait leaves it running.
    pub(super) async fn until_wanted(mut self, waiting: &Waiting) -> Result<Exit, Failure> {
        if waiting.follow {
            self.printer = self.printer.with_events();
        }
        self.run.set_wait_limit(waiting.wait_limit);
        let mut end = self.follow().await;
        let interrupted = matches!(end, WaitEnd::Interrupted);
        if interrupted && waiting.cancel_on_interrupt {
            self.run.set_wait_limit(None);
            self.until = Until::Done;
            end = match self.cancel().await {
                None => self.follow().await,
                Some(end) => end,
            };
        }
        let is_known = self.is_ours || self.run.latest().is_some();
        match end {
            WaitEnd::Finished(finished) => {
                let exit = Exit::of_outcome(finished.outcome(), waiting.propagate_exit_code);
                let exit = if interrupted { Exit::Interrupted } else { exit };
                Ok(self.printer.report(&Report::finished(self.run, &finished), exit))
            }
            WaitEnd::Running => Ok(self.printer.report(&Report::started(self.run), Exit::Done)),
            WaitEnd::Interrupted => Ok(self.detach(Exit::Interrupted)),
            WaitEnd::Left => Ok(self.detach(Exit::StoppedWaiting)),
            WaitEnd::Failed(error) if error.kind() == ErrorKind::WaitLimit => Ok(self.detach(Exit::StoppedWaiting)),
            WaitEnd::Failed(error) if is_known => {
                self.printer.failure(&error.into());
                Ok(self.detach(Exit::StoppedWaiting))
            }
            WaitEnd::Failed(error) => Err(error.into()),
        }
    }

    /// Waits for the end, and shows progress and output meanwhile.
    async fn follow(&mut self) -> WaitEnd {
        let Self { session, printer, run, lines, until, interrupt, .. } = self;
        let mut key = LeaveKey::listen(printer.shows_progress() && !session.is_private());
        let name = run.execution().clone();
        let alone = run.latest().is_some_and(|latest| latest.task_count == 1);
        let mut line = ProgressLine::begin(printer, name.id()).with_key(&key);
        let end = tokio::select! {
            biased;
            end = show_progress(run.changes(), *until, &name, printer, &mut line) => end,
            () = interrupt.next() => WaitEnd::Interrupted,
            () = key.typed() => WaitEnd::Left,
            never = show_output(printer, lines, alone) => match never {},
        };
        // The tasks' last lines come before their end is known, but perhaps were not taken yet.
        while let Some(next) = lines.as_mut().and_then(OutputReader::try_recv) {
            print(printer, &next, alone);
        }
        end
    }

    /// Asks for the cancel, and gives how the wait ends if not by that. That the execution has ended meanwhile is no
    /// failure: the wait goes on and tells how.
    async fn cancel(&mut self) -> Option<WaitEnd> {
        let Self { printer, run, interrupt, .. } = self;
        printer.note(&format!("note: cancelling {}; interrupt again to leave it to the service", run.execution()));
        tokio::select! {
            asked = run.cancel() => asked.err().filter(|error| error.kind() != ErrorKind::Conflict).map(WaitEnd::Failed),
            () = interrupt.next() => Some(WaitEnd::Interrupted),
        }
    }

    /// Leaves the execution running, and says how to come back to it.
    fn detach(&self, exit: Exit) -> Exit {
        let Self { session, printer, run, .. } = self;
        let execution = run.execution();
        let exit = printer.report(&Report::started(run), exit);
        if session.is_private() {
            printer.note("note: stopped waiting; the emulator ends with this command, and the execution with it");
        } else {
            printer.note(&format!("note: stopped waiting; {execution} runs on"));
            printer.note(&format!(
                "note: go on with `runjob wait {execution}`, or end it with `runjob cancel {execution}`"
            ));
        }
        exit
    }
}

/// Shows progress as it comes, and that the wait goes on when none has come for a while. Gives the end.
async fn show_progress(
    changes: impl Stream<Item = Result<Change>>,
    until: Until,
    name: &ExecutionName,
    printer: &Printer,
    line: &mut ProgressLine<'_>,
) -> WaitEnd {
    let mut changes = pin!(changes);
    loop {
        match timeout_at(line.next_heartbeat(), changes.next()).await {
            Ok(Some(Ok(Change::Progress(now)))) => {
                printer.progress(name, &now);
                line.show(name.id(), &now);
                if until == Until::Started && now.phase == Phase::Running {
                    return WaitEnd::Running;
                }
            }
            Ok(Some(Ok(Change::Finished(finished)))) => return WaitEnd::Finished(Box::new(finished)),
            Ok(Some(Err(error))) => return WaitEnd::Failed(error),
            // The end or an error comes before.
            Ok(None) => pending().await,
            Err(_) => line.heartbeat(),
        }
    }
}

/// Shows what the tasks write, as it comes.
async fn show_output(printer: &Printer, lines: &mut Option<OutputReader>, alone: bool) -> Infallible {
    if let Some(lines) = lines {
        while let Some(next) = lines.recv().await {
            print(printer, &next, alone);
        }
    }
    pending().await
}

/// Shows a line as it is when there is one task, and with the task before it when there are more.
fn print(printer: &Printer, line: &Output, alone: bool) {
    printer.passed_on(&output::line(
        line,
        |of| {
            if alone { String::new() } else { format!("task{} | ", of.task_index) }
        },
    ));
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use futures_util::stream;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::{Progress, cli::printer::tests::printer, proto::run::v2::Execution};

    #[tokio::test(start_paused = true)]
    async fn a_wait_without_news_says_each_minute_that_it_goes_on() {
        let (printer, stderr) = printer(io::sink());
        let mut line = ProgressLine::begin(&printer, "echo-x7k2p");
        let news = stream::once(async {
            sleep(Duration::from_secs(90)).await;
            let execution = Execution { task_count: 2, running_count: 1, ..Execution::default() };
            Ok(Change::Progress(Progress::of(&execution)))
        });
        let name = "projects/p/locations/r/jobs/echo/executions/echo-x7k2p".parse().expect("a name");
        let shown = show_progress(news.chain(stream::pending()), Until::Done, &name, &printer, &mut line);
        assert!(timeout(Duration::from_secs(215), shown).await.is_err(), "it never ends");
        let running = "echo-x7k2p: running, 0 of 2 tasks done";
        let expected = [
            "echo-x7k2p: waiting, 60s".to_owned(),
            format!("{running}, 90s"),
            format!("{running}, 150s"),
            format!("{running}, 210s"),
        ];
        assert_eq!(stderr.lines(), expected);
    }
}
