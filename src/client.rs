//! The client: its builder, and its verbs. Which RPC a verb is, and nothing of how a call is made.

mod builder;

use std::time::Duration;

use futures_util::stream::BoxStream;

pub use self::builder::ClientBuilder;
use crate::{
    bulk::{self, StartRate},
    call::Caller,
    error::{Error, ErrorKind, Result},
    name::{ExecutionName, JobName, Location, NameError, OperationName, TaskName},
    operation::{self, Operation},
    proto::{
        longrunning,
        run::v2::{Execution, Job, Task},
    },
    rpc::foreign,
    run::{Finished, Run, RunTicket},
    start::{RunBuilder, StartKey, StartToken, find, token},
    transport::Transport,
    watch,
};

/// A client of Cloud Run Jobs.
///
/// Make one and clone it: clones share the connections and the credentials. Reads are tried again after a failure
/// that may pass; what has an effect is sent once.
#[derive(Clone, Debug)]
pub struct Client {
    caller: Caller,
}

impl Client {
    /// A client with other than the usual settings.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The usual client: an emulator when `RUN_EMULATOR_HOST` (or `CLOUD_RUN_EMULATOR_HOST`) names one, as
    /// `HOST:PORT`, in plaintext and without credentials; else Cloud Run with
    /// [Application Default Credentials](crate::Credentials::adc).
    ///
    /// # Errors
    /// When an address or a credentials file that was found cannot be used. Nothing is connected yet.
    pub async fn from_env() -> Result<Self> {
        builder::from_env(&|name| std::env::var(name).ok()).await
    }

    /// Opens a connection and gets a token at the same time, so that the first call need not. Nothing is sent to the
    /// service. It is never needed: a call does the same where it has to. Dropping it leaves the rest to the first call.
    ///
    /// # Errors
    /// What the first call would end with: [`Unreachable`](ErrorKind::Unreachable),
    /// [`Credentials`](ErrorKind::Credentials), [`NotGrpc`](ErrorKind::NotGrpc), and
    /// [`Deadline`](ErrorKind::Deadline) after the limit of an RPC.
    pub async fn warm_up(&self) -> Result<()> {
        self.caller.transport.warm_up(self.caller.rpc_timeout).await
    }

    /// The connections, for the generated stubs.
    pub fn transport(&self) -> Transport {
        self.caller.transport.clone()
    }

    /// The same client with another limit for each RPC, such as a short one for reads in a request handler. It shares the
    /// connections, the credentials and what was learned of the service. The limit is as in
    /// [`ClientBuilder::rpc_timeout`]; one of 0 ends each call before it is sent.
    #[must_use = "the client itself stays as it is"]
    pub fn with_rpc_timeout(&self, limit: Duration) -> Self {
        Self { caller: self.caller.clone().with_rpc_timeout(limit.min(builder::LONGEST_RPC)) }
    }

    /// Begins a start of this job (RunJob). Nothing is sent before [`RunBuilder::start`].
    pub fn run(&self, job: &JobName) -> RunBuilder {
        RunBuilder::new(self.caller.clone(), job.clone())
    }

    /// Starts the execution of this job that the token names, `{job}-{token}`, exactly once: whoever calls this with one
    /// job and one token, however often and whatever gets lost on the way, gets the same execution.
    ///
    /// RunJob has no request id; UpdateJob has one in effect. This reads the job and writes it back, the same to the
    /// byte, with the token as its `start_execution_token`, which makes the service start an execution of that name. The
    /// update carries the job's etag, so that of several copies one at the most takes effect; therefore it is sent
    /// again where its end is unknown and the job is as it was. What has the name is adopted
    /// ([`Run::was_adopted`]).
    ///
    /// What it costs: `run.jobs.get`, `run.jobs.update`, `run.executions.get`, and to act as the job's service account; a
    /// change of the job for each start, which tools that manage jobs see; no overrides; starts of one job that come
    /// one after the other. The token is free again when the execution is deleted. Prefer a
    /// [start key](RunBuilder::start_key) where these weigh more than the last doubt.
    ///
    /// Returns when the execution is there, within 30 seconds of the update.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) when job id and token together have more than 62 characters; otherwise
    /// as [`RunBuilder::start`] with a key. After [`StartUnknown`](ErrorKind::StartUnknown) calling again with the same
    /// token is safe.
    pub async fn start_once(&self, job: &JobName, token: &StartToken) -> Result<Run> {
        token::start_once(&self.caller, job.single()?, token).await
    }

