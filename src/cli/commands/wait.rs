//! `runjob wait`: wait for the end of an execution that was started earlier, or elsewhere.

use super::follow;
use crate::{
    ExecutionName,
    cli::{args::Waiting, exit::Exit, failure::Failure, interrupt::Interrupt, printer::Printer, session::Session},
};

/// Waits for the execution.
pub(super) async fn run(
    session: &Session,
    printer: &Printer,
    execution: &ExecutionName,
    waiting: &Waiting,
) -> Result<Exit, Failure> {
    let interrupt = Interrupt::listen()?;
    let mut run = session.client.attach(execution);
    follow::to_the_end(session, printer, &mut run, waiting, session.output(), interrupt).await
}
