//! The RunJob request builder, and what a start can end in.
//!
//! Knows the overrides and the safety of a start: RunJob has no request id, so what is not known to have failed is
//! never called a failure.

pub(crate) mod find;
mod key;
pub(crate) mod token;

use std::{mem, pin::pin, time::Duration};

use tracing::Instrument as _;

pub use self::{key::StartKey, token::StartToken};
use crate::{
    call::{Caller, FailedAttempt},
    error::{Error, ErrorKind, Result, is_refusal},
    name::{JobName, text},
    operation::{Operation, name_in},
    proto::{
        longrunning,
        run::v2::{
            EnvVar, Execution, RunJobRequest, env_var,
            run_job_request::{Overrides, overrides::ContainerOverride},
        },
    },
    retry::Evidence,
    rpc::{MOST_TASKS, foreign},
    run::Run,
    trace::verb,
};

/// The longest that one attempt of a task may take: 168 hours (Cloud Run quotas).
const LONGEST_TASK: i64 = 168 * 3600;

/// A start to be: a job and what to change for this one execution. Nothing is sent before [`start`](Self::start).
///
/// What is not changed is as the job has it.
#[derive(Clone, Debug)]
#[must_use = "nothing starts before `start().await`"]
pub struct RunBuilder {
    caller: Caller,
    job: JobName,
    /// The job's only container, which needs no name.
    container: ContainerOverrides,
    named: Vec<(String, ContainerOverrides)>,
    task_count: Option<u32>,
    task_timeout: Option<TaskTimeout>,
    key: Option<StartKey>,
    validate_first: bool,
    /// Makes the calls of the start, where these have a limit of their own.
    hasty: Option<Caller>,
}

/// What to change in one container for this one execution.
#[derive(Clone, Debug, Default)]
#[must_use = "return it from the closure"]
pub struct ContainerOverrides {
    args: Option<Vec<String>>,
    env: Vec<(String, String)>,
}

/// The limit of one attempt of a task, made from a `std` or a `prost` duration and checked by
/// [`start`](RunBuilder::start).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskTimeout {
    seconds: i64,
    nanos: i32,
}

impl RunBuilder {
    pub(crate) fn new(caller: Caller, job: JobName) -> Self {
        let container = ContainerOverrides::default();
        Self {
            caller,
            job,
            container,
            named: Vec::new(),
            task_count: None,
            task_timeout: None,
            key: None,
            validate_first: false,
            hasty: None,
        }
    }

