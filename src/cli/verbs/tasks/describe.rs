//! `runjob tasks describe`: one task, in full.

use crate::{
    Location, Phase, TaskName,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{global::Format, names::TaskArg, show_env::ShowEnv},
        printer::Printer,
        session::Session,
        show::{json, mask::mask, view},
        verb::Verb,
    },
    proto::run::v2::Task,
};

/// `runjob tasks describe`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Describe {
    #[command(flatten)]
    task: TaskArg,
    #[command(flatten)]
    env: ShowEnv,
}

/// Which task to show.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    task: TaskName,
    show_env: bool,
}

impl Verb for Describe {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        Ok(Meaning { task: context.task(&self.task)?, show_env: self.env.show_env })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.task.execution().job().location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let task = mask(session.client.task(&meaning.task).await?, meaning.show_env);
        match printer.format() {
            Format::Json => printer.json(&json::resource(&task)?)?,
            Format::Text => printer.pairs(rows(&task))?,
        }
        Ok(Exit::Done)
    }
}

fn rows(task: &Task) -> Vec<[String; 2]> {
    let row = |name: &str, value: String| [name.to_owned(), value];
    let mut rows = vec![
        row("task", task.name.clone()),
        row("index", task.index.to_string()),
        row("state", Phase::of_task(task).to_string()),
        row("retries", format!("{} of {}", task.retried, task.max_retries)),
        row("last attempt", view::last_attempt(task)),
        row("created", view::time(task.create_time.as_ref())),
        row("started", view::time(task.start_time.as_ref())),
        row("ended", view::time(task.completion_time.as_ref())),
        row("task timeout", view::duration(task.timeout.as_ref())),
    ];
    rows.extend(task.containers.iter().flat_map(view::container));
    if !task.log_uri.is_empty() {
        rows.push(row("logs", task.log_uri.clone()));
    }
    rows
}
