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
    name::{ExecutionName, JobName, Location, OperationName, TaskName},
    proto::{
        longrunning::{GetOperationRequest, Operation, WaitOperationRequest, operations_client::OperationsClient},
        run::v2::{
            CancelExecutionRequest, CreateJobRequest, DeleteExecutionRequest, DeleteJobRequest, Execution,
            GetExecutionRequest, GetJobRequest, GetTaskRequest, Job, ListExecutionsRequest, ListExecutionsResponse,
            ListJobsRequest, ListJobsResponse, ListTasksRequest, ListTasksResponse, RunJobRequest, Task,
            UpdateJobRequest, executions_client::ExecutionsClient, jobs_client::JobsClient, tasks_client::TasksClient,
        },
    },
    transport::Routing,
};

/// What gcloud asks for; the service's own default and maximum are not published.
pub(crate) const PAGE_SIZE: i32 = 100;

/// The most tasks that one execution may have (Cloud Run quotas).
pub(crate) const MOST_TASKS: usize = 10_000;

/// The largest page that is read: its items hold whole templates, whose variables alone may pass tonic's 4 MiB.
const PAGE_BYTES: usize = 64 * 1024 * 1024;

/// Jobs.
impl Caller {
    pub(crate) async fn get_job(&self, name: &JobName) -> Result<Job> {
        let message = GetJobRequest { name: name.to_string() };
        let answer = self
            .read(
                &Call::new("read job", name, Routing::location(name.location()), message),
                &|transport, request| async move { JobsClient::new(transport).get_job(request).await },
            )
            .await?;
        about("read job", name, answer)
    }

    pub(crate) fn list_jobs(&self, location: &Location) -> BoxStream<'static, Result<Job>> {
        let message =
            ListJobsRequest { parent: location.to_string(), page_size: PAGE_SIZE, ..ListJobsRequest::default() };
        items(self.pages(
            List {
                verb: "list jobs of",
                parent: location.to_string(),
                collection: "jobs",
                routing: Routing::location(location),
                message,
                most: usize::MAX,
            },
            Turn {
                to: |message, token| message.page_token = token,
                split: |page: ListJobsResponse| (page.jobs, page.next_page_token),
            },
            |transport, request| async move {
                JobsClient::new(transport).max_decoding_message_size(PAGE_BYTES).list_jobs(request).await
            },
        ))
    }

    pub(crate) async fn create_job(&self, name: &JobName, job: Job) -> Result<Operation> {
        let message = CreateJobRequest {
            parent: name.location().to_string(),
            // The id travels beside the job, and the service refuses a job that carries a name as well.
            job: Some(Job { name: String::new(), ..job }),
            job_id: name.id().to_owned(),
            validate_only: false,
        };
        self.once(
            &Call::new("create job", name, Routing::location(name.location()), message),
            self.rpc_timeout,
            &|transport, request| async move { JobsClient::new(transport).create_job(request).await },
        )
        .await
    }

    pub(crate) async fn update_job(&self, name: &JobName, job: Job) -> Result<Operation> {
        let message = UpdateJobRequest { job: Some(job), ..UpdateJobRequest::default() };
        self.once(
            &Call::new("update job", name, Routing::location(name.location()), message),
            self.rpc_timeout,
            &|transport, request| async move { JobsClient::new(transport).update_job(request).await },
        )
        .await
    }

    pub(crate) async fn delete_job(&self, name: &JobName) -> Result<Operation> {
        let message = DeleteJobRequest { name: name.to_string(), ..DeleteJobRequest::default() };
        self.once(
            &Call::new("delete job", name, Routing::location(name.location()), message),
            self.rpc_timeout,
            &|transport, request| async move { JobsClient::new(transport).delete_job(request).await },
        )
        .await
    }

    /// A failure says what is known of its effect.
    pub(crate) async fn run_job(&self, name: &JobName, message: RunJobRequest) -> Result<Operation, Failure> {
        let call = Call::new("start", name, Routing::location(name.location()), message);
        self.start(&call, &|transport, request| async move { JobsClient::new(transport).run_job(request).await }).await
    }
}

/// Executions and tasks.
impl Caller {
    pub(crate) async fn get_execution(&self, name: &ExecutionName) -> Result<Execution> {
        let message = GetExecutionRequest { name: name.to_string() };
        let answer = self
            .read(&Call::new("read execution", name, Routing::name(name), message), &|transport, request| async move {
                ExecutionsClient::new(transport).get_execution(request).await
            })
            .await?;
        about("read execution", name, answer)
    }

