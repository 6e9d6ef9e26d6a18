//! Each RPC of the service as a function of a [`Caller`]: its stub, its message and its routing header.
//!
//! Knows nothing of what the answers mean.

mod encoded;

use std::{sync::Arc, time::Duration};

use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};

pub(crate) use self::encoded::EncodedJob;
use crate::{
    call::{Call, Caller, Failure, Rpc},
    error::{Error, ErrorKind, Result},
    name::{ExecutionName, JobName, Location, OperationName, TaskName},
    proto::{
        longrunning::{GetOperationRequest, Operation, WaitOperationRequest, operations_client::OperationsClient},
        run::v2::{
            CancelExecutionRequest, CreateJobRequest, DeleteExecutionRequest, DeleteJobRequest, Execution,
            GetExecutionRequest, GetJobRequest, GetTaskRequest, Job, ListExecutionsRequest, ListJobsRequest,
            ListTasksRequest, RunJobRequest, Task, UpdateJobRequest, executions_client::ExecutionsClient,
            jobs_client::JobsClient, tasks_client::TasksClient,
        },
    },
    transport::Routing,
};

/// What gcloud asks for; the service's own default and maximum are not published.
pub(crate) const PAGE_SIZE: i32 = 100;

/// The largest page that is read: its items hold whole templates, whose variables alone may pass tonic's 4 MiB.
const PAGE_BYTES: usize = 64 * 1024 * 1024;

/// Jobs.
impl Caller {
    pub(crate) async fn get_job(&self, name: &JobName) -> Result<Job> {
        let message = GetJobRequest { name: name.to_string() };
        self.read(
            &Call::new("read job", name, Routing::location(name.location()), message),
            &|transport, request| async move { JobsClient::new(transport).get_job(request).await },
        )
        .await
    }

    pub(crate) fn list_jobs(&self, location: &Location) -> BoxStream<'static, Result<Job>> {
        let message =
            ListJobsRequest { parent: location.to_string(), page_size: PAGE_SIZE, ..ListJobsRequest::default() };
        items(self.pages(
            List { verb: "list jobs of", parent: location.to_string(), routing: Routing::location(location), message },
            |message, token| message.page_token = token,
            |transport, request| async move {
                JobsClient::new(transport).max_decoding_message_size(PAGE_BYTES).list_jobs(request).await
            },
            |page| (page.jobs, page.next_page_token),
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
        self.read(&Call::new("read execution", name, Routing::name(name), message), &|transport, request| async move {
            ExecutionsClient::new(transport).get_execution(request).await
        })
        .await
    }

    pub(crate) fn list_executions(&self, job: &JobName) -> BoxStream<'static, Result<Execution>> {
        items(self.execution_pages(job, PAGE_SIZE))
    }

    /// The executions of a job by pages of this size at most: the service may have a maximum of its own.
    pub(crate) fn execution_pages(&self, job: &JobName, page_size: i32) -> BoxStream<'static, Result<Vec<Execution>>> {
        let message = ListExecutionsRequest { parent: job.to_string(), page_size, ..ListExecutionsRequest::default() };
        self.pages(
            List { verb: "list executions of", parent: job.to_string(), routing: Routing::parent(job), message },
            |message, token| message.page_token = token,
            |transport, request| async move {
                ExecutionsClient::new(transport).max_decoding_message_size(PAGE_BYTES).list_executions(request).await
            },
            |page| (page.executions, page.next_page_token),
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
        self.read(&Call::new("read task", name, Routing::name(name), message), &|transport, request| async move {
            TasksClient::new(transport).get_task(request).await
        })
        .await
    }

    pub(crate) fn list_tasks(&self, execution: &ExecutionName) -> BoxStream<'static, Result<Task>> {
        let message =
            ListTasksRequest { parent: execution.to_string(), page_size: PAGE_SIZE, ..ListTasksRequest::default() };
        items(self.pages(
            List { verb: "list tasks of", parent: execution.to_string(), routing: Routing::parent(execution), message },
            |message, token| message.page_token = token,
            |transport, request| async move {
                TasksClient::new(transport).max_decoding_message_size(PAGE_BYTES).list_tasks(request).await
            },
            |page| (page.tasks, page.next_page_token),
        ))
    }
}

/// Operations.
impl Caller {
    pub(crate) async fn get_operation(&self, name: &OperationName) -> Result<Operation> {
        let message = GetOperationRequest { name: name.to_string() };
        self.read(&Call::new("read operation", name, Routing::name(name), message), &|transport, request| async move {
            OperationsClient::new(transport).get_operation(request).await
        })
        .await
    }

    /// One long poll: the service answers when the operation is done, and after `hold` at the latest.
    pub(crate) async fn wait_operation(&self, name: &OperationName, hold: Duration) -> Result<Operation> {
        let message =
            WaitOperationRequest { name: name.to_string(), timeout: prost_types::Duration::try_from(hold).ok() };
        let call = Call::new("wait for operation", name, Routing::name(name), message);
        self.once(&call, hold + self.rpc_timeout, &|transport, request| async move {
            OperationsClient::new(transport).wait_operation(request).await
        })
        .await
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
        turn_to: fn(&mut M, String),
        rpc: impl Rpc<M, P> + 'static,
        split: fn(P) -> (Vec<T>, String),
    ) -> BoxStream<'static, Result<Vec<T>>>
    where
        M: Clone + Send + Sync + 'static,
        P: Send + 'static,
        T: Send + 'static,
    {
        let shared = Arc::new((self.clone(), list, rpc));
        stream::try_unfold(Some(String::new()), move |token| {
            let shared = Arc::clone(&shared);
            async move {
                let Some(token) = token else { return Ok(None) };
                let (caller, list, rpc) = &*shared;
                let mut message = list.message.clone();
                turn_to(&mut message, token.clone());
                let call = Call::new(list.verb, &list.parent, list.routing.clone(), message);
                let (items, next) = split(caller.read(&call, rpc).await?);
                if !next.is_empty() && next == token {
                    let error =
                        Error::new(ErrorKind::Protocol, "the service answered with the page token it was asked with");
                    return Err(error.doing(list.verb, &list.parent));
                }
                Ok(Some((items, Some(next).filter(|next| !next.is_empty()))))
            }
        })
        .boxed()
    }
}

/// What is on these pages.
fn items<T: Send + 'static>(pages: BoxStream<'static, Result<Vec<T>>>) -> BoxStream<'static, Result<T>> {
    pages.map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten().boxed()
}
