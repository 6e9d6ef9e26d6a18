//! A started execution: ask about it, wait for it, cancel it, learn how it ended.
//!
//! Knows how an operation and an execution belong together, and that either may outlive the other.

mod changes;
mod ticket;
mod wait;

use std::{sync::OnceLock, time::Duration};

use futures_util::TryStreamExt as _;
use tokio::time::sleep;
use tracing::Instrument as _;

use self::wait::Wait;
pub use self::{
    changes::{Change, Changes},
    ticket::RunTicket,
};
use crate::{
    call::Caller,
    error::{Error, ErrorKind, Result},
    name::{ExecutionName, OperationName},
    operation::{Absence, Operation, Pace},
    outcome::{Outcome, TaskFailure, is_finished},
    proto::run::v2::{Execution, Task},
    rpc::MOST_TASKS,
    trace::{self, verb},
};

/// A started execution.
///
/// It comes from [`RunBuilder::start`](crate::RunBuilder::start), or by name from
/// [`Client::attach`](crate::Client::attach) and [`Client::resume`](crate::Client::resume) in any process. Dropping it, or
/// a wait on it, never cancels. A clone is a second handle of the same execution, and asks by itself.
#[derive(Clone, Debug)]
pub struct Run {
    caller: Caller,
    execution: ExecutionName,
    /// Gone once the service no longer knows it: operations expire, executions stay.
    operation: Option<Operation<Execution>>,
    /// Empty until asked for: a start that only wants the name does not pay for reading the whole execution.
    latest: OnceLock<Execution>,
    /// NOT_FOUND about the execution since it was last seen.
    missing: Absence,
    wait_limit: Option<Duration>,
    /// There when it was found rather than started: the other executions with its start key.
    adopted: Option<Vec<ExecutionName>>,
}

/// An execution that has ended.
#[derive(Clone, Debug)]
pub struct Finished {
    name: ExecutionName,
    execution: Box<Execution>,
    outcome: Outcome,
}

impl Run {
    /// The handle of what RunJob has just started. The operation is missing where the answer did not name it properly.
    pub(crate) fn started(caller: Caller, execution: ExecutionName, operation: Option<Operation<Execution>>) -> Self {
        Self { operation, ..Self::named(caller, execution) }
    }

    /// The handle of an execution that goes by this name. Nothing is asked yet.
    pub(crate) fn named(caller: Caller, execution: ExecutionName) -> Self {
        Self {
            caller,
            execution,
            operation: None,
            latest: OnceLock::new(),
            missing: Absence::default(),
            wait_limit: None,
            adopted: None,
        }
    }

    /// The handle that goes by these names. Nothing is asked yet.
    pub(crate) fn resumed(caller: Caller, ticket: &RunTicket) -> Self {
        let operation =
            ticket.operation().map(|name| Operation::named(caller.clone(), name.clone()).about(ticket.execution()));
        Self { operation, ..Self::named(caller, ticket.execution().clone()) }
    }

    /// The handle of an execution that was found rather than started, as it was then.
    pub(crate) fn adopted(
        caller: Caller,
        name: ExecutionName,
        execution: Execution,
        duplicates: Vec<ExecutionName>,
    ) -> Self {
        trace::adopted(&name);
        Self { adopted: Some(duplicates), ..Self::seen(caller, name, execution) }
    }

    /// The handle of an execution of which more is known than its name.
    pub(crate) fn seen(caller: Caller, name: ExecutionName, execution: Execution) -> Self {
        Self { latest: OnceLock::from(execution), ..Self::named(caller, name) }
    }

    /// The execution's name: enough to go on from in another process.
    pub fn execution(&self) -> &ExecutionName {
        &self.execution
    }

    /// The name of the operation that RunJob answered with, where it is known.
    pub fn operation(&self) -> Option<&OperationName> {
        self.operation.as_ref().map(Operation::name)
    }

    /// What to keep in order to go on in another process with [`Client::resume`](crate::Client::resume).
    pub fn ticket(&self) -> RunTicket {
        RunTicket::new(self.execution.clone(), self.operation().cloned())
    }

    /// Whether it was found, by its [start key](crate::RunBuilder::start_key) or its [token](crate::StartToken), rather
    /// than started by this call.
    pub fn was_adopted(&self) -> bool {
        self.adopted.is_some()
    }

    /// Younger executions with the same start key, the newest first: the work is done more than once. None of them is
    /// touched; usually two callers started with one key at the same moment.
    pub fn duplicates(&self) -> &[ExecutionName] {
        self.adopted.as_deref().unwrap_or_default()
    }

