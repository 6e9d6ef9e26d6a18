//! Which jobs the service takes: one function per rule, with the service's texts.
//!
//! Looks at a request as it was sent, before defaults. Knows neither what exists nor what can be run here.

mod container;
mod disk;
mod resources;

use std::{collections::BTreeMap, time::Duration};

use crate::{
    emulator::{refusal::Refusal, startup::DELAY_LIMIT},
    proto::{
        api::LaunchStage,
        run::v2::{
            ExecutionEnvironment, ExecutionTemplate, Job, TaskTemplate, job::CreateExecution, task_template::Retries,
        },
    },
};

pub(crate) use self::{container::env, disk::disks, resources::GPU};

const MAX_TASKS: i32 = 10_000;
const MAX_RETRIES: i32 = 10;
const MAX_TIMEOUT: Duration = Duration::from_secs(168 * 60 * 60);
/// Of a job's id and a token together, with the hyphen between them.
const MAX_EXECUTION_ID: usize = 63;
/// Prefixes of labels and annotations that belong to the system.
const SYSTEM_PREFIXES: [&str; 4] =
    ["run.googleapis.com/", "cloud.googleapis.com/", "serving.knative.dev/", "autoscaling.knative.dev/"];

/// A job id of `CreateJobRequest.job_id`.
pub(crate) fn job_id(id: &str) -> Result<(), Refusal> {
    let fits = id.len() <= 63
        && id.starts_with(|first: char| first.is_ascii_lowercase())
        && !id.ends_with('-')
        && id.bytes().all(is_label_byte);
    ensure(fits, "job_id", || {
        "Resource name must use only lowercase letters, numbers and '-'. Must begin with a letter and cannot end \
         with a '-'. Maximum length is 63 characters."
            .to_owned()
    })
}

/// Everything of a job but its name.
pub(crate) fn job(job: &Job) -> Result<(), Refusal> {
    system_names("labels", "system labels are not supported", &job.labels)?;
    system_names("annotations", "system annotations are not supported", &job.annotations)?;
    launch_stage(job.launch_stage)?;
    template(job.template.as_ref().ok_or_else(|| Refusal::invalid("template", "Job has no task template."))?)
}

/// The token of an execution that starts with its job: it becomes the end of that execution's name.
pub(crate) fn execution_token(job_id: &str, token: &CreateExecution) -> Result<(), Refusal> {
    let (field, token) = match token {
        CreateExecution::StartExecutionToken(token) => ("start_execution_token", token),
        CreateExecution::RunExecutionToken(token) => ("run_execution_token", token),
    };
    ensure(!token.ends_with('-') && token.bytes().all(is_label_byte), field, || {
        "must use only lowercase letters, numbers and '-', and cannot end with a '-'.".to_owned()
    })?;
    ensure(job_id.len() + 1 + token.len() <= MAX_EXECUTION_ID, field, || {
        "The job's name and the token must have fewer than 63 characters together.".to_owned()
    })
}

/// What an execution is made from: a job's template, with or without overrides.
pub(crate) fn template(template: &ExecutionTemplate) -> Result<(), Refusal> {
    system_names("template.labels", "system labels are not supported", &template.labels)?;
    system_names("template.annotations", "system annotations are not supported", &template.annotations)?;
    let task = template.template.as_ref();
    let task = task.ok_or_else(|| Refusal::invalid("template.template", "Job has no task template."))?;
    in_range("template.task_count", template.task_count, MAX_TASKS)?;
    ensure(template.parallelism >= 0, "template.parallelism", || "must not be negative.".to_owned())?;
    retries(task)?;
    timeout("template.template.timeout", task.timeout.as_ref())?;
    ensure(
        task.execution_environment != ExecutionEnvironment::Gen1 as i32,
        "template.template.execution_environment",
        || "The first generation is not supported on resources of kind Execution.".to_owned(),
    )?;
    container::containers(&task.containers)?;
    resources::resources(task)
}

/// A per-attempt timeout: of a job, or of `RunJobRequest.overrides`.
pub(crate) fn timeout(field: &str, timeout: Option<&prost_types::Duration>) -> Result<(), Refusal> {
    let Some(timeout) = timeout else { return Ok(()) };
    let length = Duration::try_from(*timeout).map_err(|_| Refusal::invalid(field, "Illegal duration format."))?;
    ensure((Duration::from_secs(1)..=MAX_TIMEOUT).contains(&length), field, || {
        format!("Illegal duration format: must be between 1s and {}s.", MAX_TIMEOUT.as_secs())
    })
}

/// Whether an execution of this template may be delayed.
pub(crate) fn delay(delayed: bool, template: &ExecutionTemplate) -> Result<(), Refusal> {
    let timeout = template.template.as_ref().and_then(|task| task.timeout).and_then(|it| Duration::try_from(it).ok());
    ensure(!delayed || timeout.is_none_or(|timeout| timeout <= DELAY_LIMIT), "template.template.timeout", || {
        format!("must be at most {}s for a delayed execution.", DELAY_LIMIT.as_secs())
    })
}

fn retries(task: &TaskTemplate) -> Result<(), Refusal> {
    let Some(Retries::MaxRetries(retries)) = task.retries else { return Ok(()) };
    in_range("template.template.max_retries", retries, MAX_RETRIES)
}

fn launch_stage(stage: i32) -> Result<(), Refusal> {
    let allowed = [LaunchStage::Unspecified, LaunchStage::Alpha, LaunchStage::Beta, LaunchStage::Ga];
    ensure(allowed.iter().any(|allowed| *allowed as i32 == stage), "launch_stage", || {
        "must be one of ALPHA, BETA, GA.".to_owned()
    })
}

fn system_names(field: &str, text: &str, map: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let system = map.keys().find(|key| SYSTEM_PREFIXES.iter().any(|prefix| key.starts_with(prefix)));
    match system {
        Some(key) => Err(Refusal::invalid(field, format!("{text}: '{key}'."))),
        None => Ok(()),
    }
}

fn in_range(field: &str, value: i32, most: i32) -> Result<(), Refusal> {
    ensure((0..=most).contains(&value), field, || format!("must be a number between 0 and {most}."))
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

fn ensure(holds: bool, field: impl Into<String>, text: impl FnOnce() -> String) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::invalid(field, text())) }
}
