//! `runjob executions list`

use futures_util::TryStreamExt as _;

use crate::{
    JobName, Location, Phase,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{
            listing::{Known, Listing},
            show_env::ShowEnv,
        },
        listing::{Choice, Key, Listed, print},
        printer::Printer,
        session::Session,
        show::{mask::mask, view},
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
    listing: Listing,
    #[command(flatten)]
    env: ShowEnv,
}

/// Whose executions to list, a job's or those of every job, and which of them.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    job: JobName,
    choice: Choice<Execution>,
    show_env: bool,
}

impl Verb for List {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let job = match &self.job {
            Some(job) => context.job(job)?,
            None => context.location()?.any_job(),
        };
        let choice = Choice::of(&self.listing)?;
        Ok(Meaning { job, choice, show_env: self.env.show_env })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.job.location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let client = session.client.with_page_size(meaning.choice.page_size());
        let executions = client.executions(&meaning.job).map_ok(|execution| mask(execution, meaning.show_env));
        print(executions, &meaning.choice, printer).await?;
        Ok(Exit::Done)
    }
}

impl Listed for Execution {
    const KNOWN: Known = Known {
        columns: &["EXECUTION", "STATE", "DONE", "CREATED", "ENDED"],
        states: &["pending", "running", "cancelling", "succeeded", "failed", "cancelled"],
        fields: &["name", "state", "created", "started", "ended"],
        has_labels: true,
    };

    fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> String {
        Phase::of_execution(self).to_string()
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }

    fn key(&self, field: &str) -> Key {
        match field {
            "name" => Key::text(&view::id(&self.name)),
            "state" => Key::text(&self.state()),
            "started" => Key::time(self.start_time.as_ref()),
            "ended" => Key::time(self.completion_time.as_ref()),
            _ => Key::time(self.create_time.as_ref()),
        }
    }

    fn row(&self) -> Vec<String> {
        let ended = self.succeeded_count + self.failed_count + self.cancelled_count;
        vec![
            view::id(&self.name),
            self.state(),
            format!("{ended}/{}", self.task_count),
            view::time(self.create_time.as_ref()),
            view::time(self.completion_time.as_ref()),
        ]
    }
}