    /// Starts many executions and yields each handle, in the order given, when the service has accepted it.
    ///
    /// No minute has more starts than the rate allows. When the service says that a quota is used up
    /// (`RESOURCE_EXHAUSTED`), the starts to come are held back for as long as it advises, or a minute. A start that
    /// fails is yielded as its error, as from [`RunBuilder::start`], and the others go on. Starts are sent as the stream
    /// is read; dropping it leaves those that are under way with an unknown end.
    pub fn start_all(
        &self,
        starts: impl IntoIterator<Item = RunBuilder, IntoIter: Send + 'static>,
        rate: StartRate,
    ) -> BoxStream<'static, Result<Run>> {
        bulk::start_all(starts, rate)
    }

    /// The execution that was started with this key, looked for as [`RunBuilder::start_key`] says (ListExecutions).
    ///
    /// None means that none was seen, which is no proof that none was started: it may be listed later, or its request
    /// may still be on its way.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) without `run.executions.list`, and whatever keeps a read from
    /// being answered.
    pub async fn find_start(&self, job: &JobName, key: &StartKey) -> Result<Option<Run>> {
        Ok(find::look(&self.caller, job.single()?, key).await?.adopt(&self.caller))
    }

    /// The handle of an execution that was started elsewhere. Nothing is asked yet.
    pub fn attach(&self, execution: &ExecutionName) -> Run {
        Run::named(self.caller.clone(), execution.clone())
    }

    /// The handle of the execution behind this operation (GetOperation).
    ///
    /// # Errors
    /// When the operation is not there, or is not about an execution.
    pub async fn attach_operation(&self, operation: &OperationName) -> Result<Run> {
        let mut operation = self.operation::<Execution>(operation);
        operation.poll().await?;
        let name = operation.metadata()?.unwrap_or_default().name;
        let execution: ExecutionName = name.parse().map_err(|cause: NameError| {
            Error::new(ErrorKind::Protocol, "it does not name an execution")
                .with_source(cause)
                .doing("attach to operation", operation.name())
        })?;
        // An operation is about what is at its own location.
        let job = operation.name().location().job(execution.job().id())?;
        let execution =
            job.own_execution(&name).ok_or_else(|| foreign(&name).doing("attach to operation", operation.name()))?;
        Ok(Run::started(self.caller.clone(), execution, Some(operation)))
    }

    /// The handle of a run that was started elsewhere, by its [ticket](Run::ticket). Nothing is asked yet.
    ///
    /// [`Run::wait`] hears of the end at once while the service keeps the operation, and by the execution afterwards.
    pub fn resume(&self, ticket: &RunTicket) -> Run {
        Run::resumed(self.caller.clone(), ticket)
    }

    /// Waits for many executions at once and yields each as it ends.
    ///
    /// Up to 30 executions of a job, or 7 that are known by name only, are waited for as by [`Run::wait`]. More of them share
    /// one look at the job's list (ListExecutions) a second, so that the requests grow with the jobs and not with the executions:
    /// two a second and job at the most, however long the list is. Looks become rarer while nothing ends, by a fiftieth
    /// of that time, up to ten seconds. A run with a [wait limit](Run::set_wait_limit) is always waited for by itself.
    /// What cannot be waited for is yielded as an error with its name. Dropping the stream cancels nothing.
    pub fn watch(&self, runs: impl IntoIterator<Item = Run>) -> BoxStream<'static, (ExecutionName, Result<Finished>)> {
        watch::watch(runs)
    }

    /// Reads a job (GetJob).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), and whatever keeps a read from being answered.
    pub async fn job(&self, name: &JobName) -> Result<Job> {
        self.caller.get_job(name.single()?).await
    }

    /// The jobs of a location, the newest first, paging by itself (ListJobs).
    pub fn jobs(&self, location: &Location) -> BoxStream<'static, Result<Job>> {
        self.caller.list_jobs(location)
    }

    /// Creates a job (CreateJob). `Job.name` is not looked at.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) when it exists, [`InvalidInput`](ErrorKind::InvalidInput) when the service
    /// refuses its content.
    pub async fn create_job(&self, name: &JobName, job: Job) -> Result<Operation<Job>> {
        let answer = self.caller.create_job(name.single()?, job).await?;
        Operation::answered(self.caller.clone(), name.location(), name, answer)
    }

    /// Replaces the job that `Job.name` names by this one (UpdateJob).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), and [`InvalidInput`](ErrorKind::InvalidInput) when the name is not one or
    /// the service refuses the content.
    pub async fn update_job(&self, job: Job) -> Result<Operation<Job>> {
        let name: JobName = job.name.parse()?;
        let answer = self.caller.update_job(name.single()?, job).await?;
        Operation::answered(self.caller.clone(), name.location(), &name, answer)
    }

    /// Deletes a job, and with it its executions: running ones are stopped (DeleteJob).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub async fn delete_job(&self, name: &JobName) -> Result<Operation<Job>> {
        let answer = self.caller.delete_job(name.single()?).await?;
        Operation::answered(self.caller.clone(), name.location(), name, answer)
    }

    /// Reads an execution (GetExecution).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), and whatever keeps a read from being answered.
    pub async fn execution(&self, name: &ExecutionName) -> Result<Execution> {
        self.caller.get_execution(name.single()?).await
    }

    /// The executions of a job, or of [every job](Location::any_job), the newest first, paging by itself
    /// (ListExecutions).
    pub fn executions(&self, job: &JobName) -> BoxStream<'static, Result<Execution>> {
        self.caller.list_executions(job)
    }

    /// Cancels an execution (CancelExecution). The operation ends when the execution has.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) when it is over already.
    pub async fn cancel(&self, name: &ExecutionName) -> Result<Operation<Execution>> {
        let answer = self.caller.cancel_execution(name.single()?).await?;
        Operation::answered(self.caller.clone(), name.location(), name, answer)
    }

    /// Deletes an execution; a running one is stopped (DeleteExecution).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub async fn delete_execution(&self, name: &ExecutionName) -> Result<Operation<Execution>> {
        let answer = self.caller.delete_execution(name.single()?).await?;
        Operation::answered(self.caller.clone(), name.location(), name, answer)
    }

    /// Reads a task (GetTask).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), and whatever keeps a read from being answered.
    pub async fn task(&self, name: &TaskName) -> Result<Task> {
        self.caller.get_task(name).await
    }

    /// The tasks of an execution, or of [every execution](JobName::any_execution), paging by itself (ListTasks).
    pub fn tasks(&self, execution: &ExecutionName) -> BoxStream<'static, Result<Task>> {
        self.caller.list_tasks(execution)
    }

    /// The handle of an operation by name. Nothing is asked yet. `T` is `Execution` for runs, cancels and deletions
    /// of executions, and `Job` for the rest.
    pub fn operation<T: prost::Message + prost::Name + Default>(&self, name: &OperationName) -> Operation<T> {
        Operation::named(self.caller.clone(), name.clone())
    }

    /// The operation as it is now (GetOperation).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound); operations expire, and what they were about does not.
    pub async fn poll(&self, name: &OperationName) -> Result<longrunning::Operation> {
        self.caller.get_operation(name).await
    }

    /// The operation once it is done, however long that takes (WaitOperation, and GetOperation where that is not
    /// served). Its result may be an error.
    ///
    /// # Errors
    /// As [`Operation::wait`], but for the operation's own result.
    pub async fn wait(&self, name: &OperationName) -> Result<longrunning::Operation> {
        operation::done(&self.caller, name).await
    }
}