    /// Replaces the arguments of the job's container. None at all empties them, like
    /// [`clear_args`](Self::clear_args).
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.container = self.container.args(args);
        self
    }

    /// Empties the arguments of the job's container.
    pub fn clear_args(mut self) -> Self {
        self.container = self.container.clear_args();
        self
    }

    /// Sets an environment variable of the job's container; the others stay. The last value of a name counts.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.container = self.container.env(name, value);
        self
    }

    /// Changes the container of this name, for jobs of several containers.
    pub fn container(
        mut self,
        name: impl Into<String>,
        change: impl FnOnce(ContainerOverrides) -> ContainerOverrides,
    ) -> Self {
        let name = name.into();
        match self.named.iter_mut().find(|(known, _)| *known == name) {
            Some((_, overrides)) => *overrides = change(mem::take(overrides)),
            None => self.named.push((name, change(ContainerOverrides::default()))),
        }
        self
    }

    /// How many tasks to run, 1 to 10,000.
    pub fn task_count(mut self, tasks: u32) -> Self {
        self.task_count = Some(tasks);
        self
    }

    /// How long each attempt of a task may take, 1 second to 168 hours. A retry has the whole time again.
    pub fn task_timeout(mut self, limit: impl Into<TaskTimeout>) -> Self {
        self.task_timeout = Some(limit.into());
        self
    }

    /// Names this start, so that it can be found again: after a lost answer, and after a restart of a caller that does not know
    /// whether it has started already.
    ///
    /// The key travels in the overrides as the environment variable [`RUNJOB_START_KEY`](StartKey::VARIABLE), so starting
    /// needs `run.jobs.runWithOverrides`, and looking needs `run.executions.list`. It is set in the job's only container,
    /// or in the first one that [`container`](Self::container) names; for a job of several containers, name one, with or
    /// without changes to it.
    ///
    /// [`start`](Self::start) then looks through the job's executions before it sends anything: those of the seven days
    /// before the newest, 1,000 at most. One that carries the key is adopted, and nothing is sent
    /// ([`Run::was_adopted`]). After an unknown outcome it searches again, for 30 seconds, and adopts what it finds. It
    /// never sends again because it found nothing.
    ///
    /// A key stands for one start: overrides are not compared. It guards the repetitions of one caller. Two callers
    /// that start with one key at the same moment may both start, and a later search reports both
    /// ([`Run::duplicates`]).
    pub fn start_key(mut self, key: StartKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Lets the service check the start before it is made (RunJob with `validate_only`): a missing permission or a bad
    /// override then shows in a call that could not start anything. Costs one more call.
    pub fn validate_first(mut self) -> Self {
        self.validate_first = true;
        self
    }

    /// How long each RPC of this start may take, in place of the client's limit
    /// ([`ClientBuilder::rpc_timeout`](crate::ClientBuilder::rpc_timeout)). The [`Run`] has the client's again.
    ///
    /// A short limit makes more starts end as [`StartUnknown`](ErrorKind::StartUnknown): the service has been seen to take
    /// more than ten seconds.
    pub fn rpc_timeout(mut self, limit: Duration) -> Self {
        self.hasty = Some(self.caller.clone().with_rpc_timeout(limit));
        self
    }

    /// Starts the execution. Returns when the service has accepted it, and does not wait for the job.
    ///
    /// The request is sent again only when there is proof that it was not processed: it never left, or the peer
    /// refused it. All attempts together take at most the RPC timeout. With a [key](Self::start_key) it is looked for
    /// before, and after an unknown end.
    ///
    /// Dropped before its end, it leaves the execution started or not, and its name unknown: in a handler whose caller may
    /// hang up, spawn it, and give it a key.
    ///
    /// # Errors
    /// - [`InvalidInput`](ErrorKind::InvalidInput): an override cannot be sent as it is; nothing was sent
    /// - [`Credentials`](ErrorKind::Credentials): no token; nothing was sent
    /// - [`PermissionDenied`](ErrorKind::PermissionDenied), [`Unauthenticated`](ErrorKind::Unauthenticated),
    ///   [`NotFound`](ErrorKind::NotFound): the key could not be looked for; nothing was sent
    /// - [`NotStarted`](ErrorKind::NotStarted): there is proof that the request was not processed
    /// - [`Rejected`](ErrorKind::Rejected): the service refused; [`Error::code`] says why
    /// - [`StartUnknown`](ErrorKind::StartUnknown): it may be running; look before starting again
    pub async fn start(self) -> Result<Run> {
        let span = verb!("start", self.job);
        pin!(self.send_or_adopt()).instrument(span).await
    }

    /// The request that [`start`](Self::start) would send, checked as there. Nothing is sent.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput): an override cannot be sent as it is
    pub fn request(&self) -> Result<RunJobRequest> {
        let mut copy = self.clone();
        copy.take_request().map_err(|error| error.doing("start", &self.job))
    }

    async fn send_or_adopt(mut self) -> Result<Run> {
        let request = self.take_request().map_err(|error| error.doing("start", &self.job))?;
        let Some(key) = &self.key else { return self.send(request).await };
        let before = find::look(self.starter(), &self.job, key).await.map_err(unlooked)?;
        let newest = before.newest();
        if let Some(run) = before.adopt(&self.caller) {
            return Ok(run);
        }
        self.send_or_find(request, key, newest).await
    }

    /// Starts as [`start`](Self::start), without the search before it, for a caller that has searched for many keys at once.
    #[cfg(feature = "cli")]
    pub(crate) async fn start_searched(mut self) -> Result<Run> {
        let span = verb!("start", self.job);
        let sending = async move {
            let request = self.take_request().map_err(|error| error.doing("start", &self.job))?;
            match &self.key {
                Some(key) => self.send_or_find(request, key, None).await,
                None => self.send(request).await,
            }
        };
        sending.instrument(span).await
    }

    /// Sends the request, and after an unknown end searches for its key among what is as new as `newest`.
    async fn send_or_find(&self, request: RunJobRequest, key: &StartKey, newest: Option<i64>) -> Result<Run> {
        match self.send(request).await {
            Err(error) if error.kind() == ErrorKind::StartUnknown => self.look_again(key, newest, error).await,
            answer => answer,
        }
    }

    /// Who makes the calls of the start.
    fn starter(&self) -> &Caller {
        self.hasty.as_ref().unwrap_or(&self.caller)
    }

    /// Sends the request, checked by the service first where that was asked for.
    async fn send(&self, request: RunJobRequest) -> Result<Run> {
        if self.validate_first {
            let check = RunJobRequest { validate_only: true, ..request.clone() };
            self.starter().run_job(&self.job, &check).await.map_err(unchecked)?;
        }
        match self.starter().run_job(&self.job, &request).await {
            Ok(operation) => accepted(&self.caller, &self.job, operation),
            Err(failure) => Err(failed(failure)),
        }
    }

    /// Adopts what was started after all, or leaves the end as unknown as it was.
    async fn look_again(&self, key: &StartKey, newest: Option<i64>, unknown: Error) -> Result<Run> {
        let seen = find::look_again(self.starter(), &self.job, key, newest).await;
        let run = seen.and_then(|search| search.adopt(&self.caller));
        run.ok_or_else(|| {
            let patience = find::LOOK_AGAIN.as_secs();
            unknown.noting(&format!(
                "no execution with start key {key} was seen within {patience} s, which proves nothing"
            ))
        })
    }

    /// The message that [`start`](Self::start) sends, made of the overrides, which are moved out.
    fn take_request(&mut self) -> Result<RunJobRequest> {
        self.job.single()?;
        let mut overrides = Overrides::default();
        if !self.container.is_empty() {
            overrides.container_overrides.push(mem::take(&mut self.container).message(String::new())?);
        }
        for (name, container) in self.named.drain(..) {
            overrides.container_overrides.push(container.message(name)?);
        }
        if let Some(tasks) = self.task_count {
            if tasks == 0 || tasks as usize > MOST_TASKS {
                return Err(invalid(format!("a task count of {tasks}; it must be 1 to 10000")));
            }
            overrides.task_count = i32::try_from(tasks).unwrap_or(i32::MAX);
        }
        overrides.timeout = self.task_timeout.map(TaskTimeout::message).transpose()?;
        if let Some(key) = &self.key {
            mark(&mut overrides.container_overrides, key)?;
        }
        // Without overrides the permission run.jobs.run is enough; an empty message would need more.
        let overrides = (overrides != Overrides::default()).then_some(overrides);
        Ok(RunJobRequest { name: text(&self.job), overrides, ..RunJobRequest::default() })
    }
}

