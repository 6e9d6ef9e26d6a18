//! `runjob tasks list`

use futures_util::TryStreamExt as _;

use crate::{
    ExecutionName, Location, Phase,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{
            listing::{Known, Listing},
            names::ParentArg,
            show_env::ShowEnv,
        },
        listing::{Choice, Key, Listed, print},
        printer::Printer,
        session::Session,
        show::{mask::mask, view},
        verb::Verb,
    },
    proto::run::v2::Task,
};

/// `runjob tasks list`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    execution: ParentArg,
    #[command(flatten)]
    listing: Listing,
    #[command(flatten)]
    env: ShowEnv,
}

/// Whose tasks to list, and which of them.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    execution: ExecutionName,
    choice: Choice<Task>,
    show_env: bool,
}

impl Verb for List {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let choice = Choice::of(&self.listing)?;
        Ok(Meaning { execution: context.execution(&self.execution.into())?, choice, show_env: self.env.show_env })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.execution.job().location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let client = session.client.with_page_size(meaning.choice.page_size());
        let tasks = client.tasks(&meaning.execution).map_ok(|task| mask(task, meaning.show_env));
        print(tasks, &meaning.choice, printer).await?;
        Ok(Exit::Done)
    }
}

impl Listed for Task {
    type Resource = Self;

    const KNOWN: Known = Known {
        columns: &["TASK", "STATE", "RETRIES", "LAST ATTEMPT", "STARTED", "ENDED"],
        states: &["pending", "running", "cancelling", "succeeded", "failed", "timed-out", "cancelled"],
        fields: &["index", "state", "retries", "started", "ended"],
        has_labels: true,
    };

    fn resource(&self) -> &Self {
        self
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> String {
        // One word, to be typed in a filter.
        Phase::of_task(self).to_string().replace(' ', "-")
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }

    fn key(&self, field: &str) -> Key {
        match field {
            "state" => Key::text(&self.state()),
            "retries" => Key::number(self.retried),
            "started" => Key::time(self.start_time.as_ref()),
            "ended" => Key::time(self.completion_time.as_ref()),
            _ => Key::number(self.index),
        }
    }

    fn row(&self) -> Vec<String> {
        vec![
            self.index.to_string(),
            Phase::of_task(self).to_string(),
            self.retried.to_string(),
            view::last_attempt(self),
            view::time(self.start_time.as_ref()),
            view::time(self.completion_time.as_ref()),
        ]
    }
}
