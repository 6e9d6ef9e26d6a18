//! A started execution: look at it, wait for it, cancel it, learn how it ended.
//!
//! Knows how an operation and an execution belong together, and that either may outlive the other.

use std::{sync::OnceLock, time::Duration};

use futures_util::TryStreamExt as _;

use crate::{
    call::Caller,
    error::{Error, ErrorKind, Result},
    name::{ExecutionName, OperationName},
    operation::{Operation, Pace},
    outcome::{Outcome, is_finished},
    proto::run::v2::{Execution, Task},
};

/// A started execution.
///
/// It comes from [`RunBuilder::start`](crate::RunBuilder::start), or by name from
/// [`Client::attach`](crate::Client::attach) in any process. Dropping it, or a wait on it, never cancels.
#[derive(Debug)]
pub struct Run {
    caller: Caller,
    execution: ExecutionName,
    /// Gone once the service no longer knows it: operations expire, executions stay.
    operation: Option<Operation<Execution>>,
    /// Empty until asked for: a start that only wants the name does not pay for reading the whole execution.
    latest: OnceLock<Execution>,
    wait_limit: Option<Duration>,
    /// There when it was found rather than started: the other executions with its start key.
    adopted: Option<Vec<ExecutionName>>,
}

/// An execution that has come to its end.
#[derive(Clone, Debug)]
pub struct Finished {
    name: ExecutionName,
    execution: Execution,
    outcome: Outcome,
}

impl Run {
    /// The handle of what RunJob has just started.
    pub(crate) fn started(caller: Caller, execution: ExecutionName, operation: Operation<Execution>) -> Self {
        Self { operation: Some(operation), ..Self::named(caller, execution) }
    }

    /// The handle of an execution that goes by this name. Nothing is asked yet.
    pub(crate) fn named(caller: Caller, execution: ExecutionName) -> Self {
        Self { caller, execution, operation: None, latest: OnceLock::new(), wait_limit: None, adopted: None }
    }