impl ContainerOverrides {
    /// Replaces the arguments. None at all empties them.
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// Empties the arguments.
    pub fn clear_args(mut self) -> Self {
        self.args = Some(Vec::new());
        self
    }

    /// Sets an environment variable; the others stay. The last value of a name counts.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.env.retain(|(known, _)| *known != name);
        self.env.push((name, value));
        self
    }

    fn is_empty(&self) -> bool {
        self.args.is_none() && self.env.is_empty()
    }

    fn message(self, container: String) -> Result<ContainerOverride> {
        let env = self.env.into_iter().map(|(name, value)| env_var(name, value)).collect::<Result<_>>()?;
        Ok(ContainerOverride {
            name: container,
            env,
            // An empty list is not distinguishable from no list on the wire; the flag is.
            clear_args: self.args.as_ref().is_some_and(Vec::is_empty),
            args: self.args.unwrap_or_default(),
        })
    }
}

impl TaskTimeout {
    fn message(self) -> Result<prost_types::Duration> {
        let Self { seconds, nanos } = self;
        // google.protobuf.Duration: the nanoseconds have the sign of the seconds and are less than a second.
        let proper = nanos.unsigned_abs() < 1_000_000_000 && seconds.signum() * i64::from(nanos.signum()) >= 0;
        if !proper {
            return Err(invalid(format!("a task timeout of {seconds} s and {nanos} ns is not a proper duration")));
        }
        if seconds < 1 || (seconds, nanos) > (LONGEST_TASK, 0) {
            let shown = prost_types::Duration { seconds, nanos };
            return Err(invalid(format!("a task timeout of {shown}; it must be 1 s to 168 h")));
        }
        Ok(prost_types::Duration { seconds, nanos })
    }
}

impl From<Duration> for TaskTimeout {
    fn from(limit: Duration) -> Self {
        // A value that does not fit is over the limit, and is refused for that.
        let seconds = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        Self { seconds, nanos: i32::try_from(limit.subsec_nanos()).unwrap_or(0) }
    }
}

