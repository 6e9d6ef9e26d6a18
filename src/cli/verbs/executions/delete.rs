//! `runjob executions delete`: delete an execution, and wait until that is done. A running one is stopped.

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

/// `runjob executions delete`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Delete {
    #[command(flatten)]
    execution: ExecutionArg,
}

impl Verb for Delete {
    type Meaning = ExecutionName;

    fn resolve(self, context: &Context<'_>) -> Result<ExecutionName, Failure> {
        context.execution(&self.execution)
    }

    fn location(execution: &ExecutionName) -> &Location {
        execution.job().location()
    }

    async fn run(execution: ExecutionName, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        printer.confirm(&format!("Delete {execution}?"))?;
        let deleted = session.client.delete_execution(&execution).await?.wait().await?;
        match printer.format() {
            Format::Json => printer.json(&json::resource(&mask(deleted, false))?)?,
            Format::Text => printer.text(&execution.to_string())?,
        }
        Ok(Exit::Done)
    }
}
