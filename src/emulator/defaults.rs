//! What the service fills in where a job says nothing.

use prost_types::Duration;

use crate::{
    emulator::synthetic,
    proto::{
        api::LaunchStage,
        run::v2::{
            Container, ExecutionEnvironment, GrpcAction, HttpGetAction, Job, Probe, TaskTemplate, TcpSocketAction,
            Volume, VolumeMount, probe::ProbeType, task_template::Retries, volume::VolumeType,
        },
    },
};

/// One CPU for each container.
pub(crate) const CPU: &str = "1000m";
/// The startup probe's default port, for a container without ports.
const PORT: i32 = 8080;
const DATABASES: &str = "/cloudsql";

/// The default memory of each container of a task that has this many.
pub(crate) fn memory(containers: usize) -> &'static str {
    if containers > 1 { "256Mi" } else { "512Mi" }
}

/// The account that tasks of a project run as.
pub(crate) fn service_account(project: &str) -> String {
    format!("{}-compute@developer.gserviceaccount.com", synthetic::project_number(project))
}

/// Completes a validated job of that project.
pub(crate) fn fill(job: &mut Job, project: &str) {
    if job.launch_stage == LaunchStage::Unspecified as i32 {
        job.launch_stage = LaunchStage::Ga as i32;
    }
    let Some(template) = &mut job.template else { return };
    if template.task_count == 0 {
        template.task_count = 1;
    }
    if let Some(task) = &mut template.template {
        fill_task(task, project);
    }
}

fn fill_task(task: &mut TaskTemplate, project: &str) {
    task.retries.get_or_insert(Retries::MaxRetries(3));
    task.timeout.get_or_insert(Duration { seconds: 600, nanos: 0 });
    if task.execution_environment == ExecutionEnvironment::Unspecified as i32 {
        task.execution_environment = ExecutionEnvironment::Gen2 as i32;
    }
    if task.service_account.is_empty() {
        task.service_account = service_account(project);
    }
    let memory = memory(task.containers.len());
    for container in &mut task.containers {
        fill_container(container, memory);
        mount_databases(container, &task.volumes);
    }
}

fn fill_container(container: &mut Container, memory: &str) {
    let limits = &mut container.resources.get_or_insert_default().limits;
    for (name, value) in [("cpu", CPU), ("memory", memory)] {
        limits.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
    let port = container.ports.first().map_or(PORT, |port| port.container_port);
    if let Some(probe) = &mut container.startup_probe {
        fill_probe(probe, port);
    }
}

/// Sockets of Cloud SQL are always mounted at the same path, whatever a job says.
fn mount_databases(container: &mut Container, volumes: &[Volume]) {
    let is_database = |mount: &VolumeMount| {
        let volume = volumes.iter().find(|volume| volume.name == mount.name);
        matches!(volume.and_then(|volume| volume.volume_type.as_ref()), Some(VolumeType::CloudSqlInstance(_)))
    };
    for mount in container.volume_mounts.iter_mut().filter(|mount| is_database(mount)) {
        DATABASES.clone_into(&mut mount.mount_path);
    }
}

/// A probe that does not say how it asks does so by HTTP.
fn fill_probe(probe: &mut Probe, default_port: i32) {
    fill_number(&mut probe.failure_threshold, 3);
    fill_number(&mut probe.period_seconds, 10);
    fill_number(&mut probe.timeout_seconds, 1);
    match probe.probe_type.get_or_insert(ProbeType::HttpGet(HttpGetAction::default())) {
        ProbeType::HttpGet(HttpGetAction { port, .. })
        | ProbeType::TcpSocket(TcpSocketAction { port })
        | ProbeType::Grpc(GrpcAction { port, .. }) => fill_number(port, default_port),
    }
}

fn fill_number(field: &mut i32, default: i32) {
    if *field == 0 {
        *field = default;
    }
}
