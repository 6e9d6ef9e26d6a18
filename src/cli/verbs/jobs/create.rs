//! `runjob jobs create`: a job by its flags.
//!
//! What is not typed is left unset, so that the service's defaults hold.

use crate::{
    JobName, Location,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::job_fields::{CREATE, JobFlags},
        printer::Printer,
        session::Session,
        show::{job, mask::mask},
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
}

/// The job to create.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    job: JobName,
    definition: Job,
}

impl Verb for Create {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let mut definition = Job::default();
        let changes = self.fields.changes()?;
        changes.apply(&mut definition)?;
        Ok(Meaning { job: context.job(&self.job)?, definition })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.job.location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let Meaning { job, definition } = meaning;
        let mut creation = session.client.create_job(&job, definition).await?;
        // Accepted means stored, whether or not it then becomes ready.
        let created = creation.wait().await.map_err(|error| {
            Failure::from(error)
                .hint(format!("the job was stored and is not ready: `runjob jobs describe {job}` says why"))
        })?;
        printer.note(&format!("note: created; `runjob execute {job}` starts it"));
        job::show(printer, &mask(created, false))?;
        Ok(Exit::Done)
    }
}
