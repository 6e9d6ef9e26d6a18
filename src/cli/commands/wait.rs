//! `runjob wait`: wait for the end of an execution that was started earlier, or elsewhere.

use crate::{
    ExecutionName,
    cli::{
        exit::Exit, failure::Failure, flags::waiting::Waiting, follow::Follow, interrupt::Interrupt, printer::Printer,
        session::Session,
    },
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
    let lines = session.output();
    let follow = Follow { session, printer, run: &mut run, is_ours: false, lines, interrupt };
    follow.until_the_end(waiting).await
}
