//! Waiting for an execution while saying how far it is, until it ends, patience ends, or a signal comes.
//!
//! What `execute --wait` and `wait` share. The wait itself is the library's; progress is asked for beside it and
//! decides nothing.

use std::{
    convert::Infallible,
    future::{pending, ready},
    pin::pin,
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::{sleep, timeout_at};

use crate::{
    Client, Error, ErrorKind, ExecutionName, Finished, Run,
    cli::{
        exit::Exit,
        failure::Failure,
        flags::waiting::Waiting,
        interrupt::Interrupt,
        printer::{Printer, Progress},
        session::Session,
        show::output,
        show::report::Report,
    },
    emulator::{Output, OutputReader},
    proto::run::v2::Execution,
};

/// The first pause before progress is asked for, and the longest: short runs are seen to run, and long ones cost few
/// reads of the project's quota.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// An execution to wait for.
pub(super) struct Follow<'a> {
    pub(super) session: &'a Session,
    pub(super) printer: &'a Printer,
    pub(super) run: &'a mut Run,
    /// Whether this command has started it, so that it is known to be there.
    pub(super) is_ours: bool,
    /// What its tasks write, where that can be read.
    pub(super) lines: Option<OutputReader>,
    pub(super) interrupt: Interrupt,
}

/// How a wait ended.
enum End {
    Finished(Box<Finished>),
    Failed(Error),
    Interrupted,
}

impl Follow<'_> {
    /// Follows the run to its end and reports it.
    ///
    /// Fails only where nothing proves that the execution is there. Otherwise what breaks the wait leaves it running.
    pub(super) async fn until_the_end(mut self, waiting: &Waiting) -> Result<Exit, Failure> {
        self.run.set_wait_limit(waiting.wait_limit);
        let mut end = self.follow().await;
        let interrupted = matches!(end, End::Interrupted);
        if interrupted && waiting.cancel_on_interrupt {
            self.run.set_wait_limit(None);
            end = match self.cancel().await {
                None => self.follow().await,
                Some(end) => end,
            };
        }
        let is_known = self.is_ours || self.run.latest().is_some();
        match end {
            End::Finished(finished) => {
                let exit = Exit::of_outcome(finished.outcome(), waiting.propagate_exit_code);
                let exit = if interrupted { Exit::Interrupted } else { exit };
                Ok(self.printer.report(&Report::finished(self.run, &finished), exit))
            }
            End::Interrupted => Ok(self.detach(Exit::Interrupted)),
            End::Failed(error) if error.kind() == ErrorKind::WaitLimit => Ok(self.detach(Exit::StoppedWaiting)),
            End::Failed(error) if is_known => {
                self.printer.failure(&error.into());
                Ok(self.detach(Exit::StoppedWaiting))
            }
            End::Failed(error) => Err(error.into()),
        }
    }

    /// Waits for the end, and shows progress and output meanwhile.
    async fn follow(&mut self) -> End {
        let Self { session, printer, run, lines, interrupt, .. } = self;
        let execution = run.execution().clone();
        let alone = run.latest().is_some_and(|latest| latest.task_count == 1);
        let mut progress = Progress::begin(printer, execution.id());
        if let Some(latest) = run.latest() {
            progress.show(execution.id(), latest);
        }
        let end = tokio::select! {
            biased;
            ended = run.wait() => ended.map_or_else(End::Failed, |finished| End::Finished(Box::new(finished))),
            () = interrupt.next() => End::Interrupted,
            never = show_progress(states(&session.client, &execution), execution.id(), &mut progress) => match never {},
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
    async fn cancel(&mut self) -> Option<End> {
        let Self { printer, run, interrupt, .. } = self;
        printer.note(&format!("note: cancelling {}; interrupt again to leave it to the service", run.execution()));
        tokio::select! {
            asked = run.cancel() => asked.err().filter(|error| error.kind() != ErrorKind::Conflict).map(End::Failed),
            () = interrupt.next() => Some(End::Interrupted),
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

/// The execution as it is, asked for again and again. A question that fails is left out: it says nothing of the execution.
fn states(client: &Client, execution: &ExecutionName) -> impl Stream<Item = Execution> {
    let answers = stream::unfold(FIRST_PAUSE, move |pause| async move {
        sleep(pause).await;
        Some((client.execution(execution).await.ok(), LONGEST_PAUSE.min(pause * 2)))
    });
    answers.filter_map(ready)
}

/// Shows the states as they come, and that the wait goes on when none has come for a while.
async fn show_progress(states: impl Stream<Item = Execution>, id: &str, progress: &mut Progress<'_>) -> Infallible {
    let mut states = pin!(states);
    loop {
        match timeout_at(progress.next_heartbeat(), states.next()).await {
            Ok(Some(state)) => progress.show(id, &state),
            Ok(None) => pending().await,
            Err(_) => progress.heartbeat(),
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
    use std::io;

    use tokio::time::timeout;

    use super::*;
    use crate::cli::printer::tests::printer;

    #[tokio::test(start_paused = true)]
    async fn a_wait_without_news_says_each_minute_that_it_goes_on() {
        let (printer, stderr) = printer(io::sink());
        let mut progress = Progress::begin(&printer, "echo-x7k2p");
        let news = stream::once(async {
            sleep(Duration::from_secs(90)).await;
            Execution { task_count: 2, running_count: 1, ..Execution::default() }
        });
        let shown = show_progress(news.chain(stream::pending()), "echo-x7k2p", &mut progress);
        timeout(Duration::from_secs(215), shown).await.expect_err("it never ends");
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
