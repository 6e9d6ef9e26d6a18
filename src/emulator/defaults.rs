//! What the service fills in where a job says nothing.

use prost_types::Duration;

use crate::proto::{
    api::LaunchStage,
    run::v2::{Container, ExecutionEnvironment, Job, TaskTemplate, task_template::Retries},
};

/// The number in the runtime account's address; the emulator has no project numbers.
const PROJECT_NUMBER: u64 = 123_456_789_012;

/// Completes a validated job.
pub(crate) fn fill(job: &mut Job) {
    if job.launch_stage == LaunchStage::Unspecified as i32 {
        job.launch_stage = LaunchStage::Ga as i32;
    }
    let Some(template) = &mut job.template else { return };
    if template.task_count == 0 {
        template.task_count = 1;
    }
    if let Some(task) = &mut template.template {
        fill_task(task);
    }
}

fn fill_task(task: &mut TaskTemplate) {
    task.retries.get_or_insert(Retries::MaxRetries(3));
    task.timeout.get_or_insert(Duration { seconds: 600, nanos: 0 });
    if task.execution_environment == ExecutionEnvironment::Unspecified as i32 {
        task.execution_environment = ExecutionEnvironment::Gen2 as i32;
    }
    if task.service_account.is_empty() {
        task.service_account = format!("{PROJECT_NUMBER}-compute@developer.gserviceaccount.com");
    }
    let memory = if task.containers.len() > 1 { "256Mi" } else { "512Mi" };
    for container in &mut task.containers {
        fill_container(container, memory);
    }
}

fn fill_container(container: &mut Container, memory: &str) {
    let limits = &mut container.resources.get_or_insert_default().limits;
    for (name, value) in [("cpu", "1000m"), ("memory", memory)] {
        limits.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    if let Some(probe) = &mut container.startup_probe {
        for (field, value) in
            [(&mut probe.failure_threshold, 3), (&mut probe.period_seconds, 10), (&mut probe.timeout_seconds, 1)]
        {
            if *field == 0 {
                *field = value;
            }
        }
    }
}
