//! `runjob jobs replace`: a job as a file has it, created where it is missing.

use std::path::PathBuf;

use super::defined::{Accepted, Then};
use crate::{
    ErrorKind, JobName, Location,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{afterwards::AfterwardsArgs, job_file::JobFile},
        printer::Printer,
        session::Session,
        verb::Verb,
    },
    proto::run::v2::Job,
};

/// `runjob jobs replace`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Replace {
    /// File with the job in YAML or JSON: as `jobs describe --format=json` writes it, or as gcloud exports it
    /// (apiVersion: run.googleapis.com/v1). Its name says which job it is.
    file: PathBuf,
    #[command(flatten)]
    afterwards: AfterwardsArgs,
}

/// The job, and what it is to be.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    job: JobName,
    file: JobFile,
    then: Then,
}

impl Verb for Replace {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let file = JobFile::read(&self.file)?;
        let then = Then::of(self.afterwards, context)?;
        Ok(Meaning { job: context.job(&file.name)?, file, then })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.job.location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let Meaning { job, file, then } = meaning;
        let accepted = match session.client.edit_job(&job, |job| file.replace(job)).await {
            Ok(operation) => Accepted { job, done: "updated", operation },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mut definition = Job::default();
                file.replace(&mut definition);
                Accepted::created(job, definition, session).await?
            }
            Err(error) => return Err(error.into()),
        };
        accepted.finish(then, session, printer).await
    }
}
