//! Volumes of a job and where its containers mount them, Cloud SQL's sockets among them.

use super::{table::task, value::FieldValue};
use crate::proto::run::v2::{
    CloudSqlInstance, Container, EmptyDirVolumeSource, GcsVolumeSource, Job, NfsVolumeSource, SecretVolumeSource,
    VersionToPath, Volume, VolumeMount, empty_dir_volume_source::Medium, volume::VolumeType,
};

/// The volume of Cloud SQL's sockets, and where gcloud and the console mount it.
const DATABASES: &str = "cloudsql";
const SOCKETS: &str = "/cloudsql";

/// The properties of a volume or mount, taken one by one.
pub(super) struct Properties(pub(super) Vec<(String, String)>);

impl Properties {
    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.remove(index).1)
    }

    fn need(&mut self, name: &str) -> Result<String, String> {
        self.take(name).filter(|value| !value.is_empty()).ok_or_else(|| format!("{name} is missing"))
    }

    fn is_set(&mut self, name: &str) -> Result<bool, String> {
        match self.take(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(format!("{name} is true or false")),
        }
    }

    fn end(self) -> Result<(), String> {
        self.0.first().map_or(Ok(()), |(name, _)| Err(format!("{name} is not known here")))
    }
}

/// `name=N,type=T` and what the type needs.
pub(super) fn volume(mut of: Properties) -> Result<Volume, String> {
    let name = of.need("name")?;
    let kind = match of.need("type")?.as_str() {
        "secret" => VolumeType::Secret(secret(&mut of)?),
        "cloud-storage" => VolumeType::Gcs(GcsVolumeSource {
            bucket: of.need("bucket")?,
            read_only: of.is_set("readonly")?,
            mount_options: of.take("mount-options").iter().flat_map(|all| all.split(';').map(str::to_owned)).collect(),
        }),
        "nfs" => {
            let location = of.need("location")?;
            let (server, path) = location.split_once(':').ok_or("location is SERVER:/PATH")?;
            let (server, path) = (server.to_owned(), path.to_owned());
            VolumeType::Nfs(NfsVolumeSource { server, path, read_only: of.is_set("readonly")? })
        }
        "in-memory" => {
            let size_limit = of.take("size-limit").unwrap_or_default();
            VolumeType::EmptyDir(EmptyDirVolumeSource { medium: Medium::Memory.into(), size_limit })
        }
        _ => return Err("type is secret, cloud-storage, nfs or in-memory".to_owned()),
    };
    of.end()?;
    Ok(Volume { name, volume_type: Some(kind) })
}

fn secret(of: &mut Properties) -> Result<SecretVolumeSource, String> {
    let (secret, version, path) = (of.need("secret")?, of.take("version"), of.take("path"));
    let item =
        path.map(|path| VersionToPath { path, version: version.unwrap_or_else(|| "latest".to_owned()), mode: 0 });
    Ok(SecretVolumeSource { secret, items: item.into_iter().collect(), default_mode: 0 })
}

/// `volume=N,mount-path=/P`
pub(super) fn mount(mut of: Properties) -> Result<VolumeMount, String> {
    let name = of.need("volume")?;
    let mount_path = of.need("mount-path")?;
    let sub_path = of.take("sub-path").unwrap_or_default();
    of.end()?;
    Ok(VolumeMount { name, mount_path, sub_path })
}

/// Replaces the volumes of these names, and adds new ones behind.
pub(super) fn merge(job: &mut Job, value: &FieldValue) {
    let volumes = &mut task(job).volumes;
    for volume in value.volumes() {
        match volumes.iter_mut().find(|known| known.name == volume.name) {
            Some(known) => known.clone_from(volume),
            None => volumes.push(volume.clone()),
        }
    }
}

pub(super) fn remove(job: &mut Job, value: &FieldValue) {
    let names = value.list();
    task(job).volumes.retain(|volume| !names.contains(&volume.name));
}

/// Replaces the mounts at these paths, and adds new ones behind.
pub(super) fn merge_mounts(container: &mut Container, value: &FieldValue) {
    for mount in value.mounts() {
        match container.volume_mounts.iter_mut().find(|known| known.mount_path == mount.mount_path) {
            Some(known) => known.clone_from(mount),
            None => container.volume_mounts.push(mount.clone()),
        }
    }
}

pub(super) fn remove_mounts(container: &mut Container, value: &FieldValue) {
    let paths = value.list();
    container.volume_mounts.retain(|mount| !paths.contains(&mount.mount_path));
}

fn databases(job: &mut Job) -> Vec<String> {
    let volume = task(job).volumes.iter().find(|volume| volume.name == DATABASES);
    match volume.and_then(|volume| volume.volume_type.as_ref()) {
        Some(VolumeType::CloudSqlInstance(databases)) => databases.instances.clone(),
        _ => Vec::new(),
    }
}

/// Has each container reach these instances, and no others.
fn connect(job: &mut Job, instances: Vec<String>) {
    let task = task(job);
    if instances.is_empty() {
        task.volumes.retain(|volume| volume.name != DATABASES);
        task.containers
            .iter_mut()
            .for_each(|container| container.volume_mounts.retain(|mount| mount.name != DATABASES));
        return;
    }
    let kind = Some(VolumeType::CloudSqlInstance(CloudSqlInstance { instances }));
    match task.volumes.iter_mut().find(|volume| volume.name == DATABASES) {
        Some(volume) => volume.volume_type = kind,
        None => task.volumes.push(Volume { name: DATABASES.to_owned(), volume_type: kind }),
    }
    for container in &mut task.containers {
        if !container.volume_mounts.iter().any(|mount| mount.name == DATABASES) {
            let (name, mount_path) = (DATABASES.to_owned(), SOCKETS.to_owned());
            container.volume_mounts.push(VolumeMount { name, mount_path, sub_path: String::new() });
        }
    }
}

pub(super) fn set_databases(job: &mut Job, value: &FieldValue) {
    connect(job, value.list());
}

pub(super) fn add_databases(job: &mut Job, value: &FieldValue) {
    let mut instances = databases(job);
    let new = value.list().into_iter().filter(|instance| !instances.contains(instance)).collect::<Vec<_>>();
    instances.extend(new);
    connect(job, instances);
}

pub(super) fn remove_databases(job: &mut Job, value: &FieldValue) {
    let (mut instances, gone) = (databases(job), value.list());
    instances.retain(|instance| !gone.contains(instance));
    connect(job, instances);
}
