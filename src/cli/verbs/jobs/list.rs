//! `runjob jobs list`

use futures_util::TryStreamExt as _;

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
        show::mask::mask,
        verb::Verb,
    },
    proto::run::v2::Job,
};

/// `runjob jobs list`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    env: ShowEnv,
}

/// Whose jobs to list, and which of them.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    location: Location,
    choice: Choice<Job>,
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
        let jobs = client.jobs(&meaning.location).map_ok(|job| mask(job, meaning.show_env));
        print(jobs, &meaning.choice, printer).await?;
        Ok(Exit::Done)
    }
}
