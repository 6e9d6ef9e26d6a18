//! `runjob jobs update`: what the flags name about a job, and nothing else.
//!
//! The job is read and written back under its etag, with the fields that this program does not know.

use super::defined::{Accepted, Then};
use crate::{
    JobName, Location,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{
            afterwards::AfterwardsArgs,
            job_fields::{JobChanges, JobFlags, UPDATE},
        },
        printer::Printer,
        session::Session,
        verb::Verb,
    },
};

/// `runjob jobs update`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Update {
    /// Job to change: its id or its full name.
    job: String,
    #[command(flatten)]
    fields: JobFlags<UPDATE>,
    #[command(flatten)]
    afterwards: AfterwardsArgs,
}

/// What to change about which job.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    job: JobName,
    changes: JobChanges,
    then: Then,
}

impl Verb for Update {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let changes = self.fields.some_changes("update")?;
        let then = Then::of(self.afterwards, context)?;
        Ok(Meaning { job: context.job(&self.job)?, changes, then })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.job.location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let Meaning { job, changes, then } = meaning;
        let operation = session.client.try_edit_job(&job, |job| changes.apply(job)).await?;
        Accepted { job, done: "updated", operation }.finish(then, session, printer).await
    }
}
