//! `runjob jobs update`: what the flags name about a job, and nothing else.
//!
//! The job is read and written back under its etag, with the fields that this program does not know.

use crate::{
    JobName, Location,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::job_fields::{JobChanges, JobFlags, UPDATE},
        printer::Printer,
        session::Session,
        show::{job, mask::mask},
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
}

/// What to change about which job.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    job: JobName,
    changes: JobChanges,
}

impl Verb for Update {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let changes = self.fields.changes()?;
        if changes.is_empty() {
            return Err(Failure::usage("no flag says what to change").hint("`runjob jobs update --help` lists them"));
        }
        Ok(Meaning { job: context.job(&self.job)?, changes })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.job.location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let Meaning { job, changes } = meaning;
        let mut update = session.client.try_edit_job(&job, |job| changes.apply(job)).await?;
        // Accepted means stored, whether or not it then becomes ready.
        let updated = update.wait().await.map_err(|error| {
            Failure::from(error)
                .hint(format!("the change was stored and the job is not ready: `runjob jobs describe {job}` says why"))
        })?;
        printer.note(&format!("note: updated; `runjob execute {job}` starts it"));
        job::show(printer, &mask(updated, false))?;
        Ok(Exit::Done)
    }
}
