//! The RPCs of the API by name, and which resource a call is about. Knows messages, and nothing of what they do.

use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::proto::{
    longrunning::{ListOperationsRequest, operations_server},
    run::v2::{CreateJobRequest, UpdateJobRequest, executions_server, jobs_server, tasks_server},
};

/// An RPC of the API, as a call comes in by gRPC or by REST.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Rpc {
    /// `google.cloud.run.v2.Jobs.CreateJob`
    CreateJob,
    /// `google.cloud.run.v2.Jobs.GetJob`
    GetJob,
    /// `google.cloud.run.v2.Jobs.ListJobs`
    ListJobs,
    /// `google.cloud.run.v2.Jobs.UpdateJob`
    UpdateJob,
    /// `google.cloud.run.v2.Jobs.DeleteJob`
    DeleteJob,
    /// `google.cloud.run.v2.Jobs.RunJob`
    RunJob,
    /// `google.cloud.run.v2.Jobs.GetIamPolicy`
    GetIamPolicy,
    /// `google.cloud.run.v2.Jobs.SetIamPolicy`
    SetIamPolicy,
    /// `google.cloud.run.v2.Jobs.TestIamPermissions`
    TestIamPermissions,
    /// `google.cloud.run.v2.Executions.GetExecution`
    GetExecution,
    /// `google.cloud.run.v2.Executions.ListExecutions`
    ListExecutions,
    /// `google.cloud.run.v2.Executions.DeleteExecution`
    DeleteExecution,
    /// `google.cloud.run.v2.Executions.CancelExecution`
    CancelExecution,
    /// `google.cloud.run.v2.Tasks.GetTask`
    GetTask,
    /// `google.cloud.run.v2.Tasks.ListTasks`
    ListTasks,
    /// `google.longrunning.Operations.ListOperations`
    ListOperations,
    /// `google.longrunning.Operations.GetOperation`
    GetOperation,
    /// `google.longrunning.Operations.DeleteOperation`
    DeleteOperation,
    /// `google.longrunning.Operations.CancelOperation`
    CancelOperation,
    /// `google.longrunning.Operations.WaitOperation`
    WaitOperation,
}

/// Most requests name their resource, or its parent, in field 1.
#[derive(Clone, PartialEq, prost::Message)]
struct Head {
    #[prost(string, tag = "1")]
    name: String,
}

impl Rpc {
    /// The RPC that a gRPC path stands for: `/google.cloud.run.v2.Jobs/RunJob`.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let (service, method) = path.strip_prefix('/')?.split_once('/')?;
        Some(match (service, method) {
            (jobs_server::SERVICE_NAME, "CreateJob") => Self::CreateJob,
            (jobs_server::SERVICE_NAME, "GetJob") => Self::GetJob,
            (jobs_server::SERVICE_NAME, "ListJobs") => Self::ListJobs,
            (jobs_server::SERVICE_NAME, "UpdateJob") => Self::UpdateJob,
            (jobs_server::SERVICE_NAME, "DeleteJob") => Self::DeleteJob,
            (jobs_server::SERVICE_NAME, "RunJob") => Self::RunJob,
            (jobs_server::SERVICE_NAME, "GetIamPolicy") => Self::GetIamPolicy,
            (jobs_server::SERVICE_NAME, "SetIamPolicy") => Self::SetIamPolicy,
            (jobs_server::SERVICE_NAME, "TestIamPermissions") => Self::TestIamPermissions,
            (executions_server::SERVICE_NAME, "GetExecution") => Self::GetExecution,
            (executions_server::SERVICE_NAME, "ListExecutions") => Self::ListExecutions,
            (executions_server::SERVICE_NAME, "DeleteExecution") => Self::DeleteExecution,
            (executions_server::SERVICE_NAME, "CancelExecution") => Self::CancelExecution,
            (tasks_server::SERVICE_NAME, "GetTask") => Self::GetTask,
            (tasks_server::SERVICE_NAME, "ListTasks") => Self::ListTasks,
            (operations_server::SERVICE_NAME, "ListOperations") => Self::ListOperations,
            (operations_server::SERVICE_NAME, "GetOperation") => Self::GetOperation,
            (operations_server::SERVICE_NAME, "DeleteOperation") => Self::DeleteOperation,
            (operations_server::SERVICE_NAME, "CancelOperation") => Self::CancelOperation,
            (operations_server::SERVICE_NAME, "WaitOperation") => Self::WaitOperation,
            _ => return None,
        })
    }

    /// What a request of this RPC is about; empty if it does not say, or is no message of the RPC.
    pub(crate) fn resource(self, message: &[u8]) -> String {
        match self {
            Self::CreateJob => CreateJobRequest::decode(message)
                .map(|request| format!("{}/jobs/{}", request.parent, request.job_id))
                .unwrap_or_default(),
            Self::UpdateJob => {
                let job = UpdateJobRequest::decode(message).ok().and_then(|request| request.job);
                job.map(|job| job.name).unwrap_or_default()
            }
            Self::ListOperations => ListOperationsRequest::decode(message).unwrap_or_default().name,
            _ => Head::decode(message).unwrap_or_default().name,
        }
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;
    use crate::proto::{
        DESCRIPTORS,
        run::v2::{Job, RunJobRequest},
    };

    #[test]
    fn every_rpc_of_the_api_is_known_by_its_path_and_its_name() {
        let pool = DescriptorPool::decode(DESCRIPTORS).expect("valid");
        let served = ["google.cloud.run.v2.", "google.longrunning."];
        let services = pool.services().filter(|service| served.iter().any(|of| service.full_name().starts_with(of)));
        let methods: Vec<_> = services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
        assert_eq!(methods.len(), 20);
        for method in methods {
            let rpc = Rpc::of(&format!("/{}/{}", method.parent_service().full_name(), method.name()));
            assert_eq!(serde_json::to_value(rpc).expect("a name"), method.name());
        }
        assert_eq!(Rpc::of("/grpc.health.v1.Health/Check"), None);
    }

    #[test]
    fn a_request_tells_its_resource() {
        let job = "projects/p/locations/r/jobs/j";
        let run = RunJobRequest { name: job.into(), ..RunJobRequest::default() };
        assert_eq!(Rpc::RunJob.resource(&run.encode_to_vec()), job);
        let named = Job { name: job.into(), ..Job::default() };
        let update = UpdateJobRequest { job: Some(named), ..UpdateJobRequest::default() };
        assert_eq!(Rpc::UpdateJob.resource(&update.encode_to_vec()), job);
        let create = CreateJobRequest {
            parent: "projects/p/locations/r".into(),
            job_id: "j".into(),
            ..CreateJobRequest::default()
        };
        assert_eq!(Rpc::CreateJob.resource(&create.encode_to_vec()), job);
        let list = ListOperationsRequest { name: "projects/p/locations/r".into(), ..ListOperationsRequest::default() };
        assert_eq!(Rpc::ListOperations.resource(&list.encode_to_vec()), "projects/p/locations/r");
        assert_eq!(Rpc::RunJob.resource(b"\xff"), "");
    }
}
