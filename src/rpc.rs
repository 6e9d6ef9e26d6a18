//! Each RPC of the service as a function of a [`Caller`]: its stub, its message and its routing header.
//!
//! Knows nothing of what the answers mean.

mod encoded;

use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use prost::Message;

pub(crate) use self::encoded::EncodedJob;
use crate::{
    call::{Call, Caller, Failure},
    error::{Error, ErrorKind, Result},
    name::{ExecutionName, JobName, Location, OperationName, TaskName},
    proto::{
        Method,
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

/// The largest page that is read: its items hold whole templates, whose variables alone may pass 4 MiB.
const PAGE_BYTES: usize = 64 * 1024 * 1024;

/// Jobs.
impl Caller {
    pub(crate) async fn get_job(&self, name: &JobName) -> Result<Job> {
        let message = GetJobRequest { name: name.to_string() };
        self.read(&Call::new("read job", name, &jobs::GET_JOB, Routing::location(name.location()), &message)).await
    }

    pub(crate) fn list_jobs(&self, location: &Location) -> BoxStream<'static, Result<Job>> {
        let message =
            ListJobsRequest { parent: location.to_string(), page_size: PAGE_SIZE, ..ListJobsRequest::default() };
        items(self.pages(
            List { verb: "list jobs of", parent: location.to_string(), routing: Routing::location(location), message },
            &jobs::LIST_JOBS,
            |message, token| message.page_token = token,
            |page: ListJobsResponse| (page.jobs, page.next_page_token),
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
        let call = Call::new("create job", name, &jobs::CREATE_JOB, Routing::location(name.location()), &message);
        self.once(&call, self.rpc_timeout).await
    }

    pub(crate) async fn update_job(&self, name: &JobName, job: Job) -> Result<Operation> {
        let message = UpdateJobRequest { job: Some(job), ..UpdateJobRequest::default() };
        let call = Call::new("update job", name, &jobs::UPDATE_JOB, Routing::location(name.location()), &message);
        self.once(&call, self.rpc_timeout).await
    }

    pub(crate) async fn delete_job(&self, name: &JobName) -> Result<Operation> {
        let message = DeleteJobRequest { name: name.to_string(), ..DeleteJobRequest::default() };
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
        let message = GetExecutionRequest { name: name.to_string() };
        self.read(&Call::new("read execution", name, &executions::GET_EXECUTION, Routing::name(name), &message)).await
    }

    pub(crate) fn list_executions(&self, job: &JobName) -> BoxStream<'static, Result<Execution>> {
        items(self.execution_pages(job, PAGE_SIZE))
    }

    /// The executions of a job by pages of this size at most: the service may have a maximum of its own.
    pub(crate) fn execution_pages(&self, job: &JobName, page_size: i32) -> BoxStream<'static, Result<Vec<Execution>>> {
        let message = ListExecutionsRequest { parent: job.to_string(), page_size, ..ListExecutionsRequest::default() };
        self.pages(
            List { verb: "list executions of", parent: job.to_string(), routing: Routing::parent(job), message },
            &executions::LIST_EXECUTIONS,
            |message, token| message.page_token = token,
            |page: ListExecutionsResponse| (page.executions, page.next_page_token),
        )
    }

    pub(crate) async fn cancel_execution(&self, name: &ExecutionName) -> Result<Operation> {
        let message = CancelExecutionRequest { name: name.to_string(), ..CancelExecutionRequest::default() };
        let call = Call::new("cancel", name, &executions::CANCEL_EXECUTION, Routing::name(name), &message);
        self.once(&call, self.rpc_timeout).await
    }

    pub(crate) async fn delete_execution(&self, name: &ExecutionName) -> Result<Operation> {
        let message = DeleteExecutionRequest { name: name.to_string(), ..DeleteExecutionRequest::default() };
        let call = Call::new("delete", name, &executions::DELETE_EXECUTION, Routing::name(name), &message);
        self.once(&call, self.rpc_timeout).await
    }

    pub(crate) async fn get_task(&self, name: &TaskName) -> Result<Task> {
        let message = GetTaskRequest { name: name.to_string() };
        self.read(&Call::new("read task", name, &tasks::GET_TASK, Routing::name(name), &message)).await
    }

    pub(crate) fn list_tasks(&self, execution: &ExecutionName) -> BoxStream<'static, Result<Task>> {
        let message =
            ListTasksRequest { parent: execution.to_string(), page_size: PAGE_SIZE, ..ListTasksRequest::default() };
        items(self.pages(
            List { verb: "list tasks of", parent: execution.to_string(), routing: Routing::parent(execution), message },
            &tasks::LIST_TASKS,
            |message, token| message.page_token = token,
            |page: ListTasksResponse| (page.tasks, page.next_page_token),
        ))
    }
}

/// Operations.
impl Caller {
    pub(crate) async fn get_operation(&self, name: &OperationName) -> Result<Operation> {
        let message = GetOperationRequest { name: name.to_string() };
        let call = Call::new("read operation", name, &operations::GET_OPERATION, Routing::name(name), &message);
        self.read(&call).await
    }

    /// One long poll: the service answers when the operation is done, and after `hold` at the latest.
    pub(crate) async fn wait_operation(&self, name: &OperationName, hold: Duration) -> Result<Operation> {
        let message =
            WaitOperationRequest { name: name.to_string(), timeout: prost_types::Duration::try_from(hold).ok() };
        let call = Call::new("wait for operation", name, &operations::WAIT_OPERATION, Routing::name(name), &message);
        self.once(&call, hold + self.rpc_timeout).await
    }
}

/// A list to turn the pages of.
struct List<M> {
    verb: &'static str,
    parent: String,
    routing: Routing,
    /// The request for the first page.
    message: M,
}

/// Lists.
impl Caller {
    /// The pages of a list, one at a time and only as they are asked for.
    fn pages<M, P, T>(
        &self,
        list: List<M>,
        method: &'static Method<M, P>,
        turn_to: fn(&mut M, String),
        split: fn(P) -> (Vec<T>, String),
    ) -> BoxStream<'static, Result<Vec<T>>>
    where
        M: Message + 'static,
        P: Message + Default + 'static,
        T: Send + 'static,
    {
        let state = (self.clone(), list, Some(String::new()));
        stream::try_unfold(state, move |(caller, mut list, token)| async move {
            let Some(token) = token else { return Ok(None) };
            turn_to(&mut list.message, token.clone());
            let call = Call::new(list.verb, &list.parent, method, list.routing.clone(), &list.message);
            let (items, next) = split(caller.read(&call.reading(PAGE_BYTES)).await?);
            if !next.is_empty() && next == token {
                let error =
                    Error::new(ErrorKind::Protocol, "the service answered with the page token it was asked with");
                return Err(error.doing(list.verb, &list.parent));
            }
            let next = Some(next).filter(|next| !next.is_empty());
            Ok(Some((items, (caller, list, next))))
        })
        .boxed()
    }
}

/// What is on these pages.
fn items<T: Send + 'static>(pages: BoxStream<'static, Result<Vec<T>>>) -> BoxStream<'static, Result<T>> {
    pages.map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten().boxed()
}
