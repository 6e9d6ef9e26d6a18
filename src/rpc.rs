//! Each RPC of the service as a function of a [`Caller`]: its stub, its message and its routing header.
//!
//! Knows that an answer must be about what was asked, and nothing else of what the answers mean.

mod answer;
mod encoded;
mod graft;
mod pages;

use std::time::Duration;

use futures_util::stream::BoxStream;

use self::pages::{List, Turn, items};
pub(crate) use self::{
    answer::{about, foreign},
    encoded::EncodedJob,
};
use crate::{
    call::{Call, Caller, FailedAttempt},
    error::Result,
    name::{ExecutionName, JobName, Location, OperationName, TaskName, text},
    proto::{
        iam::v1::{
            GetIamPolicyRequest, GetPolicyOptions, Policy, SetIamPolicyRequest, TestIamPermissionsRequest,
            TestIamPermissionsResponse,
        },
        longrunning::{
            DeleteOperationRequest, GetOperationRequest, ListOperationsRequest, ListOperationsResponse, Operation,
            WaitOperationRequest,
        },
        methods::{executions, jobs, operations, tasks},
        run::v2::{
            CancelExecutionRequest, CreateJobRequest, DeleteExecutionRequest, DeleteJobRequest, Execution,
            GetExecutionRequest, GetJobRequest, GetTaskRequest, Job, ListExecutionsRequest, ListExecutionsResponse,
            ListJobsRequest, ListJobsResponse, ListTasksRequest, ListTasksResponse, RunJobRequest, Task,
            UpdateJobRequest,
        },
    },
    transport::Routing,
};

/// The most tasks that one execution may have (Cloud Run quotas).
pub(crate) const MOST_TASKS: usize = 10_000;

/// The version of IAM policies that can have conditions; without it the service leaves these out.
const POLICY_VERSION: i32 = 3;

/// Jobs.
impl Caller {
    pub(crate) async fn get_job(&self, name: &JobName) -> Result<Job> {
        let message = GetJobRequest { name: text(name) };
        let call = Call::new("read job", name, &jobs::GET_JOB, Routing::location(name.location()), &message);
        about("read job", name, self.read(&call).await?)
    }

    pub(crate) fn list_jobs(&self, location: &Location) -> BoxStream<'static, Result<Job>> {
        let message =
            ListJobsRequest { parent: text(location), page_size: self.page_size, ..ListJobsRequest::default() };
        items(self.pages(
            List {
                verb: "list jobs of",
                parent: text(location),
                collection: "jobs",
                routing: Routing::location(location),
                message,
                most: usize::MAX,
            },
            Turn {
                method: &jobs::LIST_JOBS,
                to: |message, token| message.page_token = token,
                split: |page: ListJobsResponse| (page.jobs, page.next_page_token),
            },
        ))
    }

    pub(crate) async fn create_job(&self, name: &JobName, job: Job) -> Result<Operation> {
        let message = CreateJobRequest {
            parent: text(name.location()),
            // The id travels beside the job, and the service refuses a job that carries a name as well.
            job: Some(Job { name: String::new(), ..job }),
            job_id: name.id().to_owned(),
            validate_only: false,
        };
        let call = Call::new("create job", name, &jobs::CREATE_JOB, Routing::location(name.location()), &message);
        self.once(&call, self.rpc_timeout).await
    }

    pub(crate) async fn update_job(&self, name: &JobName, job: Job) -> Result<Operation> {
        let message = UpdateJobRequest { job: Some(job), ..UpdateJobRequest::default() };
        let call = Call::new("update job", name, &jobs::UPDATE_JOB, Routing::location(name.location()), &message);
        self.once(&call, self.rpc_timeout).await
    }

    pub(crate) async fn delete_job(&self, name: &JobName) -> Result<Operation> {
        let message = DeleteJobRequest { name: text(name), ..DeleteJobRequest::default() };
        let call = Call::new("delete job", name, &jobs::DELETE_JOB, Routing::location(name.location()), &message);
        self.once(&call, self.rpc_timeout).await
    }

    /// A failure says what is known of its effect.
    pub(crate) async fn run_job(&self, name: &JobName, message: &RunJobRequest) -> Result<Operation, FailedAttempt> {
        self.start(&Call::new("start", name, &jobs::RUN_JOB, Routing::location(name.location()), message)).await
    }
}

/// The policy of a job.
impl Caller {
    pub(crate) async fn get_iam_policy(&self, job: &JobName) -> Result<Policy> {
        let options = Some(GetPolicyOptions { requested_policy_version: POLICY_VERSION });
        let message = GetIamPolicyRequest { resource: job.to_string(), options };
        let call = Call::new("read policy of", job, &jobs::GET_IAM_POLICY, Routing::resource(job), &message);
        self.read(&call).await
    }

    pub(crate) async fn set_iam_policy(&self, job: &JobName, policy: Policy) -> Result<Policy> {
        let message =
            SetIamPolicyRequest { resource: job.to_string(), policy: Some(policy), ..SetIamPolicyRequest::default() };
        let call = Call::new("set policy of", job, &jobs::SET_IAM_POLICY, Routing::resource(job), &message);
        self.once(&call, self.rpc_timeout).await
    }

