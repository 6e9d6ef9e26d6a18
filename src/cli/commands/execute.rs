//! `runjob execute`: start a job once, and wait for its end where that was asked for.

use super::follow;
use crate::{
    JobName, Run,
    cli::{
        args::Waiting, config::Overrides, exit::Exit, failure::Failure, interrupt::Interrupt, printer::Printer,
        report::Report, session::Session,
    },
};

/// Starts the job with these overrides.
pub(super) async fn run(
    session: &Session,
    printer: &Printer,
    job: &JobName,
    overrides: Overrides,
    waiting: Option<&Waiting>,
) -> Result<Exit, Failure> {
    let mut interrupt = Interrupt::listen()?;
    // From before the start, so that no line of a quick task is missed.
    let output = session.output();
    let mut run = tokio::select! {
        started = start(session, job, overrides) => started?,
        () = interrupt.next() => return Err(interrupted(job)),
    };
    match waiting {
        Some(waiting) => follow::to_the_end(session, printer, &mut run, waiting, output, interrupt).await,
        None => accepted(session, printer, &run),
    }
}

async fn start(session: &Session, job: &JobName, overrides: Overrides) -> Result<Run, Failure> {
    let mut start = session.client.run(job);
    for container in overrides.containers {
        let name = container.name.unwrap_or_default();
        start = start.container(name, |mut change| {
            change = match container.args {
                Some(args) if args.is_empty() => change.clear_args(),
                Some(args) => change.args(args),
                None => change,
            };
            container.env.into_iter().fold(change, |change, (name, value)| change.env(name, value))
        });
    }
    if let Some(count) = overrides.task_count {
        start = start.task_count(count);
    }
    if let Some(timeout) = overrides.task_timeout {
        start = start.task_timeout(timeout);
    }
    Ok(start.start().await?)
}

fn accepted(session: &Session, printer: &Printer, run: &Run) -> Result<Exit, Failure> {
    let execution = run.execution();
    printer.report(&Report::started(execution, run.operation(), run.latest()))?;
    if session.is_private() {
        printer.note("note: the emulator ends with this command, and the execution with it; add --wait to see it run");
    } else {
        printer.note(&format!("note: started; `runjob wait {execution}` waits for its end"));
    }
    Ok(Exit::Done)
}

/// The request may have left, so this is no detaching from something that is known to run.
fn interrupted(job: &JobName) -> Failure {
    Failure::new(Exit::Interrupted, format!("interrupted before the service had answered: job {job} may have started"))
        .hint(format!("look at its newest executions: runjob executions list --job={job}"))
}
