//! `runjob tasks list`

use futures_util::TryStreamExt;

use crate::{
    ExecutionName, Location, Phase,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{global::Format, names::ExecutionArg, show_env::ShowEnv},
        printer::Printer,
        session::Session,
        show::{json, mask::mask, view},
        verb::Verb,
    },
    proto::run::v2::Task,
};

/// `runjob tasks list`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    execution: ExecutionArg,
    #[command(flatten)]
    env: ShowEnv,
}

/// Whose tasks to list.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    execution: ExecutionName,
    show_env: bool,
}

impl Verb for List {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        Ok(Meaning { execution: context.execution(&self.execution)?, show_env: self.env.show_env })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.execution.job().location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let tasks = session.client.tasks(&meaning.execution).map_ok(|task| mask(task, meaning.show_env));
        let tasks: Vec<Task> = tasks.try_collect().await?;
        match printer.format() {
            Format::Json => printer.json(&json::resources(&tasks)?)?,
            Format::Text => {
                printer
                    .table(&["TASK", "STATE", "RETRIES", "LAST ATTEMPT", "STARTED", "ENDED"], tasks.iter().map(row))?;
            }
        }
        Ok(Exit::Done)
    }
}

fn row(task: &Task) -> Vec<String> {
    vec![
        task.index.to_string(),
        Phase::of_task(task).to_string(),
        task.retried.to_string(),
        last_attempt(task),
        view::time(task.start_time.as_ref()),
        view::time(task.completion_time.as_ref()),
    ]
}

/// How the last attempt ended, when one has: the exit code, the signal, or what the service says.
fn last_attempt(task: &Task) -> String {
    let Some(result) = &task.last_attempt_result else { return view::NOTHING.to_owned() };
    match &result.status {
        _ if result.term_signal != 0 => format!("signal {}", result.term_signal),
        _ if result.exit_code != 0 => format!("exit code {}", result.exit_code),
        Some(status) if status.code != 0 => status.message.clone(),
        _ => "exit code 0".to_owned(),
    }
}
