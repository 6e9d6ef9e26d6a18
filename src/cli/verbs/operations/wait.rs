//! `runjob operations wait`: wait until an operation is done, and end by its result.

use super::operation::{self, OperationArg, masked};
use crate::{
    Location, OperationName,
    cli::{context::Context, exit::Exit, failure::Failure, printer::Printer, session::Session, verb::Verb},
};

/// `runjob operations wait`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Wait {
    #[command(flatten)]
    operation: OperationArg,
}

impl Verb for Wait {
    type Meaning = OperationName;

    fn resolve(self, context: &Context<'_>) -> Result<OperationName, Failure> {
        self.operation.name(context)
    }

    fn location(operation: &OperationName) -> &Location {
        operation.location()
    }

    async fn run(operation: OperationName, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let done = session.client.wait_operation(&operation).await?;
        operation::show(printer, &masked(done, false))
    }
}
