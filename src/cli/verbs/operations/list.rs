//! `runjob operations list`

use futures_util::TryStreamExt as _;

use super::operation::{self, masked};
use crate::{
    Location,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{global::Format, show_env::ShowEnv},
        printer::Printer,
        session::Session,
        show::json,
        verb::Verb,
    },
};

/// `runjob operations list`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    env: ShowEnv,
}

/// Where to list operations.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    location: Location,
    show_env: bool,
}

impl Verb for List {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        Ok(Meaning { location: context.location()?, show_env: self.env.show_env })
    }

    fn location(meaning: &Meaning) -> &Location {
        &meaning.location
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let operations = session.client.list_operations(&meaning.location);
        let operations: Vec<_> =
            operations.map_ok(|operation| masked(operation, meaning.show_env)).try_collect().await?;
        match printer.format() {
            Format::Json => printer.json(&json::resources(&operations)?)?,
            Format::Text => printer.table(&operation::COLUMNS, operations.iter().map(operation::row))?,
        }
        Ok(Exit::Done)
    }
}
