//! Who may do what: requests checked, and the policies of jobs.

use std::time::SystemTime;

use super::Machine;
use crate::{
    emulator::{
        iam::{self, Needs, Principal},
        refusal::Refusal,
    },
    name::JobName,
    proto::iam::v1::Policy,
};

impl Machine {
    /// The principal that sent a request, if it has the permission.
    pub(crate) fn authorize(&self, authorization: Option<&str>, request: &impl Needs) -> Result<Principal, Refusal> {
        let caller = self.iam.identify(authorization)?;
        if caller == Principal::Unchecked {
            return Ok(caller);
        }
        let need = request.need();
        if let Some(permission) = need.permission.filter(|permission| !self.allows(&caller, permission, &need.resource))
        {
            return Err(Refusal::denied(permission, &need.resource));
        }
        if let Some(account) = need.service_account
            && !self.iam.allows(&caller, iam::ACT_AS, None)
        {
            return Err(Refusal::denied_account(&account));
        }
        Ok(caller)
    }

    pub(crate) fn policy(&self, job: &JobName) -> Result<Policy, Refusal> {
        let record = self.jobs.get(job).ok_or_else(|| Refusal::no_job(job))?;
        Ok(record.policy.clone())
    }

    /// Replaces a job's bindings. An etag has to be the current one.
    pub(crate) fn set_policy(&mut self, job: &JobName, policy: Policy, now: SystemTime) -> Result<Policy, Refusal> {
        let before = self.policy(job)?.etag;
        if !policy.etag.is_empty() && policy.etag != before {
            return Err(Refusal::policy_changed());
        }
        let record = self.jobs.get_mut(job).ok_or_else(|| Refusal::no_job(job))?;
        let policy = Policy {
            version: policy.version.max(1),
            bindings: policy.bindings,
            audit_configs: Vec::new(),
            etag: next_etag(&before, now),
        };
        record.policy.clone_from(&policy);
        Ok(policy)
    }

    /// Those of the permissions that a caller has: none on a job that is not there.
    pub(crate) fn permitted(&self, caller: &Principal, job: &JobName, permissions: Vec<String>) -> Vec<String> {
        if self.jobs.get(job).is_none() {
            return Vec::new();
        }
        let resource = job.to_string();
        permissions.into_iter().filter(|permission| self.allows(caller, permission, &resource)).collect()
    }

    /// A job's policy counts for the job and for what belongs to it.
    fn allows(&self, caller: &Principal, permission: &str, resource: &str) -> bool {
        let of_job: Vec<_> = resource.splitn(7, '/').take(6).collect();
        let job = of_job.join("/").parse().ok().and_then(|job: JobName| self.jobs.get(&job));
        self.iam.allows(caller, permission, job.map(|job| &job.policy))
    }
}

/// The time in microseconds, and more than before even if no time has passed.
fn next_etag(before: &[u8], now: SystemTime) -> Vec<u8> {
    let before = before.try_into().map(u64::from_be_bytes).unwrap_or_default();
    let micros = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    u64::try_from(micros).unwrap_or(u64::MAX).max(before.saturating_add(1)).to_be_bytes().to_vec()
}
