//! `runjob jobs list`

use futures_util::TryStreamExt;

use crate::{
    Location,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{global::Format, show_env::ShowEnv},
        printer::Printer,
        session::Session,
        show::{job, json, mask::mask},
        verb::Verb,
    },
    proto::run::v2::Job,
};

/// `runjob jobs list`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    env: ShowEnv,
}

/// Whose jobs to list.
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
        let jobs = session.client.jobs(&meaning.location).map_ok(|job| mask(job, meaning.show_env));
        let jobs: Vec<Job> = jobs.try_collect().await?;
        match printer.format() {
            Format::Json => printer.json(&json::resources(&jobs)?)?,
            Format::Text => printer.table(&job::COLUMNS, jobs.iter().map(job::row))?,
        }
        Ok(Exit::Done)
    }
}
