//! `runjob jobs create`: a job by its flags.
//!
//! What is not typed is left unset, so that the service's defaults hold.

use super::defined::{Accepted, Then};
use crate::{
    JobName, Location,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{
            afterwards::AfterwardsArgs,
            job_fields::{CREATE, JobFlags},
        },
        printer::Printer,
        session::Session,
        verb::Verb,
    },
    proto::run::v2::Job,
};

/// `runjob jobs create`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Create {
    /// Job to create: its id or its full name.
    job: String,
    #[command(flatten)]
    fields: JobFlags<CREATE>,
    #[command(flatten)]
    afterwards: AfterwardsArgs,
}

/// The job to create.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    job: JobName,
    definition: Job,
    then: Then,
}

impl Verb for Create {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let mut definition = Job::default();
        let changes = self.fields.changes()?;
        changes.apply(&mut definition)?;
        let then = Then::of(self.afterwards, context)?;
        Ok(Meaning { job: context.job(&self.job)?, definition, then })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.job.location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let Meaning { job, definition, then } = meaning;
        Accepted::created(job, definition, session).await?.finish(then, session, printer).await
    }
}
