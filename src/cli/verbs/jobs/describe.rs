//! `runjob jobs describe`

use crate::{
    JobName, Location,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::show_env::ShowEnv,
        printer::Printer,
        session::Session,
        show::{job, mask::mask},
        verb::Verb,
    },
};

/// `runjob jobs describe`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Describe {
    /// Job: its id or its full name.
    job: String,
    #[command(flatten)]
    env: ShowEnv,
}

/// Which job to show.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    job: JobName,
    show_env: bool,
}

impl Verb for Describe {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        Ok(Meaning { job: context.job(&self.job)?, show_env: self.env.show_env })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.job.location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        job::show(printer, &mask(session.client.job(&meaning.job).await?, meaning.show_env))?;
        Ok(Exit::Done)
    }
}
