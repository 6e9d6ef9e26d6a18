//! `runjob tasks list`

use futures_util::TryStreamExt;

use crate::{
    Client, ExecutionName,
    cli::{
        failure::Failure,
        flags::global::Format,
        printer::Printer,
        show::{json, mask::mask, phase::Phase, view},
    },
    proto::run::v2::Task,
};

/// Lists an execution's tasks.
pub(super) async fn list(
    client: &Client,
    printer: &Printer,
    execution: &ExecutionName,
    show_env: bool,
) -> Result<(), Failure> {
    let tasks = client.tasks(execution).map_ok(|task| mask(task, show_env));
    let tasks: Vec<Task> = tasks.try_collect().await?;
    match printer.format() {
        Format::Json => printer.json(&json::resources(&tasks)?),
        Format::Text => {
            printer.table(&["TASK", "STATE", "RETRIES", "LAST ATTEMPT", "STARTED", "ENDED"], tasks.iter().map(row))
        }
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
