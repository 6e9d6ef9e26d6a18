//! Ephemeral disks, which are volumes of a medium that only REST has: how large they are.

use serde_json::Value;

use super::{
    ensure,
    resources::{GIB, quantity},
};
use crate::{
    emulator::refusal::Refusal,
    proto::run::v2::{Volume, volume::VolumeType},
};

/// The smallest there is.
const MIN: f64 = 10.0 * GIB;

/// The volumes of a task, with what only REST has of each.
pub(crate) fn disks(volumes: &[Volume], rest_only: &[Value]) -> Result<(), Refusal> {
    for (index, (volume, rest_only)) in volumes.iter().zip(rest_only).enumerate() {
        let Some(VolumeType::EmptyDir(dir)) = &volume.volume_type else { continue };
        if rest_only["emptyDir"]["medium"] != "DISK" {
            continue;
        }
        let field = format!("template.template.volumes[{index}].empty_dir.size_limit");
        let fits = !dir.size_limit.is_empty() && quantity(&field, &dir.size_limit)? >= MIN;
        ensure(fits, field, || "An ephemeral disk has a size of at least 10Gi.".to_owned())?;
    }
    Ok(())
}
