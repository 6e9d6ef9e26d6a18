//! `runjob cancel`: ask for an execution to be cancelled.

use crate::{
    Client, ExecutionName,
    cli::{
        failure::Failure,
        flags::global::Format,
        printer::Printer,
        show::{json, mask::mask},
    },
};

/// Asks, and returns when the service has accepted.
pub(super) async fn run(client: &Client, printer: &Printer, execution: &ExecutionName) -> Result<(), Failure> {
    let accepted = client.cancel(execution).await?;
    match printer.format() {
        Format::Text => printer.text(&execution.to_string())?,
        Format::Json => {
            let latest = match accepted.metadata()? {
                Some(latest) => latest,
                None => client.execution(execution).await?,
            };
            printer.json(&json::resource(&mask(latest, false))?)?;
        }
    }
    printer.note(&format!("note: cancelling; `runjob wait {execution}` waits for the end"));
    Ok(())
}
