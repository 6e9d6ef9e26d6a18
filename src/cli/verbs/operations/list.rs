//! `runjob operations list`
//!
//! The library has no call for this, so it goes through its stubs.

use super::operation::{self, masked};
use crate::{
    Location, Routing,
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
    proto::longrunning::{ListOperationsRequest, Operation, operations_client::OperationsClient},
};

/// More pages than a project can fill: a list that goes on is not believed.
const MOST_PAGES: usize = 1000;

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
        let operations = all(session, &meaning.location).await?.into_iter();
        let operations: Vec<_> = operations.map(|operation| masked(operation, meaning.show_env)).collect();
        match printer.format() {
            Format::Json => printer.json(&json::resources(&operations)?)?,
            Format::Text => printer.table(&operation::COLUMNS, operations.iter().map(operation::row))?,
        }
        Ok(Exit::Done)
    }
}

async fn all(session: &Session, location: &Location) -> Result<Vec<Operation>, Failure> {
    let mut stub = OperationsClient::new(session.client.transport());
    let name = location.to_string();
    let mut request = ListOperationsRequest { name: name.clone(), ..ListOperationsRequest::default() };
    let mut operations = Vec::new();
    for _ in 0..MOST_PAGES {
        let answer = stub.list_operations(Routing::name(location).request(request.clone())).await;
        let page = answer.map_err(|status| operation::failure(&status, "list operations of", &name))?.into_inner();
        operations.extend(page.operations);
        if page.next_page_token.is_empty() {
            return Ok(operations);
        }
        request.page_token = page.next_page_token;
    }
    Err(Failure::new(Exit::Other, format!("could not list operations of {name}: the list does not end")))
}
