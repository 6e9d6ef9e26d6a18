//! Exactly one execution for a token: a start by UpdateJob, which names the execution and is guarded by the job's etag.
//!
//! Rests on two promises of the service: an update with an etag that is not the job's current one has no effect, and
//! no two executions have one name. So a request may be sent twice, and what has the name is the one that was asked for.

use std::{
    fmt::{self, Display, Formatter},
    str::FromStr,
};

use tokio::time::{sleep, timeout};
use tonic::Code;

use super::{failed, find, unlooked};
use crate::{
    call::{Caller, FailedAttempt},
    error::{Error, ErrorKind, Result},
    name::{ExecutionName, JobName},
    operation::Operation,
    proto::{
        longrunning,
        run::v2::{Execution, Job, condition::State, job::CreateExecution},
    },
    retry::Evidence,
    rpc::EncodedJob,
    run::Run,
};

/// Job id and token together have fewer characters than this (`Job.start_execution_token`).
const TOO_LONG: usize = 63;

/// How often a job may change between our reading and writing it before we give up.
const MOST_CONFLICTS: usize = 5;

/// A caller's own name for one start, and the end of the execution's name: see
/// [`Client::start_once`](crate::Client::start_once).
///
/// Lowercase letters, digits and `-`, with a letter or digit at both ends, and together with the job's id at most 62
/// characters. Do not put a secret in it: every reader of the execution sees it.
///
/// ```
/// use runjob::StartToken;
///
/// let token: StartToken = "order-4711".parse()?;
/// assert_eq!(token.as_str(), "order-4711");
/// assert!("Order_4711".parse::<StartToken>().is_err());
/// # Ok::<(), runjob::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StartToken(String);

impl StartToken {
    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The execution that this token names: `{job}-{token}`.
    ///
    /// # Errors
    /// When job id and token together have more than 62 characters.
    pub fn execution(&self, job: &JobName) -> Result<ExecutionName> {
        let length = job.id().len() + self.0.len();
        if length >= TOO_LONG {
            let message = format!("job id and token have {length} characters together; they may have 62");
            return Err(Error::new(ErrorKind::InvalidInput, message).doing("start", job));
        }
        Ok(job.execution(format!("{}-{self}", job.id()))?)
    }
}

impl FromStr for StartToken {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let has_ends = text.starts_with(is_plain) && text.ends_with(is_plain);
        if !has_ends || text.len() >= TOO_LONG || !text.chars().all(|c| is_plain(c) || c == '-') {
            let shown: String = text.chars().take(TOO_LONG).flat_map(char::escape_debug).collect();
            let rule = "a token has lowercase letters, digits and '-', a letter or digit at both ends, and together with \
                        the job's id at most 62 of them";
            return Err(Error::new(ErrorKind::InvalidInput, format!("\"{shown}\" is not a token: {rule}")));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Display for StartToken {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Starts the execution of this token, or finds it.
pub(crate) async fn start_once(caller: &Caller, job: &JobName, token: &StartToken) -> Result<Run> {
    let start = TokenStart { caller, job, token, execution: token.execution(job)? };
    match start.send().await? {
        Sent::Found(execution) => Ok(start.adopted(*execution)),
        Sent::Open(open) => start.settle(open).await,
    }
}

struct TokenStart<'a> {
    caller: &'a Caller,
    job: &'a JobName,
    token: &'a StartToken,
    execution: ExecutionName,
}

enum Sent {
    /// Nothing was sent: it is there.
    Found(Box<Execution>),
    Open(OpenStart),
}

/// A start that may still come to something.
struct OpenStart {
    /// The update that may be lost: to be sent again while the job has its etag.
    lost: Option<EncodedJob>,
    /// Whether the service has accepted our update.
    is_ours: bool,
    /// The error when the execution does not show up.
    otherwise: Error,
}

impl TokenStart<'_> {
    /// Sends the update until its end is more than a conflict with somebody else's.
    async fn send(&self) -> Result<Sent> {
        let mut conflicts = 0;
        loop {
            // The job first: what is not there after that was not started by what the job said.
            let job = self.caller.get_encoded_job(self.job).await.map_err(unlooked)?;
            if let Some(execution) = self.look().await.map_err(unlooked)? {
                return Ok(Sent::Found(Box::new(execution)));
            }
            if self.is_asked_for(job.known()) {
                let otherwise =
                    self.unknown("the job has this token already, and its execution is deleted or yet to come");
                return Ok(Sent::Open(OpenStart { lost: None, is_ours: false, otherwise }));
            }
            let update = self.update(&job)?;
            match self.caller.update_encoded_job(self.job, &update).await {
                Ok(answer) if self.is_accepted(&answer) => {
                    let otherwise = self.unknown("the service has accepted the token");
                    return Ok(Sent::Open(OpenStart { lost: None, is_ours: true, otherwise }));
                }
                Ok(_) => {
                    let otherwise = self.unknown("the service has answered, and not that it has accepted the token");
                    return Ok(Sent::Open(OpenStart { lost: Some(update), is_ours: false, otherwise }));
                }
                Err(failure) if is_conflict(&failure) && conflicts < MOST_CONFLICTS => conflicts += 1,
                Err(failure) if failure.evidence == Evidence::Ambiguous => {
                    return Ok(Sent::Open(OpenStart {
                        lost: Some(update),
                        is_ours: false,
                        otherwise: failed(failure),
                    }));
                }
                Err(failure) => return Err(failed(failure)),
            }
        }
    }

    /// Looks for the execution for as long as for a start key, and sends what may be lost again.
    async fn settle(&self, mut open: OpenStart) -> Result<Run> {
        let settled = timeout(find::LOOK_AGAIN, async {
            let mut looks = 0;
            loop {
                // Looks that fail say no more than those that find nothing.
                let job = self.caller.get_encoded_job(self.job).await.ok();
                if let Ok(Some(execution)) = self.look().await {
                    return Ok(execution);
                }
                if let Some(why) = job.as_ref().and_then(|job| self.unready(job.known())) {
                    return Err(self.unknown(&why));
                }
                let is_unchanged = |lost: &&EncodedJob| job.is_some_and(|job| job.known().etag == lost.known().etag);
                if let Some(lost) = open.lost.as_ref().filter(is_unchanged)
                    && let Ok(answer) = self.caller.update_encoded_job(self.job, lost).await
                    && self.is_accepted(&answer)
                {
                    (open.lost, open.is_ours) = (None, true);
                }
                looks += 1;
                sleep(find::PAUSES.pause(looks, self.caller.random())).await;
            }
        });
        match settled.await {
            Ok(Ok(execution)) if open.is_ours => Ok(Run::seen(self.caller.clone(), self.execution.clone(), execution)),
            Ok(Ok(execution)) => Ok(self.adopted(execution)),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let patience = find::LOOK_AGAIN.as_secs();
                let note = format!("{} was not seen within {patience} s; the same token again is safe", self.execution);
                Err(open.otherwise.noting(&note))
            }
        }
    }

