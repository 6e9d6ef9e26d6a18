//! `runjob cancel`: ask for an execution to be cancelled.

use crate::{
    ExecutionName, Location,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{global::Format, names::ExecutionArg},
        printer::Printer,
        session::Session,
        show::{json, mask::mask},
        verb::Verb,
    },
};

/// `runjob cancel`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Cancel {
    #[command(flatten)]
    execution: ExecutionArg,
    /// Return when the service has accepted. This is the default.
    #[arg(long)]
    r#async: bool,
}

impl Verb for Cancel {
    type Meaning = ExecutionName;

    fn resolve(self, context: &Context<'_>) -> Result<ExecutionName, Failure> {
        context.execution(&self.execution)
    }

    fn location(execution: &ExecutionName) -> &Location {
        execution.job().location()
    }

    /// Asks, and returns when the service has accepted.
    async fn run(execution: ExecutionName, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let accepted = session.client.cancel(&execution).await?;
        match printer.format() {
            Format::Text => printer.text(&execution.to_string())?,
            Format::Json => {
                let latest = match accepted.metadata()? {
                    Some(latest) => latest,
                    None => session.client.execution(&execution).await?,
                };
                printer.json(&json::resource(&mask(latest, false))?)?;
            }
        }
        printer.note(&format!("note: cancelling; `runjob wait {execution}` waits for the end"));
        Ok(Exit::Done)
    }
}