impl From<prost_types::Duration> for TaskTimeout {
    fn from(limit: prost_types::Duration) -> Self {
        Self { seconds: limit.seconds, nanos: limit.nanos }
    }
}

fn env_var(name: String, value: String) -> Result<EnvVar> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(invalid(format!(
            "an environment variable named \"{}\"; a name has at least one character and no '='",
            name.escape_debug()
        )));
    }
    if value.contains('\0') {
        return Err(invalid(format!("the value of environment variable {} has a NUL character", name.escape_debug())));
    }
    Ok(EnvVar { name, values: Some(env_var::Values::Value(value)) })
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

/// What an accepted answer proves.
///
/// Metadata that names an execution of this job proves that it has started, whatever else the operation says. Without
/// metadata, an operation that is done and ends with a code of refusal proves that nothing has. Anything else proves
/// nothing.
fn accepted(caller: &Caller, job: &JobName, answer: longrunning::Operation) -> Result<Run> {
    let Some(metadata) = &answer.metadata else { return Err(nameless(job, &answer)) };
    let name = name_in::<Execution>(metadata).map_err(|cause| unnamed(job).with_source(cause))?;
    let execution = job.own_execution(&name).ok_or_else(|| unnamed(job).with_source(foreign(&name)))?;
    // Without a proper operation the execution's name is enough to go on with.
    let operation = Operation::started(caller.clone(), &execution, answer).ok();
    Ok(Run::started(caller.clone(), execution, operation))
}

/// The error for an answer that names no execution.
fn nameless(job: &JobName, answer: &longrunning::Operation) -> Error {
    match &answer.result {
        Some(longrunning::operation::Result::Error(error)) => {
            let is_refusal = answer.done && is_refusal(error.code.into());
            let kind = if is_refusal { ErrorKind::Rejected } else { ErrorKind::StartUnknown };
            Error::from_result(error).with_kind(kind).doing("start", job)
        }
        _ => unnamed(job),
    }
}

fn unnamed(job: &JobName) -> Error {
    let message = "the service accepted, and its answer does not name an execution of the job";
    Error::new(ErrorKind::StartUnknown, message).doing("start", job)
}

/// Puts the key into the first container that is changed, or else into the only one.
fn mark(containers: &mut Vec<ContainerOverride>, key: &StartKey) -> Result<()> {
    if containers.iter().flat_map(|container| &container.env).any(|variable| variable.name == StartKey::VARIABLE) {
        return Err(invalid(format!("environment variable {} is the start key's own", StartKey::VARIABLE)));
    }
    if containers.is_empty() {
        containers.push(ContainerOverride::default());
    }
    containers[0].env.push(key.variable());
    Ok(())
}

/// An error of the search before a start, before anything is sent.
fn unlooked(error: Error) -> Error {
    let error = error.noting("could not look for what may have been started already, and nothing was sent");
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::Unauthenticated | ErrorKind::Credentials | ErrorKind::NotFound => {
            error
        }
        _ => error.with_kind(ErrorKind::NotStarted),
    }
}

/// An error of a check before a start, which starts nothing whatever becomes of it.
fn unchecked(failure: FailedAttempt) -> Error {
    let evidence = if failure.evidence == Evidence::Ambiguous { Evidence::Unprocessed } else { failure.evidence };
    failed(FailedAttempt { evidence, ..failure }).noting("this was the check before the start")
}

