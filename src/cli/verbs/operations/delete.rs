//! `runjob operations delete`: have the service forget an operation. What it is about stays as it is.

use super::operation::OperationArg;
use crate::{
    Location, OperationName,
    cli::{
        context::Context, exit::Exit, failure::Failure, flags::global::Format, printer::Printer, session::Session,
        verb::Verb,
    },
};

/// `runjob operations delete`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Delete {
    #[command(flatten)]
    operation: OperationArg,
}

impl Verb for Delete {
    type Meaning = OperationName;

    fn resolve(self, context: &Context<'_>) -> Result<OperationName, Failure> {
        self.operation.name(context)
    }

    fn location(operation: &OperationName) -> &Location {
        operation.location()
    }

    async fn run(operation: OperationName, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        session.client.delete_operation(&operation).await?;
        match printer.format() {
            Format::Json => printer.json(&serde_json::json!({}))?,
            Format::Text => printer.text(&operation.to_string())?,
        }
        Ok(Exit::Done)
    }
}
