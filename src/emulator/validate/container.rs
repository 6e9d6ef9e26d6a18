//! Which containers the service takes: images, names, ports, probes, environment, arguments, and how they depend on each
//! other.

use std::collections::{BTreeMap, BTreeSet};

use super::{ensure, is_label_byte};
use crate::{
    emulator::refusal::Refusal,
    proto::run::v2::{Container, EnvVar, env_var::Values},
};

const MAX_CONTAINERS: usize = 10;
/// Of environment variables, and of arguments, over all containers.
const MAX_ENTRIES: usize = 1000;
const MAX_ENV_VALUE: usize = 32 * 1024;
const RESERVED_ENV: [&str; 6] = [
    "CLOUD_RUN_JOB",
    "CLOUD_RUN_EXECUTION",
    "CLOUD_RUN_TASK_INDEX",
    "CLOUD_RUN_TASK_ATTEMPT",
    "CLOUD_RUN_TASK_COUNT",
    "PORT",
];

/// All containers of a task.
pub(super) fn containers(containers: &[Container]) -> Result<(), Refusal> {
    const FIELD: &str = "template.template.containers";
    ensure(!containers.is_empty(), FIELD, || "Job must contain at least one container.".to_owned())?;
    ensure(containers.len() <= MAX_CONTAINERS, FIELD, || "Job may have at most 10 containers.".to_owned())?;
    for (index, container) in containers.iter().enumerate() {
        container_alone(&format!("{FIELD}[{index}]"), container)?;
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

fn container_alone(field: &str, container: &Container) -> Result<(), Refusal> {
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
    no_nul(&at("command"), &container.command)?;
    no_nul(&at("args"), &container.args)?;
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

fn no_nul(field: &str, args: &[String]) -> Result<(), Refusal> {
    ensure(!args.iter().any(|arg| arg.contains('\0')), field, || "An argument holds a NUL byte.".to_owned())
}

fn is_label(text: &str) -> bool {
    text.len() <= 63 && !text.starts_with('-') && !text.ends_with('-') && text.bytes().all(is_label_byte)
}

/// The outer shape of an image reference; whether it exists is asked elsewhere.
fn is_image(image: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    image.starts_with(|first: char| first.is_ascii_alphanumeric()) && image.bytes().all(word)
}