    /// The execution, if it is there.
    async fn look(&self) -> Result<Option<Execution>> {
        match self.caller.get_execution(&self.execution).await {
            Ok(execution) => Ok(Some(execution)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The job as it was read, but for the token.
    fn update(&self, job: &EncodedJob) -> Result<EncodedJob> {
        if job.known().etag.is_empty() {
            let message = "the service gives the job no etag, and without one nothing guards the update";
            return Err(Error::new(ErrorKind::Protocol, message)
                .with_kind(ErrorKind::NotStarted)
                .doing("start", self.job));
        }
        let token = CreateExecution::StartExecutionToken(self.token.to_string());
        job.with(&Job { create_execution: Some(token), ..Job::default() })
    }

    /// Whether the service says that it carries our update out: an operation here, about our job, that has not failed.
    fn is_accepted(&self, answer: &longrunning::Operation) -> bool {
        let failed = matches!(answer.result, Some(longrunning::operation::Result::Error(_)));
        !failed
            && Operation::<Job>::answered(self.caller.clone(), self.job.location(), self.job, answer.clone()).is_ok()
    }

    fn is_asked_for(&self, job: &Job) -> bool {
        match &job.create_execution {
            Some(CreateExecution::StartExecutionToken(token) | CreateExecution::RunExecutionToken(token)) => {
                *token == self.token.0
            }
            None => false,
        }
    }

    /// Why the job starts nothing now, though it has our token.
    fn unready(&self, job: &Job) -> Option<String> {
        let condition = job.terminal_condition.as_ref()?;
        let is_unready = condition.state() == State::ConditionFailed && !job.reconciling;
        (is_unready && self.is_asked_for(job)).then(|| format!("the job is not ready: {}", condition.message))
    }

    fn adopted(&self, execution: Execution) -> Run {
        Run::adopted(self.caller.clone(), self.execution.clone(), execution, Vec::new())
    }

    fn unknown(&self, message: &str) -> Error {
        Error::new(ErrorKind::StartUnknown, message).doing("start", self.job)
    }
}

/// Whether somebody else was faster: the job has changed since it was read, or has started this very execution.
fn is_conflict(failure: &FailedAttempt) -> bool {
    failure.evidence == Evidence::Rejected && matches!(failure.error.code(), Some(Code::Aborted | Code::AlreadyExists))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_the_end_of_an_execution_id() {
        for token in ["a", "4711", "order-4711", &"a".repeat(62)] {
            assert_eq!(token.parse::<StartToken>().expect(token).to_string(), token);
        }
        for text in ["", "-a", "a-", "A", "a_b", "a/b", "a b", "a\u{1b}", "ä", &"a".repeat(63)] {
            let error = text.parse::<StartToken>().expect_err(text);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(!error.to_string().contains('\u{1b}'), "{error}");
        }
    }

    #[test]
    fn job_and_token_have_62_characters_together_at_most() {
        let job: JobName = "projects/p/locations/l/jobs/echo".parse().expect("a name");
        let token = |length| "a".repeat(length).parse::<StartToken>().expect("a token");
        assert_eq!(token(58).execution(&job).expect("it fits").id().len(), 63);
        let error = token(59).execution(&job).expect_err("too long");
        assert!(error.to_string().contains("63 characters"), "{error}");
    }
}
