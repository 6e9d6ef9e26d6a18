//! How the tasks of a job reach a VPC network. What is left empty is left out.

use super::{table::task, value::FieldValue};
use crate::proto::run::v2::{
    Job, VpcAccess,
    vpc_access::{NetworkInterface, VpcEgress},
};

/// The words of --vpc-egress.
pub(super) const EGRESS: [&str; 3] = ["all", "all-traffic", "private-ranges-only"];

fn change(job: &mut Job, change: impl FnOnce(&mut VpcAccess)) {
    let vpc_access = &mut task(job).vpc_access;
    let mut access = vpc_access.take().unwrap_or_default();
    change(&mut access);
    *vpc_access = (access != VpcAccess::default()).then_some(access);
}

/// Changes the one interface that a job has.
fn change_interface(job: &mut Job, apply: impl FnOnce(&mut NetworkInterface)) {
    change(job, |access| {
        let mut interface = access.network_interfaces.pop().unwrap_or_default();
        apply(&mut interface);
        if interface != NetworkInterface::default() {
            access.network_interfaces.push(interface);
        }
    });
}

pub(super) fn connector(job: &mut Job, value: &FieldValue) {
    change(job, |access| access.connector = value.text());
}

pub(super) fn egress(job: &mut Job, value: &FieldValue) {
    let egress = match value.text().as_str() {
        "private-ranges-only" => VpcEgress::PrivateRangesOnly,
        _ => VpcEgress::AllTraffic,
    };
    change(job, |access| access.egress = egress.into());
}

pub(super) fn network(job: &mut Job, value: &FieldValue) {
    change_interface(job, |interface| interface.network = value.text());
}

pub(super) fn subnet(job: &mut Job, value: &FieldValue) {
    change_interface(job, |interface| interface.subnetwork = value.text());
}

pub(super) fn tags(job: &mut Job, value: &FieldValue) {
    change_interface(job, |interface| interface.tags = value.list());
}

pub(super) fn clear(job: &mut Job, _: &FieldValue) {
    change(job, |access| access.network_interfaces.clear());
}