    /// The execution as of the last answer. After a start: what the service made of the job and the overrides.
    pub fn latest(&self) -> Option<&Execution> {
        if self.latest.get().is_none()
            && let Some(metadata) = self.operation.as_ref().and_then(|operation| operation.metadata().ok().flatten())
        {
            return Some(self.latest.get_or_init(|| metadata));
        }
        self.latest.get()
    }

    /// How long [`wait`](Self::wait) and [`changes`](Self::changes) may take. Default: no limit, because jobs run for up
    /// to 168 hours and longer.
    pub fn set_wait_limit(&mut self, limit: Option<Duration>) {
        self.wait_limit = limit;
    }

    /// Asks once, the operation where the execution cannot be read. Returns the end, or `None` while it runs or cannot be
    /// seen yet; [`latest`](Self::latest) has the counts.
    ///
    /// Dropping the future leaves the handle as it was.
    ///
    /// # Errors
    /// When the service could not be asked; that says nothing about the execution, and the handle is as it was.
    /// [`NotFound`](ErrorKind::NotFound) when this handle has never seen the execution; within ten seconds of its start it
    /// may still show up.
    pub async fn poll(&mut self) -> Result<Option<Finished>> {
        let span = verb!("poll", self.execution);
        self.ask().instrument(span).await
    }

    async fn ask(&mut self) -> Result<Option<Finished>> {
        if !self.is_over()
            && let Err(error) = self.ask_execution().await
        {
            let is_missing = error.kind() == ErrorKind::NotFound;
            if is_missing && self.missing.is_proven() {
                return self.gone(error).map(Some);
            }
            let has_answered = self.ask_operation_instead(&error).await;
            if !(has_answered || is_missing && self.latest().is_some()) {
                return Err(error);
            }
        }
        if self.is_over() { self.finish().await.map(Some) } else { Ok(None) }
    }

