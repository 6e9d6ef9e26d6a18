//! `runjob jobs deploy`: a job by its flags, created where it is missing and changed where it is there.

use super::defined::{Accepted, Then};
use crate::{
    ErrorKind, JobName, Location,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{
            afterwards::AfterwardsArgs,
            job_fields::{DEPLOY, JobChanges, JobFlags},
        },
        printer::Printer,
        session::Session,
        verb::Verb,
    },
    proto::run::v2::Job,
};

/// `runjob jobs deploy`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Deploy {
    /// Job to create or change: its id or its full name.
    job: String,
    #[command(flatten)]
    fields: JobFlags<DEPLOY>,
    #[command(flatten)]
    afterwards: AfterwardsArgs,
}

/// What to change about the job, or about an empty one where there is no such job.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    job: JobName,
    changes: JobChanges,
    then: Then,
}

impl Verb for Deploy {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let changes = self.fields.some_changes("deploy")?;
        let then = Then::of(self.afterwards, context)?;
        Ok(Meaning { job: context.job(&self.job)?, changes, then })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.job.location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let Meaning { job, changes, then } = meaning;
        // Read first: a failed change does not say whether the job was missing.
        let accepted = match session.client.job(&job).await {
            Ok(_) => {
                let operation = session.client.try_edit_job(&job, |job| changes.apply(job)).await?;
                Accepted { job, done: "updated", operation }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mut definition = Job::default();
                changes.apply(&mut definition)?;
                Accepted::created(job, definition, session).await?
            }
            Err(error) => return Err(error.into()),
        };
        accepted.finish(then, session, printer).await
    }
}
