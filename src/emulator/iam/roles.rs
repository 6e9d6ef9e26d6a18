//! The permissions of the API, and the roles as sets of them.

pub(super) const JOBS_CREATE: &str = "run.jobs.create";
pub(super) const JOBS_DELETE: &str = "run.jobs.delete";
pub(super) const JOBS_GET: &str = "run.jobs.get";
pub(super) const JOBS_GET_POLICY: &str = "run.jobs.getIamPolicy";
pub(super) const JOBS_LIST: &str = "run.jobs.list";
pub(super) const JOBS_RUN: &str = "run.jobs.run";
pub(super) const JOBS_RUN_WITH_OVERRIDES: &str = "run.jobs.runWithOverrides";
pub(super) const JOBS_SET_POLICY: &str = "run.jobs.setIamPolicy";
pub(super) const JOBS_UPDATE: &str = "run.jobs.update";
pub(super) const EXECUTIONS_CANCEL: &str = "run.executions.cancel";
pub(super) const EXECUTIONS_DELETE: &str = "run.executions.delete";
pub(super) const EXECUTIONS_GET: &str = "run.executions.get";
pub(super) const EXECUTIONS_LIST: &str = "run.executions.list";
pub(super) const TASKS_GET: &str = "run.tasks.get";
pub(super) const TASKS_LIST: &str = "run.tasks.list";
pub(super) const OPERATIONS_DELETE: &str = "run.operations.delete";
pub(super) const OPERATIONS_GET: &str = "run.operations.get";
pub(super) const OPERATIONS_LIST: &str = "run.operations.list";
const LOCATIONS_LIST: &str = "run.locations.list";
/// To let tasks run as a service account.
pub(crate) const ACT_AS: &str = "iam.serviceAccounts.actAs";

type Set = &'static [&'static str];

const LOOK: Set = &[
    JOBS_GET,
    JOBS_GET_POLICY,
    JOBS_LIST,
    EXECUTIONS_GET,
    EXECUTIONS_LIST,
    TASKS_GET,
    TASKS_LIST,
    OPERATIONS_GET,
    OPERATIONS_LIST,
    LOCATIONS_LIST,
];
const CHANGE: Set = &[
    JOBS_CREATE,
    JOBS_DELETE,
    JOBS_RUN,
    JOBS_RUN_WITH_OVERRIDES,
    JOBS_UPDATE,
    EXECUTIONS_CANCEL,
    EXECUTIONS_DELETE,
    OPERATIONS_DELETE,
];
const ADMINISTER: Set = &[JOBS_SET_POLICY];
const BE_SOMEBODY: Set = &[ACT_AS];

const ROLES: [(&str, &[Set]); 10] = [
    ("roles/run.invoker", &[&[JOBS_RUN]]),
    ("roles/run.jobsExecutor", &[&[JOBS_RUN, EXECUTIONS_CANCEL]]),
    ("roles/run.jobsExecutorWithOverrides", &[&[JOBS_RUN, JOBS_RUN_WITH_OVERRIDES, EXECUTIONS_CANCEL]]),
    ("roles/run.viewer", &[LOOK]),
    ("roles/run.developer", &[LOOK, CHANGE]),
    ("roles/run.admin", &[LOOK, CHANGE, ADMINISTER]),
    ("roles/iam.serviceAccountUser", &[BE_SOMEBODY]),
    ("roles/viewer", &[LOOK]),
    ("roles/editor", &[LOOK, CHANGE, BE_SOMEBODY]),
    ("roles/owner", &[LOOK, CHANGE, ADMINISTER, BE_SOMEBODY]),
];

/// What a role allows; nothing if there is no such role.
pub(super) fn permissions(role: &str) -> Option<impl Iterator<Item = &'static str>> {
    let (_, sets) = ROLES.iter().find(|(name, _)| *name == role)?;
    Some(sets.iter().flat_map(|set| set.iter().copied()))
}

/// The permission of that name, if there is one.
pub(super) fn permission(name: &str) -> Option<&'static str> {
    let all = [LOOK, CHANGE, ADMINISTER, BE_SOMEBODY].into_iter().flatten();
    all.copied().find(|permission| *permission == name)
}