    /// Waits for the end and says what it was.
    ///
    /// Learns of the end at once where the service serves WaitOperation, and by polling with growing pauses, ten
    /// seconds at most, where it does not or where only the execution's name is known. The first proof counts, be it from the
    /// operation or from the execution; a source that the caller may not read is left out. Only a service that says for
    /// ten seconds that there is no such execution has deleted it.
    ///
    /// Rides out trouble, also an absent service at the first question: the name shows that the execution was there
    /// ([`ClientBuilder::fail_fast`](crate::ClientBuilder::fail_fast) changes that; [`changes`](Self::changes) reports
    /// the trouble). May be dropped and called again at any time: nothing is cancelled.
    ///
    /// # Errors
    /// - [`WaitLimit`](ErrorKind::WaitLimit): the limit that the caller has set has passed
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied) and other refusals: neither the operation nor the execution may
    ///   be read
    /// - [`NotFound`](ErrorKind::NotFound): there is no execution of this name
    /// - [`Unreachable`](ErrorKind::Unreachable), [`NotGrpc`](ErrorKind::NotGrpc): the service has never answered, and the
    ///   host does not resolve, TLS fails or the peer is no gRPC server
    ///
    /// Never because the execution ended badly: that is an [`Outcome`].
    pub async fn wait(&mut self) -> Result<Finished> {
        let span = verb!("wait", self.execution);
        let Some(limit) = self.wait_limit else { return self.until_finished().instrument(span).await };
        let ended = tokio::time::timeout(limit, self.until_finished().instrument(span)).await;
        ended.unwrap_or_else(|_| Err(self.out_of_patience()))
    }

    /// The run as a stream: how far it is, whenever that changes, and the end, with which [`wait`](Self::wait) returns.
    ///
    /// Progress and the end come from one series of calls: WaitOperation, held for a second at first and for up to
    /// fifteen in long runs. The end comes at once, progress when a hold is over. It rides out what `wait` rides
    /// out and ends with the same errors; while the service does not answer, a [`Progress`](crate::Progress) with its
    /// [`trouble`](crate::Progress::trouble) comes once a minute. An error is the last item. Dropping the stream cancels
    /// nothing, and another one may be made afterwards.
    ///
    /// ```no_run
    /// # async fn doc(mut run: runjob::Run) -> runjob::Result<()> {
    /// use runjob::Change;
    ///
    /// let mut changes = run.changes();
    /// while let Some(change) = changes.next().await {
    ///     match change? {
    ///         Change::Progress(now) => println!("{}: {} of {}", now.phase, now.succeeded, now.tasks),
    ///         Change::Finished(finished) => println!("{}", finished.outcome()),
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn changes(&mut self) -> Changes<'_> {
        Changes::of(self)
    }

    /// The same as a stream that owns the run, for a task or a response.
    pub fn into_changes(self) -> Changes<'static> {
        Changes::of(self)
    }

    /// Cancels the execution (CancelExecution). Returns when that is accepted: [`wait`](Self::wait) for the end.
    ///
    /// Dropped before its end, it leaves the execution cancelled or running; cancelling again is safe.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) when it is over already.
    pub async fn cancel(&self) -> Result<()> {
        let span = verb!("cancel", self.execution);
        self.caller.cancel_execution(&self.execution).instrument(span).await.map(drop)
    }

    pub(crate) fn has_wait_limit(&self) -> bool {
        self.wait_limit.is_some()
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Takes over an answer about the execution. A stale answer never turns an ended execution back into a running one.
    pub(crate) fn accept(&mut self, execution: Execution) {
        if !self.is_over() {
            self.latest = OnceLock::from(execution);
        }
    }

    /// Whether the service says that there is no such execution, and it is too early to believe that.
    pub(crate) fn may_show_up(&mut self) -> bool {
        self.missing.is_suspected() && !self.missing.is_proven()
    }

    async fn until_finished(&mut self) -> Result<Finished> {
        let mut wait = Wait::for_end(self);
        loop {
            if let Some(finished) = wait.step(self).await? {
                return Ok(finished);
            }
        }
    }

    fn out_of_patience(&self) -> Error {
        let limit = self.wait_limit.unwrap_or_default();
        let message = format!("it is not over after {} s", limit.as_secs_f32());
        Error::new(ErrorKind::WaitLimit, message).doing("wait for", &self.execution)
    }

    /// Asks for the execution once.
    async fn ask_execution(&mut self) -> Result<()> {
        let execution = self.caller.get_execution(&self.execution).await?;
        self.missing = Absence::default();
        self.accept(execution);
        Ok(())
    }

    /// Asks the operation once, where this error is about the execution alone. Whether it has answered.
    async fn ask_operation_instead(&mut self, error: &Error) -> bool {
        let is_about_execution = error.is_from_peer() || error.kind() == ErrorKind::Protocol;
        let open = self.operation.as_mut().filter(|operation| is_about_execution && !operation.is_done());
        let Some(operation) = open else { return false };
        let has_answered = operation.poll().await.is_ok();
        self.accept_from_operation();
        has_answered
    }

    /// Takes over what the operation says of the execution.
    fn accept_from_operation(&mut self) {
        let Some(operation) = &self.operation else { return };
        let [metadata, response] = [operation.metadata().ok().flatten(), operation.response()];
        metadata.into_iter().chain(response).for_each(|execution| self.accept(execution));
    }

    fn is_over(&self) -> bool {
        self.latest().is_some_and(is_finished)
    }

    /// The verdict on the execution, which is over.
    async fn finish(&self) -> Result<Finished> {
        let execution = self.latest().cloned().unwrap_or_default();
        let failures = if Outcome::needs_tasks(&execution) { self.failures(&execution).await? } else { Vec::new() };
        let outcome = Outcome::of(&execution, failures);
        Ok(Finished { name: self.execution.clone(), execution: execution.into(), outcome })
    }

    /// The failed tasks; empty where the tasks cannot be read, because the caller may see the execution alone, or because the
    /// service's list makes no sense. The execution has failed either way.
    async fn failures(&self, execution: &Execution) -> Result<Vec<TaskFailure>> {
        let mut pace = Pace::default();
        loop {
            let error = match self.list_failures(execution).await {
                Ok(failures) => return Ok(failures),
                Err(error) => error,
            };
            match error.kind() {
                ErrorKind::PermissionDenied | ErrorKind::NotFound | ErrorKind::Protocol | ErrorKind::Unimplemented => {
                    return Ok(Vec::new());
                }
                _ if self.caller.rides_out(&error) => {
                    sleep(pace.next(self.caller.random(), error.retry_after())).await;
                }
                _ => return Err(error),
            }
        }
    }

    /// Reads as many tasks as the execution has, and keeps what the outcome shows of them.
    async fn list_failures(&self, execution: &Execution) -> Result<Vec<TaskFailure>> {
        let count = match usize::try_from(execution.task_count) {
            Ok(count @ 1..=MOST_TASKS) => count,
            _ => MOST_TASKS,
        };
        let tasks = futures_util::StreamExt::take(self.caller.list_tasks(&self.execution), count);
        tasks.try_filter_map(|task: Task| async move { TaskFailure::of(&task) }).try_collect().await
    }

    /// What no longer exists although it was seen has been deleted.
    fn gone(&self, error: Error) -> Result<Finished> {
        let execution = self.latest().cloned().ok_or(error)?;
        Ok(Finished { name: self.execution.clone(), execution: execution.into(), outcome: Outcome::Deleted })
    }
}

impl Finished {
    /// The execution's name.
    pub fn name(&self) -> &ExecutionName {
        &self.name
    }

    /// How it ended.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The execution as last seen: times, counts, conditions and the template that it ran with.
    pub fn execution(&self) -> &Execution {
        &self.execution
    }
}
