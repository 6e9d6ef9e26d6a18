//! `runjob executions list`

use futures_util::TryStreamExt;

use crate::{
    JobName, Location, Phase,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{global::Format, show_env::ShowEnv},
        printer::Printer,
        session::Session,
        show::{json, mask::mask, view},
        verb::Verb,
    },
    proto::run::v2::Execution,
};

/// `runjob executions list`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct List {
    /// Only this job's: its id or its full name. The default is every job of the region.
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    #[command(flatten)]
    env: ShowEnv,
}

/// Whose executions to list: a job's, or those of every job.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    job: JobName,
    show_env: bool,
}

impl Verb for List {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let job = match &self.job {
            Some(job) => context.job(job)?,
            None => context.location()?.any_job(),
        };
        Ok(Meaning { job, show_env: self.env.show_env })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.job.location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let executions = session.client.executions(&meaning.job).map_ok(|execution| mask(execution, meaning.show_env));
        let executions: Vec<Execution> = executions.try_collect().await?;
        match printer.format() {
            Format::Json => printer.json(&json::resources(&executions)?)?,
            Format::Text => {
                printer.table(&["EXECUTION", "STATE", "DONE", "CREATED", "ENDED"], executions.iter().map(row))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn row(execution: &Execution) -> Vec<String> {
    let ended = execution.succeeded_count + execution.failed_count + execution.cancelled_count;
    vec![
        view::id(&execution.name),
        Phase::of_execution(execution).to_string(),
        format!("{ended}/{}", execution.task_count),
        view::time(execution.create_time.as_ref()),
        view::time(execution.completion_time.as_ref()),
    ]
}
