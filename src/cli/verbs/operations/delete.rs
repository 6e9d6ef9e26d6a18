//! `runjob operations delete`: have the service forget an operation. What it is about stays as it is.
//!
//! The library has no call for this, so it goes through its stubs.

use super::operation::{self, OperationArg};
use crate::{
    Location, OperationName, Routing,
    cli::{
        context::Context, exit::Exit, failure::Failure, flags::global::Format, printer::Printer, session::Session,
        verb::Verb,
    },
    proto::longrunning::{DeleteOperationRequest, operations_client::OperationsClient},
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
        let name = operation.to_string();
        let request = Routing::name(&operation).request(DeleteOperationRequest { name: name.clone() });
        let deleted = OperationsClient::new(session.client.transport()).delete_operation(request).await;
        deleted.map_err(|status| operation::failure(&status, "delete operation", &name))?;
        match printer.format() {
            Format::Json => printer.json(&serde_json::json!({}))?,
            Format::Text => printer.text(&name)?,
        }
        Ok(Exit::Done)
    }
}
