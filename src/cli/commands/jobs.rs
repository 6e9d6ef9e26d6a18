//! `runjob jobs list|describe|create|delete`

use futures_util::TryStreamExt;

use crate::{
    Client, JobName, Location,
    cli::{
        failure::Failure,
        flags::global::Format,
        printer::Printer,
        show::{json, mask::mask, view},
    },
    proto::run::v2::{Job, condition::State},
};

/// Lists the jobs of a project and region.
pub(super) async fn list(
    client: &Client,
    printer: &Printer,
    location: &Location,
    show_env: bool,
) -> Result<(), Failure> {
    let jobs: Vec<Job> = client.jobs(location).map_ok(|job| mask(job, show_env)).try_collect().await?;
    match printer.format() {
        Format::Json => printer.json(&json::resources(&jobs)?),
        Format::Text => printer.table(&["JOB", "STATE", "EXECUTIONS", "LATEST", "CREATED"], jobs.iter().map(row)),
    }
}

/// Shows a job.
pub(super) async fn describe(client: &Client, printer: &Printer, job: &JobName, show_env: bool) -> Result<(), Failure> {
    show(printer, mask(client.job(job).await?, show_env))
}

/// Creates a job and waits until it is ready.
pub(super) async fn create(client: &Client, printer: &Printer, job: &JobName, definition: Job) -> Result<(), Failure> {
    let created = client.create_job(job, definition).await?.wait().await?;
    printer.note(&format!("note: created; `runjob execute {job}` starts it"));
    show(printer, mask(created, false))
}

/// Deletes a job and waits until it is gone.
pub(super) async fn delete(client: &Client, printer: &Printer, job: &JobName) -> Result<(), Failure> {
    let deleted = client.delete_job(job).await?.wait().await?;
    match printer.format() {
        Format::Json => printer.json(&json::resource(&mask(deleted, false))?),
        Format::Text => printer.text(&job.to_string()),
    }
}

fn show(printer: &Printer, job: Job) -> Result<(), Failure> {
    match printer.format() {
        Format::Json => printer.json(&json::resource(&job)?),
        Format::Text => printer.pairs(rows(&job)),
    }
}

fn rows(job: &Job) -> Vec<[String; 2]> {
    let row = |name: &str, value: String| [name.to_owned(), value];
    let mut rows = vec![
        row("job", job.name.clone()),
        row("state", state(job)),
        row("executions", job.execution_count.to_string()),
        row("latest", latest(job)),
        row("created", view::time(job.create_time.as_ref())),
        row("updated", view::time(job.update_time.as_ref())),
    ];
    if let Some(template) = &job.template {
        rows.push(row("tasks", template.task_count.to_string()));
        if template.parallelism != 0 {
            rows.push(row("parallelism", template.parallelism.to_string()));
        }
        rows.extend(template.template.iter().flat_map(view::template));
    }
    rows
}

fn row(job: &Job) -> Vec<String> {
    vec![
        view::id(&job.name),
        state(job),
        job.execution_count.to_string(),
        latest(job),
        view::time(job.create_time.as_ref()),
    ]
}

fn state(job: &Job) -> String {
    match job.terminal_condition.as_ref().map(|condition| condition.state()) {
        Some(State::ConditionSucceeded) => "ready",
        Some(State::ConditionFailed) => "failed",
        _ => "pending",
    }
    .to_owned()
}

fn latest(job: &Job) -> String {
    let latest = job.latest_created_execution.as_ref().map(|latest| view::id(&latest.name));
    latest.filter(|id| !id.is_empty()).unwrap_or_else(|| view::NOTHING.to_owned())
}
