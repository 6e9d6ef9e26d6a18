//! Which jobs the service takes: one function per rule, with the service's texts.
//!
//! Looks at a request as it was sent, before defaults. Knows neither what exists nor what can be run here.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use crate::{
    emulator::refusal::Refusal,
    proto::{
        api::LaunchStage,
        run::v2::{
            Container, EnvVar, ExecutionEnvironment, ExecutionTemplate, Job, TaskTemplate, env_var::Values,
            task_template::Retries,
        },
    },
};

const MAX_TASKS: i32 = 10_000;
const MAX_RETRIES: i32 = 10;
const MAX_CONTAINERS: usize = 10;
/// Of environment variables, and of arguments, over all containers.
const MAX_ENTRIES: usize = 1000;
const MAX_ENV_VALUE: usize = 32 * 1024;
const MAX_TIMEOUT: Duration = Duration::from_secs(168 * 60 * 60);
const RESERVED_ENV: [&str; 6] = [
    "CLOUD_RUN_JOB",
    "CLOUD_RUN_EXECUTION",
    "CLOUD_RUN_TASK_INDEX",
    "CLOUD_RUN_TASK_ATTEMPT",
    "CLOUD_RUN_TASK_COUNT",
    "PORT",
];
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
    if job.create_execution.is_some() {
        return Err(Refusal::not_emulated("start_execution_token and run_execution_token"));
    }
    template(job.template.as_ref().ok_or_else(|| Refusal::invalid("template", "Job has no task template."))?)
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
    containers(&task.containers)
}

/// A per-attempt timeout: of a job, or of `RunJobRequest.overrides`.
pub(crate) fn timeout(field: &str, timeout: Option<&prost_types::Duration>) -> Result<(), Refusal> {
    let Some(timeout) = timeout else { return Ok(()) };
    let length = Duration::try_from(*timeout).map_err(|_| Refusal::invalid(field, "Illegal duration format."))?;
    ensure((Duration::from_secs(1)..=MAX_TIMEOUT).contains(&length), field, || {
        format!("Illegal duration format: must be between 1s and {}s.", MAX_TIMEOUT.as_secs())
    })
}

/// The environment of one container: of a job, or of `RunJobRequest.overrides`.
pub(crate) fn env(field: &str, env: &[EnvVar]) -> Result<(), Refusal> {
    for variable in env {
        let name = &variable.name;
        ensure(!name.is_empty(), field, || "The name of an environment variable must not be empty.".to_owned())?;
        ensure(!name.contains(['=', '\0']), field, || format!("'{}' cannot name a variable.", name.escape_default()))?;
        let value = match &variable.values {
            Some(Values::Value(value)) => value.as_str(),
            _ => "",
        };
        ensure(value.len() <= MAX_ENV_VALUE, field, || format!("The value of {name} is over {MAX_ENV_VALUE} bytes."))?;
        ensure(!value.contains('\0'), field, || format!("The value of {name} holds a NUL byte."))?;
    }
    let names = env.iter().map(|variable| variable.name.as_str());
    let reserved: Vec<_> = names.filter(|name| RESERVED_ENV.contains(name)).collect();
    ensure(reserved.is_empty(), field, || {
        format!(
            "The following reserved env names were provided: {}. These values are automatically set by the system.",
            reserved.join(", ")
        )
    })
}

/// The arguments of one container.
pub(crate) fn args(field: &str, args: &[String]) -> Result<(), Refusal> {
    ensure(!args.iter().any(|arg| arg.contains('\0')), field, || "An argument holds a NUL byte.".to_owned())
}

