//! What each request needs: the table of the API's methods.

use super::roles::{
    EXECUTIONS_CANCEL, EXECUTIONS_DELETE, EXECUTIONS_GET, EXECUTIONS_LIST, JOBS_CREATE, JOBS_DELETE, JOBS_GET,
    JOBS_GET_POLICY, JOBS_LIST, JOBS_RUN, JOBS_RUN_WITH_OVERRIDES, JOBS_SET_POLICY, JOBS_UPDATE, OPERATIONS_DELETE,
    OPERATIONS_GET, OPERATIONS_LIST, TASKS_GET, TASKS_LIST,
};
use crate::{
    emulator::defaults,
    proto::{
        iam::v1::{GetIamPolicyRequest, SetIamPolicyRequest, TestIamPermissionsRequest},
        longrunning::{DeleteOperationRequest, GetOperationRequest, ListOperationsRequest, WaitOperationRequest},
        run::v2::{
            CancelExecutionRequest, CreateJobRequest, DeleteExecutionRequest, DeleteJobRequest, GetExecutionRequest,
            GetJobRequest, GetTaskRequest, Job, ListExecutionsRequest, ListJobsRequest, ListTasksRequest,
            RunJobRequest, UpdateJobRequest, run_job_request::Overrides,
        },
    },
};

/// What the caller of one request has to be allowed.
#[derive(Debug)]
pub(crate) struct Need {
    /// None for what everybody may do whose token is known.
    pub(crate) permission: Option<&'static str>,
    pub(crate) resource: String,
    /// The account that the caller lets tasks run as.
    pub(crate) service_account: Option<String>,
}

/// A request of the API.
pub(crate) trait Needs {
    fn need(&self) -> Need;
}

macro_rules! needs {
    ($($request:ty: $permission:expr, on $field:ident;)*) => {$(
        impl Needs for $request {
            fn need(&self) -> Need {
                Need { permission: $permission.into(), resource: self.$field.clone(), service_account: None }
            }
        }
    )*};
}

needs! {
    GetJobRequest: JOBS_GET, on name;
    ListJobsRequest: JOBS_LIST, on parent;
    DeleteJobRequest: JOBS_DELETE, on name;
    GetIamPolicyRequest: JOBS_GET_POLICY, on resource;
    SetIamPolicyRequest: JOBS_SET_POLICY, on resource;
    TestIamPermissionsRequest: None, on resource;
    GetExecutionRequest: EXECUTIONS_GET, on name;
    ListExecutionsRequest: EXECUTIONS_LIST, on parent;
    DeleteExecutionRequest: EXECUTIONS_DELETE, on name;
    CancelExecutionRequest: EXECUTIONS_CANCEL, on name;
    GetTaskRequest: TASKS_GET, on name;
    ListTasksRequest: TASKS_LIST, on parent;
    GetOperationRequest: OPERATIONS_GET, on name;
    ListOperationsRequest: OPERATIONS_LIST, on name;
    WaitOperationRequest: OPERATIONS_GET, on name;
    DeleteOperationRequest: OPERATIONS_DELETE, on name;
}

impl Needs for RunJobRequest {
    fn need(&self) -> Need {
        let overridden = self.overrides.as_ref().is_some_and(|overrides| *overrides != Overrides::default());
        let permission = if overridden { JOBS_RUN_WITH_OVERRIDES } else { JOBS_RUN };
        Need { permission: Some(permission), resource: self.name.clone(), service_account: None }
    }
}

impl Needs for CreateJobRequest {
    fn need(&self) -> Need {
        define(JOBS_CREATE, format!("{}/jobs/{}", self.parent, self.job_id), self.job.as_ref())
    }
}

impl Needs for UpdateJobRequest {
    fn need(&self) -> Need {
        define(JOBS_UPDATE, self.job.as_ref().map(|job| job.name.clone()).unwrap_or_default(), self.job.as_ref())
    }
}

/// Whoever defines a job decides what runs as its account.
fn define(permission: &'static str, resource: String, job: Option<&Job>) -> Need {
    let task = job.and_then(|job| job.template.as_ref()).and_then(|template| template.template.as_ref());
    let account = task.map(|task| task.service_account.clone()).filter(|account| !account.is_empty());
    let project = resource.split('/').nth(1).unwrap_or_default();
    let account = account.unwrap_or_else(|| defaults::service_account(project));
    Need { permission: Some(permission), resource, service_account: Some(account) }
}
