//! `runjob operations list`

use futures_util::TryStreamExt as _;

use super::operation::masked;
use crate::{
    Location,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{listing::Listing, show_env::ShowEnv},
        listing::{Choice, print},
        printer::Printer,
        session::Session,
        verb::Verb,
    },
    proto::longrunning::Operation,
};

/// `runjob operations list`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    env: ShowEnv,
}

/// Where to list operations, and which of them.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    location: Location,
    choice: Choice<Operation>,
    show_env: bool,
}

impl Verb for List {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let choice = Choice::of(&self.listing)?;
        Ok(Meaning { location: context.location()?, choice, show_env: self.env.show_env })
    }

    fn location(meaning: &Meaning) -> &Location {
        &meaning.location
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let client = session.client.with_page_size(meaning.choice.page_size());
        let operations = client.list_operations(&meaning.location);
        print(operations.map_ok(|operation| masked(operation, meaning.show_env)), &meaning.choice, printer).await?;
        Ok(Exit::Done)
    }
}