fn failed(FailedAttempt { error, evidence, .. }: FailedAttempt) -> Error {
    match evidence {
        Evidence::NeverSent if error.kind() == ErrorKind::Credentials => error,
        Evidence::NeverSent | Evidence::Unprocessed => error.with_kind(ErrorKind::NotStarted),
        Evidence::Rejected => error.with_kind(ErrorKind::Rejected),
        Evidence::Ambiguous => error.with_kind(ErrorKind::StartUnknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, Credentials};

    async fn builder() -> RunBuilder {
        let client = Client::builder().emulator("127.0.0.1:1").credentials(Credentials::anonymous()).build().await;
        let job = "projects/p/locations/l/jobs/j".parse().expect("a job name");
        client.expect("a client").run(&job)
    }

    #[tokio::test]
    async fn a_start_without_overrides_sends_none() {
        let request = builder().await.take_request().expect("valid");
        assert_eq!(request, RunJobRequest { name: "projects/p/locations/l/jobs/j".to_owned(), ..Default::default() });
    }

    #[tokio::test]
    async fn every_override_is_sent_as_the_service_knows_it() {
        let request = builder()
            .await
            .args(["a", "b"])
            .env("MODE", "slow")
            .env("MODE", "full")
            .container("sidecar", |c| c.env("LEVEL", "debug"))
            .container("sidecar", |c| c.clear_args())
            .task_count(2)
            .task_timeout(Duration::from_millis(1_500))
            .take_request()
            .expect("valid");
        let overrides = request.overrides.expect("overrides");
        assert_eq!(overrides.task_count, 2);
        assert_eq!(overrides.timeout, Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }));
        let [only, sidecar] = &overrides.container_overrides[..] else { panic!("two containers") };
        assert_eq!((only.name.as_str(), only.args.len(), only.clear_args), ("", 2, false));
        assert_eq!(only.env, [env_var("MODE".to_owned(), "full".to_owned()).expect("valid")]);
        assert_eq!((sidecar.name.as_str(), sidecar.args.len(), sidecar.clear_args), ("sidecar", 0, true));
        assert_eq!(sidecar.env.len(), 1);
    }

    #[tokio::test]
    async fn no_arguments_at_all_empty_the_list_and_the_last_word_counts() {
        let cleared = |request: RunJobRequest| request.overrides.expect("overrides").container_overrides[0].clear_args;
        assert!(cleared(builder().await.args(Vec::<String>::new()).take_request().expect("valid")));
        assert!(cleared(builder().await.args(["a"]).clear_args().take_request().expect("valid")));
        assert!(!cleared(builder().await.clear_args().args(["a"]).take_request().expect("valid")));
    }

    #[tokio::test]
    async fn what_cannot_be_sent_as_it_is_is_refused_with_its_rule() {
        let b = builder().await;
        for (mut builder, rule) in [
            (b.clone().task_count(0), "1 to 10000"),
            (b.clone().task_count(10_001), "1 to 10000"),
            (b.clone().task_timeout(Duration::ZERO), "1 s to 168 h"),
            (b.clone().task_timeout(Duration::from_millis(999)), "1 s to 168 h"),
            (b.clone().task_timeout(Duration::new(168 * 3600, 1)), "1 s to 168 h"),
            (b.clone().task_timeout(Duration::MAX), "1 s to 168 h"),
            (b.clone().task_timeout(prost_types::Duration { seconds: -5, nanos: 0 }), "1 s to 168 h"),
            (b.clone().task_timeout(prost_types::Duration { seconds: 5, nanos: -1 }), "proper duration"),
            (b.clone().task_timeout(prost_types::Duration { seconds: 5, nanos: 1_000_000_000 }), "proper duration"),
            (b.clone().env("", "x"), "at least one character"),
            (b.clone().env("A=B", "x"), "no '='"),
            (b.clone().container("c", |c| c.env("A", "x\0y")), "NUL"),
        ] {
            let error = builder.take_request().expect_err(rule);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(rule), "{error}");
        }
    }

    #[tokio::test]
    async fn a_key_goes_into_the_first_container_that_is_changed_or_else_into_the_only_one() {
        let b = builder().await.start_key("k".parse().expect("a key"));
        for (mut builder, containers) in [
            (b.clone(), vec![("", 1)]),
            (b.clone().env("A", "1"), vec![("", 2)]),
            (b.clone().container("c", |c| c).container("d", |d| d), vec![("c", 1), ("d", 0)]),
        ] {
            let overrides = builder.take_request().expect("valid").overrides.expect("overrides");
            let marked: Vec<_> = overrides.container_overrides.iter().map(|c| (c.name.as_str(), c.env.len())).collect();
            assert_eq!(marked, containers);
        }
        let error = b.env(StartKey::VARIABLE, "mine").take_request().expect_err("it is taken");
        assert!(error.to_string().contains("RUNJOB_START_KEY"), "{error}");
    }

    #[tokio::test]
    async fn every_job_at_once_cannot_be_started() {
        let job = "projects/p/locations/l/jobs/-".parse().expect("a wildcard");
        let error = RunBuilder { job, ..builder().await }.start().await.expect_err("a wildcard");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