    /// The handle of an execution that was found rather than started, as it was then.
    pub(crate) fn adopted(
        caller: Caller,
        name: ExecutionName,
        execution: Execution,
        duplicates: Vec<ExecutionName>,
    ) -> Self {
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

    /// What was last heard of the execution. After a start: what the service made of the job and the overrides.
    pub fn latest(&self) -> Option<&Execution> {
        if self.latest.get().is_none()
            && let Some(metadata) = self.operation.as_ref().and_then(|operation| operation.metadata().ok().flatten())
        {
            return Some(self.latest.get_or_init(|| metadata));
        }
        self.latest.get()
    }

    /// How long [`wait`](Self::wait) may take. Default: no limit, because jobs run for up to 168 hours and longer.
    pub fn set_wait_limit(&mut self, limit: Option<Duration>) {
        self.wait_limit = limit;
    }

    /// Asks once. Returns the end, or none while it runs; [`latest`](Self::latest) has the counts.
    ///
    /// # Errors
    /// When the service could not be asked; that says nothing about the execution, and the handle is as it was.
    pub async fn poll(&mut self) -> Result<Option<Finished>> {
        if self.is_over() {
            return self.finish().await.map(Some);
        }
        // The operation knows the execution from the first moment; a read by name may come before it can be seen.
        if let Some(operation) = self.operation.as_mut().filter(|operation| !operation.is_done()) {
            match operation.poll().await {
                Ok(_) => self.hear_of_operation(),
                Err(error) if error.kind() == ErrorKind::NotFound => self.operation = None,
                Err(error) => return Err(error),
            }
        }
        if self.operation.as_ref().is_none_or(Operation::is_done) && !self.is_over() {
            match self.caller.get_execution(&self.execution).await {
                Ok(execution) => self.hear(execution),
                Err(error) => return self.gone(error).map(Some),
            }
        }
        if self.is_over() { self.finish().await.map(Some) } else { Ok(None) }
    }

    /// Waits for the end and says what it was.
    ///
    /// Learns of the end at once where the service serves WaitOperation, and by polling with growing pauses, ten
    /// seconds at the most, where it does not or where only the execution's name is known. Rides out what may pass.
    /// May be dropped and called again at any time.
    ///
    /// # Errors
    /// [`WaitLimit`](ErrorKind::WaitLimit) when the limit that the caller has set passes; otherwise when the service has
    /// never answered this client, or when it says that waiting is pointless (`PERMISSION_DENIED`, ...). Never because the
    /// execution ended badly: that is an [`Outcome`].
    pub async fn wait(&mut self) -> Result<Finished> {
        let Some(limit) = self.wait_limit else { return self.until_finished().await };
        let execution = self.execution.clone();
        tokio::time::timeout(limit, self.until_finished()).await.unwrap_or_else(|_| {
            let message = format!("it is not over after {} s", limit.as_secs_f32());
            Err(Error::new(ErrorKind::WaitLimit, message).doing("wait for", &execution))
        })
    }

    /// Cancels the execution (CancelExecution). Returns when that is accepted: [`wait`](Self::wait) for the end.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) when it is over already.
    pub async fn cancel(&self) -> Result<()> {
        self.caller.cancel_execution(&self.execution).await.map(drop)
    }

    pub(crate) fn has_wait_limit(&self) -> bool {
        self.wait_limit.is_some()
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Takes over what was heard of the execution elsewhere.
    pub(crate) fn hear(&mut self, execution: Execution) {
        self.latest = OnceLock::from(execution);
    }

    async fn until_finished(&mut self) -> Result<Finished> {
        if let Some(operation) = &mut self.operation {
            match operation.until_done().await {
                Ok(()) => self.hear_of_operation(),
                // Operations expire; the execution tells the same.
                Err(error) if error.kind() == ErrorKind::NotFound => self.operation = None,
                Err(error) => return Err(error),
            }
        }
        // The operation's word is not taken for the execution's: one that is done early is waited for all the same.
        let mut pace = Pace::default();
        while !self.is_over() {
            match self.poll().await {
                Ok(Some(finished)) => return Ok(finished),
                Ok(None) => pace.pause(None).await,
                Err(error) if self.caller.rides_out(&error) => pace.pause(error.retry_after()).await,
                Err(error) => return Err(error),
            }
        }
        self.finish().await
    }

    /// Takes over what the operation says of the execution.
    fn hear_of_operation(&mut self) {
        if let Some(Ok(Some(execution))) = self.operation.as_ref().map(Operation::metadata) {
            self.hear(execution);
        }
    }

    fn is_over(&self) -> bool {
        self.latest().is_some_and(is_finished)
    }

    /// The verdict on the execution, which is over.
    async fn finish(&self) -> Result<Finished> {
        let execution = self.latest().cloned().unwrap_or_default();
        let tasks = if Outcome::needs_tasks(&execution) { self.tasks().await? } else { Vec::new() };
        let outcome = Outcome::of(&execution, &tasks)?;
        Ok(Finished { name: self.execution.clone(), execution, outcome })
    }

    /// The tasks, or none for a caller who may see the execution and not its tasks.
    async fn tasks(&self) -> Result<Vec<Task>> {
        let mut pace = Pace::default();
        loop {
            match self.caller.list_tasks(&self.execution).try_collect().await {
                Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound) => {
                    return Ok(Vec::new());
                }
                Err(error) if self.caller.rides_out(&error) => pace.pause(error.retry_after()).await,
                answer => return answer,
            }
        }
    }

    /// An execution that was there and is not any more has been deleted.
    fn gone(&self, error: Error) -> Result<Finished> {
        match self.latest() {
            Some(execution) if error.kind() == ErrorKind::NotFound => {
                Ok(Finished { name: self.execution.clone(), execution: execution.clone(), outcome: Outcome::Deleted })
            }
            _ => Err(error),
        }
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