    pub(crate) fn list_executions(&self, job: &JobName) -> BoxStream<'static, Result<Execution>> {
        items(self.execution_pages(job, PAGE_SIZE))
    }

    /// The executions of a job by pages of this size at most: the service may have a maximum of its own.
    pub(crate) fn execution_pages(&self, job: &JobName, page_size: i32) -> BoxStream<'static, Result<Vec<Execution>>> {
        let message = ListExecutionsRequest { parent: job.to_string(), page_size, ..ListExecutionsRequest::default() };
        self.pages(
            List {
                verb: "list executions of",
                parent: job.to_string(),
                collection: "executions",
                routing: Routing::parent(job),
                message,
                most: usize::MAX,
            },
            Turn {
                to: |message, token| message.page_token = token,
                split: |page: ListExecutionsResponse| (page.executions, page.next_page_token),
            },
            |transport, request| async move {
                ExecutionsClient::new(transport).max_decoding_message_size(PAGE_BYTES).list_executions(request).await
            },
        )
    }

    pub(crate) async fn cancel_execution(&self, name: &ExecutionName) -> Result<Operation> {
        let message = CancelExecutionRequest { name: name.to_string(), ..CancelExecutionRequest::default() };
        self.once(
            &Call::new("cancel", name, Routing::name(name), message),
            self.rpc_timeout,
            &|transport, request| async move { ExecutionsClient::new(transport).cancel_execution(request).await },
        )
        .await
    }

    pub(crate) async fn delete_execution(&self, name: &ExecutionName) -> Result<Operation> {
        let message = DeleteExecutionRequest { name: name.to_string(), ..DeleteExecutionRequest::default() };
        self.once(
            &Call::new("delete", name, Routing::name(name), message),
            self.rpc_timeout,
            &|transport, request| async move { ExecutionsClient::new(transport).delete_execution(request).await },
        )
        .await
    }

    pub(crate) async fn get_task(&self, name: &TaskName) -> Result<Task> {
        let message = GetTaskRequest { name: name.to_string() };
        let answer = self
            .read(&Call::new("read task", name, Routing::name(name), message), &|transport, request| async move {
                TasksClient::new(transport).get_task(request).await
            })
            .await?;
        about("read task", name, answer)
    }

    pub(crate) fn list_tasks(&self, execution: &ExecutionName) -> BoxStream<'static, Result<Task>> {
        let message =
            ListTasksRequest { parent: execution.to_string(), page_size: PAGE_SIZE, ..ListTasksRequest::default() };
        items(self.pages(
            List {
                verb: "list tasks of",
                parent: execution.to_string(),
                collection: "tasks",
                routing: Routing::parent(execution),
                message,
                most: if execution.is_wildcard() { usize::MAX } else { MOST_TASKS },
            },
            Turn {
                to: |message, token| message.page_token = token,
                split: |page: ListTasksResponse| (page.tasks, page.next_page_token),
            },
            |transport, request| async move {
                TasksClient::new(transport).max_decoding_message_size(PAGE_BYTES).list_tasks(request).await
            },
        ))
    }
}

/// Operations.
impl Caller {
    pub(crate) async fn get_operation(&self, name: &OperationName) -> Result<Operation> {
        let message = GetOperationRequest { name: name.to_string() };
        let answer = self
            .read(&Call::new("read operation", name, Routing::name(name), message), &|transport, request| async move {
                OperationsClient::new(transport).get_operation(request).await
            })
            .await?;
        about("read operation", name, answer)
    }

    /// One long poll: the service answers when the operation is done, and after `hold` at the latest.
    pub(crate) async fn wait_operation(&self, name: &OperationName, hold: Duration) -> Result<Operation> {
        let message =
            WaitOperationRequest { name: name.to_string(), timeout: prost_types::Duration::try_from(hold).ok() };
        let call = Call::new("wait for operation", name, Routing::name(name), message);
        let answer = self
            .once(&call, hold + self.rpc_timeout, &|transport, request| async move {
                OperationsClient::new(transport).wait_operation(request).await
            })
            .await?;
        about("wait for operation", name, answer)
    }
}
