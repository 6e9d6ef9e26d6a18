//! What `create`, `update`, `deploy` and `replace` do once the service has accepted a job: wait until it is ready, show it,
//! start it.

use super::execute;
use crate::{
    Error, ErrorKind, JobName, Operation,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::afterwards::{Afterwards, AfterwardsArgs},
        printer::Printer,
        session::Session,
        show::{job, mask::mask, mend},
        start_log::StartLog,
    },
    proto::run::v2::Job,
};

/// A job that the service has accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) job: JobName,
    /// `created` or `updated`.
    pub(super) done: &'static str,
    pub(super) operation: Operation<Job>,
}

/// What follows, and where a start is written down.
#[derive(Debug)]
pub(super) struct Then {
    pub(super) afterwards: Afterwards,
    pub(super) log: Option<StartLog>,
}

impl Then {
    /// What these flags ask for.
    pub(super) fn of(typed: AfterwardsArgs, context: &Context<'_>) -> Result<Self, Failure> {
        Ok(Self { afterwards: typed.resolve(context.global.format)?, log: context.start_log() })
    }
}

impl Accepted {
    /// Creates the job.
    pub(super) async fn created(job: JobName, definition: Job, session: &Session) -> Result<Self, Failure> {
        let operation = session.client.create_job(&job, definition).await?;
        Ok(Self { job, done: "created", operation })
    }

    /// Does what follows.
    pub(super) async fn finish(mut self, then: Then, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        match then.afterwards {
            Afterwards::Nothing => self.leave(printer),
            Afterwards::Ready => {
                let ready = self.until_ready(session).await?;
                let Self { job, done, .. } = self;
                printer.note(&format!("note: {done}; `runjob execute {job}` starts it"));
                job::show(printer, &mask(ready, false))?;
                Ok(Exit::Done)
            }
            Afterwards::Start(waiting) => {
                self.until_ready(session).await?;
                printer.note(&format!("note: {}: {}", self.done, self.job));
                execute::as_it_is(self.job, then.log, waiting, session, printer).await
            }
        }
    }

    /// Ends without waiting, and says how to wait later.
    fn leave(self, printer: &Printer) -> Result<Exit, Failure> {
        let operation = self.operation.name();
        printer.note(&format!("note: accepted; `runjob operations wait {operation}` waits until the job is ready"));
        let latest = self.operation.metadata()?.unwrap_or_else(|| Job { name: self.job.to_string(), ..Job::default() });
        job::show(printer, &mask(latest, false))?;
        Ok(Exit::Done)
    }

    async fn until_ready(&mut self, session: &Session) -> Result<Job, Failure> {
        match self.operation.wait().await {
            Ok(ready) => Ok(ready),
            // The job itself failed, and not a read on the way to its outcome.
            Err(error) if self.operation.is_done() => Err(self.not_ready(error, session).await),
            Err(error) => Err(Failure::from(error).hint(format!(
                "the job was stored, and whether it is ready is not known: `runjob jobs describe {}` says it",
                self.job
            ))),
        }
    }

    /// Accepted means stored, whether or not it then becomes ready.
    async fn not_ready(&self, error: Error, session: &Session) -> Failure {
        let Self { job, done, .. } = self;
        let stored = session.client.job(job).await.unwrap_or_default();
        let Some(condition) = mend::reason(&stored) else {
            return Failure::from(error)
                .hint(format!("the job was {done} and is not ready: `runjob jobs describe {job}` says why"));
        };
        let exit = if error.kind() == ErrorKind::NotFound { Exit::Conflict } else { Exit::from(&error) };
        let failure = Failure::new(exit, format!("job {job} was {done} and is not ready: {}", condition.message));
        let hint = match mend::command(job, condition) {
            Some(command) => format!("the job is stored; this mends it: {command}"),
            None => format!("the job is stored; `runjob jobs describe {job}` shows it"),
        };
        failure.hint(hint)
    }
}
