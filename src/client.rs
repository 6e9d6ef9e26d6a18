//! The client: its builder, and its verbs. Which RPC a verb is, and nothing of how a call is made.

mod builder;
mod edit;

use std::{num::NonZeroU32, pin::pin, time::Duration};

use futures_util::stream::BoxStream;
use tracing::Instrument as _;

pub use self::builder::ClientBuilder;
use crate::{
    bulk::{self, StartRate},
    call::Caller,
    error::{Error, ErrorKind, Result},
    name::{ExecutionName, JobName, Location, NameError, OperationName, TaskName},
    operation::{self, Operation},
    proto::{
        iam::v1::Policy,
        longrunning,
        run::v2::{Execution, Job, Task},
    },
    rpc::foreign,
    run::{Finished, Run, RunTicket},
    start::{RunBuilder, StartKey, StartToken, find, token},
    trace::verb,
    transport::Transport,
    watch,
};

/// A client of Cloud Run Jobs.
///
/// Make one and clone it: clones share the connections and the credentials. Reads are tried again after a failure
/// that may pass; what has an effect is sent once.
///
/// Every future may be dropped at any time. A read or a wait leaves nothing behind; a verb with an effect says what it
/// leaves.
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
        Self { caller: self.caller.clone().with_rpc_timeout(limit) }
    }

    /// The same client with another number of items that a page of a list is asked for, which is 100 otherwise. The service
    /// may answer with fewer. It shares everything else, as in [`with_rpc_timeout`](Self::with_rpc_timeout).
    #[must_use = "the client itself stays as it is"]
    pub fn with_page_size(&self, items: NonZeroU32) -> Self {
        let items = i32::try_from(items.get()).unwrap_or(i32::MAX);
        Self { caller: self.caller.clone().with_page_size(items) }
    }

    /// Begins a start of this job (RunJob). Nothing is sent before [`RunBuilder::start`].
    pub fn run(&self, job: &JobName) -> RunBuilder {
        RunBuilder::new(self.caller.clone(), job.clone())
    }

    /// Starts the execution of this job that the token names, `{job}-{token}`, exactly once: all calls with one
    /// job and one token get the same execution, however many there are and whatever gets lost on the way.
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
    /// Returns when the execution is there, within 30 seconds of the update. Dropped before that, it leaves the execution
    /// started or not; calling it again with the same token is safe.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) when job id and token together have more than 62 characters; otherwise
    /// as [`RunBuilder::start`] with a key. After [`StartUnknown`](ErrorKind::StartUnknown) calling again with the same
    /// token is safe.
    pub async fn start_once(&self, job: &JobName, token: &StartToken) -> Result<Run> {
        token::start_once(&self.caller, job.single()?, token).instrument(verb!("start_once", job)).await
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
    /// `None` does not prove that there is none: the execution may be listed later, or the request may still be on its way.
    ///
    /// # Errors
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) without `run.executions.list`, and whatever keeps a read from
    /// being answered.
    pub async fn find_start(&self, job: &JobName, key: &StartKey) -> Result<Option<Run>> {
        Ok(find::look(&self.caller, job.single()?, key).instrument(verb!("find_start", job)).await?.adopt(&self.caller))
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
    /// [`Run::wait`] returns as soon as the execution ends while the service keeps the operation, and polls the execution
    /// afterwards.
    pub fn resume(&self, ticket: &RunTicket) -> Run {
        Run::resumed(self.caller.clone(), ticket)
    }

    /// Waits for many executions at once and yields each as it ends.
    ///
    /// Up to 30 executions of a job, or 7 that are known by name only, are awaited as by [`Run::wait`]. More of them share
    /// one scan of the job's list (ListExecutions) a second, so that the number of requests grows with the jobs and not with
    /// the executions: at most two per second and job, however long the list is. While nothing ends, scans back off: the
    /// pause is a fiftieth of that time, up to ten seconds. A run with a [wait limit](Run::set_wait_limit) is always awaited
    /// individually.
    /// What cannot be waited for is yielded as an error with its name. Dropping the stream cancels nothing.
    pub fn watch(&self, runs: impl IntoIterator<Item = Run>) -> BoxStream<'static, (ExecutionName, Result<Finished>)> {
        watch::watch(runs)
    }

    /// Reads a job (GetJob).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), and whatever keeps a read from being answered.
    pub async fn job(&self, name: &JobName) -> Result<Job> {
        self.caller.get_job(name.single()?).instrument(verb!("job", name)).await
    }

    /// The jobs of a location, the newest first, paging by itself (ListJobs).
    pub fn jobs(&self, location: &Location) -> BoxStream<'static, Result<Job>> {
        self.caller.list_jobs(location)
    }

    /// Creates a job (CreateJob). `Job.name` is ignored.
    ///
    /// Dropped before its end, it leaves the job created or not; creating it again then ends as
    /// [`Conflict`](ErrorKind::Conflict) at worst.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) when it exists, [`InvalidInput`](ErrorKind::InvalidInput) when the service
    /// refuses its content.
    pub async fn create_job(&self, name: &JobName, job: Job) -> Result<Operation<Job>> {
        let answer = self.caller.create_job(name.single()?, job).instrument(verb!("create_job", name)).await?;
        Operation::answered(self.caller.clone(), name.location(), name, answer)
    }

    /// Replaces the job that `Job.name` names by this one (UpdateJob).
    ///
    /// What is not in `job` is removed from the job. That includes fields that the service has and these protos do not
    /// know: a job that was read with [`job`](Self::job) has lost them. With `Job.etag` empty it also undoes changes that
    /// were made since the job was read. [`edit_job`](Self::edit_job) does neither.
    ///
    /// Dropped before its end, it leaves the job changed or unchanged.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), and [`InvalidInput`](ErrorKind::InvalidInput) when the name is not one or
    /// the service refuses the content.
    pub async fn update_job(&self, job: Job) -> Result<Operation<Job>> {
        let name: JobName = job.name.parse()?;
        let answer = self.caller.update_job(name.single()?, job).instrument(verb!("update_job", name)).await?;
        Operation::answered(self.caller.clone(), name.location(), &name, answer)
    }

    /// Changes a job: reads it, has `change` change it, and writes it back under its etag, so that no other change is undone
    /// (GetJob, UpdateJob). Fields that these protos do not know stay as they are.
    ///
    /// When the job was changed by another caller in the meantime, it is read again and `change` is called again with the
    /// job as it is then, up to five times. An element of a list, such as a container, keeps its unknown fields by its name,
    /// or by its position in a list that is as long as before.
    ///
    /// Dropped before its end, it leaves the job changed or unchanged.
    ///
    /// ```no_run
    /// # async fn doc(client: runjob::Client, job: runjob::JobName) -> runjob::Result<()> {
    /// let edit = client.edit_job(&job, |job| drop(job.labels.insert("team".to_owned(), "red".to_owned())));
    /// edit.await?.wait().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// - [`NotFound`](ErrorKind::NotFound), and whatever keeps the job from being read; nothing was written
    /// - [`InvalidInput`](ErrorKind::InvalidInput): `change` has changed `Job.name`, or the service refuses the content
    /// - [`Conflict`](ErrorKind::Conflict): other callers have changed the job each time
    /// - [`Unreachable`](ErrorKind::Unreachable), [`Deadline`](ErrorKind::Deadline) and other failures of the service: the
    ///   job may have been changed
    pub async fn edit_job(&self, name: &JobName, mut change: impl FnMut(&mut Job) + Send) -> Result<Operation<Job>> {
        self.try_edit_job(name, |job| {
            change(job);
            Ok(())
        })
        .await
    }

    /// As [`edit_job`](Self::edit_job), with a change that may decline: its error is returned, and nothing is written.
    ///
    /// # Errors
    /// What `change` has returned, and the errors of [`edit_job`](Self::edit_job).
    pub async fn try_edit_job<E: From<Error>>(
        &self,
        name: &JobName,
        change: impl FnMut(&mut Job) -> Result<(), E> + Send,
    ) -> Result<Operation<Job>, E> {
        let single = name.single().map_err(Error::from)?;
        let answer = edit::edit(&self.caller, single, change).instrument(verb!("edit_job", name)).await?;
        Ok(Operation::answered(self.caller.clone(), name.location(), name, answer)?)
    }

    /// Deletes a job, and with it its executions: running ones are stopped (DeleteJob).
    ///
    /// Dropped before its end, it leaves the job deleted or not; deleting it again is safe.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub async fn delete_job(&self, name: &JobName) -> Result<Operation<Job>> {
        let answer = self.caller.delete_job(name.single()?).instrument(verb!("delete_job", name)).await?;
        Operation::answered(self.caller.clone(), name.location(), name, answer)
    }

    /// Who may do what with a job (GetIamPolicy), conditions included.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), and whatever keeps a read from being answered.
    pub async fn get_iam_policy(&self, job: &JobName) -> Result<Policy> {
        self.caller.get_iam_policy(job.single()?).instrument(verb!("get_iam_policy", job)).await
    }

    /// Replaces the policy of a job and returns it as it is then (SetIamPolicy).
    ///
    /// Change the policy that [`get_iam_policy`](Self::get_iam_policy) has returned: its etag keeps a change that was made
    /// since from being undone. Conditions need `Policy.version` 3.
    ///
    /// Dropped before its end, it leaves the policy changed or unchanged.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) when the policy has changed since it was read,
    /// [`InvalidInput`](ErrorKind::InvalidInput) when the service refuses its content.
    pub async fn set_iam_policy(&self, job: &JobName, policy: Policy) -> Result<Policy> {
        self.caller.set_iam_policy(job.single()?, policy).instrument(verb!("set_iam_policy", job)).await
    }

    /// Which of these permissions, such as `run.jobs.run`, the caller has on a job (TestIamPermissions). Without any of them,
    /// or without the job, the answer is empty.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) when the service does not know a permission, and whatever keeps a read from
    /// being answered.
    pub async fn test_iam_permissions<P: Into<String>>(
        &self,
        job: &JobName,
        permissions: impl IntoIterator<Item = P>,
    ) -> Result<Vec<String>> {
        let permissions = permissions.into_iter().map(Into::into).collect();
        self.caller
            .test_iam_permissions(job.single()?, permissions)
            .instrument(verb!("test_iam_permissions", job))
            .await
    }

    /// Reads an execution (GetExecution).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), and whatever keeps a read from being answered.
    pub async fn execution(&self, name: &ExecutionName) -> Result<Execution> {
        self.caller.get_execution(name.single()?).instrument(verb!("execution", name)).await
    }

    /// The executions of a job, or of [every job](Location::any_job), the newest first, paging by itself
    /// (ListExecutions).
    pub fn executions(&self, job: &JobName) -> BoxStream<'static, Result<Execution>> {
        self.caller.list_executions(job)
    }

    /// Cancels an execution (CancelExecution). The operation ends when the execution has.
    ///
    /// Dropped before its end, it leaves the execution cancelled or running; cancelling again is safe.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) when it is over already.
    pub async fn cancel(&self, name: &ExecutionName) -> Result<Operation<Execution>> {
        let answer = self.caller.cancel_execution(name.single()?).instrument(verb!("cancel", name)).await?;
        Operation::answered(self.caller.clone(), name.location(), name, answer)
    }

    /// Deletes an execution; a running one is stopped (DeleteExecution).
    ///
    /// Dropped before its end, it leaves the execution deleted or not; deleting it again is safe.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub async fn delete_execution(&self, name: &ExecutionName) -> Result<Operation<Execution>> {
        let answer = self.caller.delete_execution(name.single()?).instrument(verb!("delete_execution", name)).await?;
        Operation::answered(self.caller.clone(), name.location(), name, answer)
    }

    /// Reads a task (GetTask).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), and whatever keeps a read from being answered.
    pub async fn task(&self, name: &TaskName) -> Result<Task> {
        self.caller.get_task(name).instrument(verb!("task", name)).await
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

    /// Reads an operation (GetOperation).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound): the service forgets operations some time after their end, but not what they were
    /// about.
    pub async fn get_operation(&self, name: &OperationName) -> Result<longrunning::Operation> {
        pin!(self.caller.get_operation(name)).instrument(verb!("get_operation", name)).await
    }

    /// Waits until an operation is done, however long that takes, and returns it (WaitOperation, and GetOperation where
    /// that is not served). Its result may be an error. Dropping the future stops nothing.
    ///
    /// # Errors
    /// As [`Operation::wait`], but for the operation's own result.
    pub async fn wait_operation(&self, name: &OperationName) -> Result<longrunning::Operation> {
        operation::done(&self.caller, name).instrument(verb!("wait_operation", name)).await
    }

    /// The operations of a location, paging by itself (ListOperations).
    pub fn list_operations(&self, location: &Location) -> BoxStream<'static, Result<longrunning::Operation>> {
        self.caller.list_operations(location)
    }

    /// Has the service forget an operation (DeleteOperation). This stops nothing: what the operation is about stays as it
    /// is. Dropped before its end, it leaves the operation forgotten or not.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub async fn delete_operation(&self, name: &OperationName) -> Result<()> {
        self.caller.delete_operation(name).instrument(verb!("delete_operation", name)).await
    }
}
