//! `runjob describe`: one execution, in full.

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
    proto::run::v2::Execution,
};

/// `runjob describe`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Describe {
    #[command(flatten)]
    execution: ExecutionArg,
    #[command(flatten)]
    env: ShowEnv,
}

/// Which execution to show.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    execution: ExecutionName,
    show_env: bool,
}

impl Verb for Describe {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        Ok(Meaning { execution: context.execution(&self.execution)?, show_env: self.env.show_env })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.execution.job().location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let execution = mask(session.client.execution(&meaning.execution).await?, meaning.show_env);
        match printer.format() {
            Format::Json => printer.json(&json::resource(&execution)?)?,
            Format::Text => printer.pairs(rows(&execution))?,
        }
        Ok(Exit::Done)
    }
}

fn rows(execution: &Execution) -> Vec<[String; 2]> {
    let row = |name: &str, value: String| [name.to_owned(), value];
    let mut rows = vec![
        row("execution", execution.name.clone()),
        row("state", Phase::of_execution(execution).to_string()),
        row("tasks", counts(execution)),
        row("parallelism", execution.parallelism.to_string()),
        row("created", view::time(execution.create_time.as_ref())),
        row("started", view::time(execution.start_time.as_ref())),
        row("ended", view::time(execution.completion_time.as_ref())),
    ];
    if let Some(template) = &execution.template {
        rows.extend(view::template(template));
    }
    for condition in &execution.conditions {
        let state = condition.state().as_str_name().trim_start_matches("CONDITION_").to_lowercase();
        let message = Some(condition.message.as_str()).filter(|message| !message.is_empty());
        let message = message.map(|message| format!(": {message}")).unwrap_or_default();
        rows.push(row("condition", format!("{} {state}{message}", condition.r#type)));
    }
    if !execution.log_uri.is_empty() {
        rows.push(row("logs", execution.log_uri.clone()));
    }
    rows
}

fn counts(execution: &Execution) -> String {
    let parts = [
        (execution.running_count, "running"),
        (execution.succeeded_count, "succeeded"),
        (execution.failed_count, "failed"),
        (execution.cancelled_count, "cancelled"),
        (execution.retried_count, "retried"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    format!("{} total{}", execution.task_count, parts.collect::<String>())
}
