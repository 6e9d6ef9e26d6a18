//! `runjob cancel`: ask for an execution to be cancelled.

use crate::{
    Client, ExecutionName,
    cli::{failure::Failure, printer::Printer},
};

/// Asks, and returns when the service has accepted.
pub(super) async fn run(client: &Client, printer: &Printer, execution: &ExecutionName) -> Result<(), Failure> {
    client.cancel(execution).await?;
    printer.text(&execution.to_string())?;
    printer.note(&format!("note: cancelling; `runjob wait {execution}` waits for the end"));
    Ok(())
}
