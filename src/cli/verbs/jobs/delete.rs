//! `runjob jobs delete`: delete a job and its executions, and wait until that is done.

use crate::{
    JobName, Location,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::global::Format,
        printer::Printer,
        session::Session,
        show::{json, mask::mask},
        verb::Verb,
    },
};

/// `runjob jobs delete`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Delete {
    /// Job: its id or its full name.
    job: String,
}

impl Verb for Delete {
    type Meaning = JobName;

    fn resolve(self, context: &Context<'_>) -> Result<JobName, Failure> {
        context.job(&self.job)
    }

    fn location(job: &JobName) -> &Location {
        job.location()
    }

    async fn run(job: JobName, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        printer.confirm(&format!("Delete {job} and its executions?"))?;
        let deleted = session.client.delete_job(&job).await?.wait().await?;
        match printer.format() {
            Format::Json => printer.json(&json::resource(&mask(deleted, false))?)?,
            Format::Text => printer.text(&job.to_string())?,
        }
        Ok(Exit::Done)
    }
}