    pub(crate) async fn test_iam_permissions(&self, job: &JobName, permissions: Vec<String>) -> Result<Vec<String>> {
        let message = TestIamPermissionsRequest { resource: job.to_string(), permissions };
        let call = Call::new("test permissions on", job, &jobs::TEST_IAM_PERMISSIONS, Routing::resource(job), &message);
        let TestIamPermissionsResponse { permissions: granted } = self.read(&call).await?;
        match granted.iter().find(|permission| !message.permissions.contains(permission)) {
            Some(other) => Err(foreign(other).doing("test permissions on", job)),
            None => Ok(granted),
        }
    }
}

/// Executions and tasks.
impl Caller {
    pub(crate) async fn get_execution(&self, name: &ExecutionName) -> Result<Execution> {
        let message = GetExecutionRequest { name: text(name) };
        let call =
            Call::new("read execution", name, &executions::GET_EXECUTION, Routing::name(&message.name), &message);
        about("read execution", name, self.read(&call).await?)
    }

    pub(crate) fn list_executions(&self, job: &JobName) -> BoxStream<'static, Result<Execution>> {
        items(self.execution_pages(job, self.page_size))
    }

    /// The executions of a job in pages of at most this size: the service may have its own maximum.
    pub(crate) fn execution_pages(&self, job: &JobName, page_size: i32) -> BoxStream<'static, Result<Vec<Execution>>> {
        let message = ListExecutionsRequest { parent: text(job), page_size, ..ListExecutionsRequest::default() };
        self.pages(
            List {
                verb: "list executions of",
                parent: text(job),
                collection: "executions",
                routing: Routing::parent(job),
                message,
                most: usize::MAX,
            },
            Turn {
                method: &executions::LIST_EXECUTIONS,
                to: |message, token| message.page_token = token,
                split: |page: ListExecutionsResponse| (page.executions, page.next_page_token),
            },
        )
    }

    pub(crate) async fn cancel_execution(&self, name: &ExecutionName) -> Result<Operation> {
        let message = CancelExecutionRequest { name: text(name), ..CancelExecutionRequest::default() };
        let call = Call::new("cancel", name, &executions::CANCEL_EXECUTION, Routing::name(&message.name), &message);
        self.once(&call, self.rpc_timeout).await
    }

    pub(crate) async fn delete_execution(&self, name: &ExecutionName) -> Result<Operation> {
        let message = DeleteExecutionRequest { name: text(name), ..DeleteExecutionRequest::default() };
        let call = Call::new("delete", name, &executions::DELETE_EXECUTION, Routing::name(&message.name), &message);
        self.once(&call, self.rpc_timeout).await
    }

    pub(crate) async fn get_task(&self, name: &TaskName) -> Result<Task> {
        let message = GetTaskRequest { name: text(name) };
        let call = Call::new("read task", name, &tasks::GET_TASK, Routing::name(&message.name), &message);
        about("read task", name, self.read(&call).await?)
    }

    pub(crate) fn list_tasks(&self, execution: &ExecutionName) -> BoxStream<'static, Result<Task>> {
        let message =
            ListTasksRequest { parent: text(execution), page_size: self.page_size, ..ListTasksRequest::default() };
        items(self.pages(
            List {
                verb: "list tasks of",
                parent: text(execution),
                collection: "tasks",
                routing: Routing::parent(execution),
                message,
                most: if execution.is_wildcard() { usize::MAX } else { MOST_TASKS },
            },
            Turn {
                method: &tasks::LIST_TASKS,
                to: |message, token| message.page_token = token,
                split: |page: ListTasksResponse| (page.tasks, page.next_page_token),
            },
        ))
    }
}

/// Operations.
impl Caller {
    pub(crate) async fn get_operation(&self, name: &OperationName) -> Result<Operation> {
        let message = GetOperationRequest { name: text(name) };
        let call =
            Call::new("read operation", name, &operations::GET_OPERATION, Routing::name(&message.name), &message);
        about("read operation", name, self.read(&call).await?)
    }

    /// One long poll: the service answers when the operation is done, and after `hold` at the latest.
    pub(crate) async fn wait_operation(&self, name: &OperationName, hold: Duration) -> Result<Operation> {
        let message = WaitOperationRequest { name: text(name), timeout: prost_types::Duration::try_from(hold).ok() };
        let call =
            Call::new("wait for operation", name, &operations::WAIT_OPERATION, Routing::name(&message.name), &message);
        about("wait for operation", name, self.once(&call, hold + self.rpc_timeout).await?)
    }

    pub(crate) fn list_operations(&self, location: &Location) -> BoxStream<'static, Result<Operation>> {
        let message = ListOperationsRequest {
            name: location.to_string(),
            page_size: self.page_size,
            ..ListOperationsRequest::default()
        };
        items(self.pages(
            List {
                verb: "list operations of",
                parent: location.to_string(),
                collection: "operations",
                routing: Routing::name(location),
                message,
                most: usize::MAX,
            },
            Turn {
                method: &operations::LIST_OPERATIONS,
                to: |message, token| message.page_token = token,
                split: |page: ListOperationsResponse| (page.operations, page.next_page_token),
            },
        ))
    }

    pub(crate) async fn delete_operation(&self, name: &OperationName) -> Result<()> {
        let message = DeleteOperationRequest { name: name.to_string() };
        let call = Call::new("delete operation", name, &operations::DELETE_OPERATION, Routing::name(name), &message);
        self.once(&call, self.rpc_timeout).await
    }
}
