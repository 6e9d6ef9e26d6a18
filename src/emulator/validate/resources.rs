//! How much CPU, memory and GPU a task may ask for.
//!
//! Judges what a container gets in the end: its own limits, and the defaults where it names none.

use std::time::Duration;

use super::ensure;
use crate::{
    emulator::{defaults, refusal::Refusal},
    proto::run::v2::{Container, TaskTemplate},
};

const CPU: &str = "cpu";
const MEMORY: &str = "memory";
pub(crate) const GPU: &str = "nvidia.com/gpu";
/// The accelerator whose needs are known.
const L4: &str = "nvidia-l4";
/// Of one attempt with a GPU.
const MAX_GPU_TIMEOUT: Duration = Duration::from_secs(12 * 60 * 60);
pub(super) const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// A number of CPUs, and the least and the most memory that goes with it.
struct CpuRule {
    cpu: f64,
    least: &'static str,
    most: &'static str,
}

const MACHINES: [CpuRule; 5] = [
    CpuRule { cpu: 1.0, least: "128Mi", most: "4Gi" },
    CpuRule { cpu: 2.0, least: "128Mi", most: "8Gi" },
    CpuRule { cpu: 4.0, least: "2Gi", most: "16Gi" },
    CpuRule { cpu: 6.0, least: "4Gi", most: "24Gi" },
    CpuRule { cpu: 8.0, least: "4Gi", most: "32Gi" },
];

/// What all containers of a task ask for.
pub(super) fn resources(task: &TaskTemplate) -> Result<(), Refusal> {
    let default_memory = defaults::memory(task.containers.len());
    for (index, container) in task.containers.iter().enumerate() {
        let field = format!("template.template.containers[{index}].resources");
        limits(&field, task, container, default_memory)?;
    }
    Ok(())
}

fn limits(field: &str, task: &TaskTemplate, container: &Container, default_memory: &str) -> Result<(), Refusal> {
    let resources = container.resources.clone().unwrap_or_default();
    ensure(!resources.cpu_idle, format!("{field}.cpu_idle"), || "must be false on jobs.".to_owned())?;
    let field = format!("{field}.limits");
    let unknown = resources.limits.keys().find(|name| ![CPU, MEMORY, GPU].contains(&name.as_str()));
    ensure(unknown.is_none(), field.as_str(), || {
        format!("'{}' is no resource: use {CPU}, {MEMORY} or {GPU}.", unknown.map_or("", String::as_str))
    })?;
    let limit = |name, default| resources.limits.get(name).map_or(default, String::as_str);
    let cpu = quantity(&field, limit(CPU, defaults::CPU))?;
    let memory = quantity(&field, limit(MEMORY, default_memory))?;
    match resources.limits.get(GPU) {
        None => fits(&field, cpu, memory),
        Some(count) => gpu(&field, task, quantity(&field, count)?, cpu, memory),
    }
}

/// Whether there are such machines. Less than one CPU is taken to allow what one CPU does.
fn fits(field: &str, cpu: f64, memory: f64) -> Result<(), Refusal> {
    let is_part = (0.08..1.0).contains(&cpu);
    let machine = MACHINES.iter().find(|machine| machine.cpu == if is_part { 1.0 } else { cpu });
    let Some(CpuRule { least, most, .. }) = machine else {
        let text = "Invalid value specified for cpu. Must be equal to one of [.08-1], 1.0, 2.0, 4.0, 6.0, 8.0";
        return Err(Refusal::invalid(field, text));
    };
    let allowed = parse(least).unwrap_or_default()..=parse(most).unwrap_or_default();
    ensure(allowed.contains(&memory), field, || {
        let cpu = if is_part { cpu.to_string() } else { format!("{cpu:.1}") };
        format!(
            "Invalid value specified for container memory. For {cpu} CPU, memory must be between {least} and {most} \
             inclusive."
        )
    })
}

/// Machines of other accelerators than L4 have sizes of their own, which are not checked.
fn gpu(field: &str, task: &TaskTemplate, count: f64, cpu: f64, memory: f64) -> Result<(), Refusal> {
    ensure(count == 1.0, field, || format!("Invalid value specified for {GPU}. Must be equal to 1."))?;
    ensure(task.gpu_zonal_redundancy_disabled(), "template.template.gpu_zonal_redundancy_disabled", || {
        "must be true when using GPU: jobs have no zonal redundancy.".to_owned()
    })?;
    let timeout = task.timeout.and_then(|timeout| Duration::try_from(timeout).ok()).unwrap_or_default();
    ensure(timeout <= MAX_GPU_TIMEOUT, "template.template.timeout", || {
        format!("must be at most {}s when using GPU.", MAX_GPU_TIMEOUT.as_secs())
    })?;
    if task.node_selector.as_ref().is_none_or(|node| node.accelerator != L4) {
        return Ok(());
    }
    ensure(cpu >= 4.0 && memory >= 16.0 * GIB, field, || format!("{L4} needs at least 4 CPU and 16Gi of memory."))?;
    fits(field, cpu, memory)
}

pub(super) fn quantity(field: &str, text: &str) -> Result<f64, Refusal> {
    parse(text).ok_or_else(|| Refusal::invalid(field, format!("Could not parse Quantity '{}'.", text.escape_default())))
}

/// A number as Kubernetes writes it: `500m`, `0.5`, `2`, `512Mi`, `1G`.
fn parse(text: &str) -> Option<f64> {
    let end = text.find(|byte: char| !byte.is_ascii_digit() && byte != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    // Divided, because a thousandth is no binary fraction: `1000m` has to be exactly 1.
    if unit == "m" {
        return Some(number / 1000.0);
    }
    let units = [("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)];
    let binary = [("Ki", 1024.0), ("Mi", 1024.0 * 1024.0), ("Gi", GIB), ("Ti", 1024.0 * GIB)];
    let factor = units.into_iter().chain(binary).find(|(name, _)| *name == unit)?.1;
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_numbers_with_a_unit() {
        for (text, value) in
            [("1", 1.0), ("1000m", 1.0), (".08", 0.08), ("2.0", 2.0), ("1Ki", 1024.0), ("4Gi", 4.0 * GIB), ("1G", 1e9)]
        {
            assert_eq!(parse(text), Some(value), "{text}");
        }
        for text in ["", "m", "-1", "1.2.3", "1 Gi", "1gi", "Gi", "0x1", "inf", "1e", "\u{661}"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
