//! `runjob describe`: one execution, in full.

use std::io;

use serde::Serialize;

use crate::{
    ExecutionName, Location, Outcome, Phase,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{global::Format, names::ExecutionArg, show_env::ShowEnv},
        inquiry::Inquiry,
        printer::{Printer, width_of},
        session::Session,
        show::{
            json,
            mask::{self, mask},
            overridden::Comparison,
            report::Report,
            timeline::{Row, draw},
            view,
        },
        verb::Verb,
    },
    outcome::is_finished,
    proto::run::v2::Execution,
};

/// How wide a timeline is where no terminal says it.
const NO_TERMINAL: usize = 80;

/// `runjob describe`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Describe {
    #[command(flatten)]
    execution: ExecutionArg,
    /// Draw the tasks over time, with how often each was tried; in JSON, list them.
    #[arg(long)]
    timeline: bool,
    #[command(flatten)]
    env: ShowEnv,
}

/// Which execution to show.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    execution: ExecutionName,
    /// How wide the timeline may be, where it is wanted.
    timeline: Option<usize>,
    show_env: bool,
}

impl Verb for Describe {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let execution = context.execution(&self.execution)?;
        let timeline = self.timeline.then(|| width(context.env.var("COLUMNS")));
        Ok(Meaning { execution, timeline, show_env: self.env.show_env })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.execution.job().location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let Meaning { execution: name, timeline, show_env } = meaning;
        let execution = session.client.execution(&name).await?;
        let is_asked = timeline.is_some() || has_more_to_tell(&execution);
        let (job, tasks) = tokio::join!(session.client.job(name.job()), async {
            if is_asked {
                Inquiry::of(&session.client, &name, timeline.is_some()).await
            } else {
                Ok(Inquiry::default())
            }
        });
        let Inquiry { failures, retried, rows } = tasks.unwrap_or_else(|error| {
            printer.line(&format!("warning: what its tasks tell is missing: {error}"));
            Inquiry::default()
        });
        let report = Report::seen(&name, &execution, failures, retried);
        let overrides = Comparison::of(&execution, &job, |value| mask::shown(value, show_env));
        let execution = mask(execution, show_env);
        match printer.format() {
            Format::Json => {
                let timeline = timeline.map(|_| rows);
                let mut object = json::resource(&execution)?;
                object["report"] = json::value(&Account { report, overrides, timeline })?;
                printer.json(&object)?;
            }
            Format::Text => {
                printer.pairs(described(&execution, &report, &overrides))?;
                if let Some(width) = timeline {
                    printer.text(&draw(&execution, &rows, width).join("\n"))?;
                }
            }
        }
        Ok(Exit::Done)
    }
}

/// Whether tasks have failed or were retried.
fn has_more_to_tell(execution: &Execution) -> bool {
    let has_failed = is_finished(execution) && Outcome::needs_tasks(execution);
    has_failed || execution.failed_count > 0 || execution.retried_count > 0
}

/// What the resource alone does not say.
#[derive(Serialize)]
struct Account {
    #[serde(flatten)]
    report: Report,
    overrides: Comparison,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<Vec<Row>>,
}

/// The width of the terminal, or of what stands for one.
fn width(columns: Option<&str>) -> usize {
    let told = || columns.and_then(|columns| columns.parse().ok());
    width_of(io::stdout()).or_else(told).unwrap_or(NO_TERMINAL)
}

fn described(execution: &Execution, report: &Report, overrides: &Comparison) -> Vec<[String; 2]> {
    let row = |name: &str, value: String| [name.to_owned(), value];
    let state = if report.is_timed_out() { Phase::TimedOut } else { Phase::of_execution(execution) };
    let mut rows = vec![
        row("execution", execution.name.clone()),
        row("state", state.to_string()),
        row("tasks", counts(execution)),
        row("parallelism", execution.parallelism.to_string()),
        row("created", view::time(execution.create_time.as_ref())),
        row("started", view::time(execution.start_time.as_ref())),
        row("ended", view::time(execution.completion_time.as_ref())),
    ];
    if let Some(template) = &execution.template {
        rows.extend(view::template(template));
        rows.extend(view::limits(template));
    }
    rows.extend(overrides.rows());
    for condition in &execution.conditions {
        let state = condition.state().as_str_name().trim_start_matches("CONDITION_").to_lowercase();
        let message = Some(condition.message.as_str()).filter(|message| !message.is_empty());
        let message = message.map(|message| format!(": {message}")).unwrap_or_default();
        rows.push(row("condition", format!("{} {state}{message}", condition.r#type)));
    }
    rows.extend(report.rows());
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