fn containers(containers: &[Container]) -> Result<(), Refusal> {
    const FIELD: &str = "template.template.containers";
    ensure(!containers.is_empty(), FIELD, || "Job must contain at least one container.".to_owned())?;
    ensure(containers.len() <= MAX_CONTAINERS, FIELD, || "Job may have at most 10 containers.".to_owned())?;
    for (index, container) in containers.iter().enumerate() {
        self::container(&format!("{FIELD}[{index}]"), container)?;
    }
    let entries = |count: fn(&Container) -> usize| containers.iter().map(count).sum::<usize>();
    ensure(entries(|container| container.env.len()) <= MAX_ENTRIES, FIELD, || {
        "At most 1000 environment variables are supported.".to_owned()
    })?;
    ensure(entries(|container| container.args.len()) <= MAX_ENTRIES, FIELD, || {
        "At most 1000 arguments are supported.".to_owned()
    })?;
    unique_names(containers)?;
    dependencies(containers)
}

fn container(field: &str, container: &Container) -> Result<(), Refusal> {
    let image = &container.image;
    let at = |part: &str| format!("{field}.{part}");
    ensure(!image.is_empty(), at("image"), || "Revision must provide an image name to deploy.".to_owned())?;
    ensure(is_image(image), at("image"), || "must be a container image path.".to_owned())?;
    ensure(container.name.is_empty() || is_label(&container.name), at("name"), || {
        "must be a lowercase RFC 1123 label.".to_owned()
    })?;
    ensure(container.ports.len() <= 1, at("ports"), || "Container should contain 0 or 1 port.".to_owned())?;
    ensure(container.liveness_probe.is_none(), at("liveness_probe"), || {
        "Execution does not support liveness probe.".to_owned()
    })?;
    args(&at("command"), &container.command)?;
    args(&at("args"), &container.args)?;
    env(&at("env"), &container.env)
}

fn unique_names(containers: &[Container]) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for container in containers.iter().filter(|container| !container.name.is_empty()) {
        ensure(seen.insert(&container.name), "template.template.containers", || {
            format!("The container name '{}' is used twice.", container.name)
        })?;
    }
    Ok(())
}

/// Every `depends_on` names a container, and following them ends.
fn dependencies(containers: &[Container]) -> Result<(), Refusal> {
    const FIELD: &str = "template.template.containers.depends_on";
    let mut waiting: BTreeMap<&str, &[String]> =
        containers.iter().map(|container| (container.name.as_str(), container.depends_on.as_slice())).collect();
    for name in containers.iter().flat_map(|container| &container.depends_on) {
        let known = !name.is_empty() && waiting.contains_key(name.as_str());
        ensure(known, FIELD, || format!("Container '{name}' does not exist."))?;
    }
    while !waiting.is_empty() {
        let before = waiting.len();
        let blocked: BTreeSet<&str> = waiting.keys().copied().collect();
        waiting.retain(|_, needs| needs.iter().any(|need| blocked.contains(need.as_str())));
        ensure(waiting.len() < before, FIELD, || "Container dependency cycle detected.".to_owned())?;
    }
    Ok(())
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

fn system_names(field: &str, text: &str, map: &HashMap<String, String>) -> Result<(), Refusal> {
    let system = map.keys().find(|key| SYSTEM_PREFIXES.iter().any(|prefix| key.starts_with(prefix)));
    match system {
        Some(key) => Err(Refusal::invalid(field, format!("{text}: '{key}'."))),
        None => Ok(()),
    }
}

fn in_range(field: &str, value: i32, most: i32) -> Result<(), Refusal> {
    ensure((0..=most).contains(&value), field, || format!("must be a number between 0 and {most}."))
}

fn is_label(text: &str) -> bool {
    text.len() <= 63 && !text.starts_with('-') && !text.ends_with('-') && text.bytes().all(is_label_byte)
}

fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

/// The outer shape of an image reference; whether it exists is asked elsewhere.
fn is_image(image: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    image.starts_with(|first: char| first.is_ascii_alphanumeric()) && image.bytes().all(word)
}

fn ensure(holds: bool, field: impl Into<String>, text: impl FnOnce() -> String) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::invalid(field, text())) }
}
