//! Each RPC of the service as a function of a [`Caller`]: its stub, its message and its routing header.
//!
//! Knows that an answer must be about what was asked, and nothing else of what the answers mean.

mod answer;
mod encoded;
mod pages;

use std::time::Duration;

use futures_util::stream::BoxStream;

use self::pages::{List, Turn, items};
pub(crate) use self::{
    answer::{about, foreign},
    encoded::EncodedJob,
};
use crate::{
    call::{Call, Caller, Failure},
    error::Result,
    name::{ExecutionName, JobName, Location, OperationName, TaskName, text},
    proto::{
        longrunning::{GetOperationRequest, Operation, WaitOperationRequest},
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

/// What gcloud asks for; the service's own default and maximum are not published.
pub(crate) const PAGE_SIZE: i32 = 100;

/// The most tasks that one execution may have (Cloud Run quotas).
pub(crate) const MOST_TASKS: usize = 10_000;

/// Jobs.
impl Caller {
    pub(crate) async fn get_job(&self, name: &JobName) -> Result<Job> {
        let message = GetJobRequest { name: text(name) };
        let call = Call::new("read job", name, &jobs::GET_JOB, Routing::location(name.location()), &message);
        about("read job", name, self.read(&call).await?)
    }

    pub(crate) fn list_jobs(&self, location: &Location) -> BoxStream<'static, Result<Job>> {
        let message = ListJobsRequest { parent: text(location), page_size: PAGE_SIZE, ..ListJobsRequest::default() };
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
    pub(crate) async fn run_job(&self, name: &JobName, message: &RunJobRequest) -> Result<Operation, Failure> {
        self.start(&Call::new("start", name, &jobs::RUN_JOB, Routing::location(name.location()), message)).await
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
        items(self.execution_pages(job, PAGE_SIZE))
    }

    /// The executions of a job by pages of this size at most: the service may have a maximum of its own.
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
        let message = ListTasksRequest { parent: text(execution), page_size: PAGE_SIZE, ..ListTasksRequest::default() };
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
}
