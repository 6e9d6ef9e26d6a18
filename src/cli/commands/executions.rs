//! `runjob executions list`

use futures_util::TryStreamExt;

use crate::{
    Client, JobName,
    cli::{
        failure::Failure,
        flags::global::Format,
        printer::Printer,
        show::{json, mask::mask, phase::Phase, view},
    },
    proto::run::v2::Execution,
};

/// Lists a job's executions, or those of every job.
pub(super) async fn list(client: &Client, printer: &Printer, job: &JobName, show_env: bool) -> Result<(), Failure> {
    let executions = client.executions(job).map_ok(|execution| mask(execution, show_env));
    let executions: Vec<Execution> = executions.try_collect().await?;
    match printer.format() {
        Format::Json => printer.json(&json::resources(&executions)?),
        Format::Text => printer.table(&["EXECUTION", "STATE", "DONE", "CREATED", "ENDED"], executions.iter().map(row)),
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
