//! `runjob operations describe`

use super::operation::{self, OperationArg, masked};
use crate::{
    Location, OperationName,
    cli::{
        context::Context, exit::Exit, failure::Failure, flags::show_env::ShowEnv, printer::Printer, session::Session,
        verb::Verb,
    },
};

/// `runjob operations describe`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Describe {
    #[command(flatten)]
    operation: OperationArg,
    #[command(flatten)]
    env: ShowEnv,
}

/// Which operation to show.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    operation: OperationName,
    show_env: bool,
}

impl Verb for Describe {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        Ok(Meaning { operation: self.operation.name(context)?, show_env: self.env.show_env })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.operation.location()
    }

    /// That the operation has failed is a result here, not a failure.
    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let operation = session.client.get_operation(&meaning.operation).await?;
        operation::show(printer, &masked(operation, meaning.show_env))?;
        Ok(Exit::Done)
    }
}
