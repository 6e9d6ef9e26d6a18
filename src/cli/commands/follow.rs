//! Waiting for an execution while saying how far it is, until it ends, patience ends, or somebody interrupts.
//!
//! What `execute --wait` and `wait` share. The wait itself is the library's; progress is asked for beside it and
//! decides nothing.

use std::{convert::Infallible, future::pending, time::Duration};

use tokio::time::sleep;

use super::output;
use crate::{
    Client, Error, ErrorKind, ExecutionName, Finished, Run,
    cli::{
        args::Waiting,
        exit::Exit,
        failure::Failure,
        interrupt::Interrupt,
        printer::{Printer, Progress},
        report::Report,
        session::Session,
    },
    emulator::{Output, OutputReader},
};

/// The first pause before progress is asked for, and the longest: short runs are seen to run, and long ones cost few
/// reads of the project's quota.
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LAST_LOOK: Duration = Duration::from_secs(4);

/// How a wait ended.
enum End {
    Finished(Box<Finished>),
    Failed(Error),
    Interrupted,
}

/// Follows the run to its end and reports it.
pub(super) async fn to_the_end(
    session: &Session,
    printer: &Printer,
    run: &mut Run,
    waiting: &Waiting,
    mut lines: Option<OutputReader>,
    mut interrupt: Interrupt,
) -> Result<Exit, Failure> {
    let execution = run.execution().clone();
    let mut progress = Progress::begin(printer, execution.id());
    if let Some(latest) = run.latest() {
        progress.show(latest);
    }
    run.set_wait_limit(waiting.wait_limit);
    let mut end = follow(&session.client, printer, run, &mut progress, &mut lines, &mut interrupt).await;
    let interrupted = matches!(end, End::Interrupted);
    if interrupted && waiting.cancel_on_interrupt {
        run.set_wait_limit(None);
        end = match cancel(printer, run).await {
            Ok(()) => follow(&session.client, printer, run, &mut progress, &mut lines, &mut interrupt).await,
            Err(error) => End::Failed(error),
        };
    }
    drop(progress);
    match end {
        End::Finished(finished) => {
            printer.report(&Report::finished(run.operation(), &finished))?;
            let exit = Exit::of_outcome(finished.outcome(), waiting.propagate_exit_code);
            Ok(if interrupted { Exit::Interrupted } else { exit })
        }
        End::Interrupted => detached(session, printer, run).map(|()| Exit::Interrupted),
        End::Failed(error) if error.kind() == ErrorKind::WaitLimit => {
            detached(session, printer, run).map(|()| Exit::StoppedWaiting)
        }
        End::Failed(error) => {
            // That it could not be asked about says nothing of an execution that was seen to be there.
            if run.latest().is_some() {
                detached(session, printer, run)?;
            }
            Err(error.into())
        }
    }
}

/// Waits once, showing progress and output meanwhile.
async fn follow(
    client: &Client,
    printer: &Printer,
    run: &mut Run,
    progress: &mut Progress<'_>,
    lines: &mut Option<OutputReader>,
    interrupt: &mut Interrupt,
) -> End {
    let execution = run.execution().clone();
    let alone = run.latest().is_some_and(|latest| latest.task_count == 1);
    let end = tokio::select! {
        biased;
        ended = run.wait() => ended.map_or_else(End::Failed, |finished| End::Finished(Box::new(finished))),
        () = interrupt.next() => End::Interrupted,
        never = show_progress(client, &execution, progress) => match never {},
        never = show_output(printer, lines, alone) => match never {},
    };
    // The tasks' last lines come before their end is known, but perhaps were not taken yet.
    while let Some(next) = lines.as_mut().and_then(OutputReader::try_recv) {
        print(printer, &next, alone);
    }
    end
}

/// Shows how far the execution is, again and again. A look that fails is left out: it says nothing of the execution.
async fn show_progress(client: &Client, execution: &ExecutionName, progress: &mut Progress<'_>) -> Infallible {
    let mut pause = FIRST_LOOK;
    loop {
        sleep(pause).await;
        pause = LAST_LOOK.min(pause * 2);
        if let Ok(execution) = client.execution(execution).await {
            progress.show(&execution);
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

/// Asks for the cancel. That the execution has ended meanwhile is no failure: the wait goes on and says how.
async fn cancel(printer: &Printer, run: &Run) -> Result<(), Error> {
    printer.note(&format!("note: cancelling {}; interrupt again to leave it to the service", run.execution()));
    match run.cancel().await {
        Err(error) if error.kind() != ErrorKind::Conflict => Err(error),
        _ => Ok(()),
    }
}

/// Leaves the execution running, and says how to come back to it.
fn detached(session: &Session, printer: &Printer, run: &Run) -> Result<(), Failure> {
    let execution = run.execution();
    printer.report(&Report::started(execution, run.operation(), run.latest()))?;
    if session.is_private() {
        printer.note("note: stopped waiting; the emulator ends with this command, and the execution with it");
    } else {
        printer.note(&format!("note: stopped waiting; {execution} runs on"));
        printer
            .note(&format!("note: go on with `runjob wait {execution}`, or end it with `runjob cancel {execution}`"));
    }
    Ok(())
}
