//! The handle of a long-running operation: poll it, wait for it, resume it by name.
//!
//! Knows `google.longrunning` and how to wait without giving up. What an operation is about, its type says. There
//! is no cancel here: run/v2 does not publish CancelOperation; an execution is stopped by CancelExecution.

use std::{fmt::Display, marker::PhantomData, pin::pin, time::Duration};

use prost::{Message, Name};
use prost_types::Any;
use tokio::time::{Instant, sleep};
use tracing::Instrument as _;

use crate::{
    call::Caller,
    error::{Error, ErrorKind, Result},
    name::{ExecutionName, Location, OperationName, is_same, text},
    proto::longrunning::{self, operation},
    retry::Backoff,
    rpc::foreign,
    trace::{self, verb},
};

/// How long one WaitOperation may be held by the service: what gcloud asks for. A cut connection costs one of these.
pub(crate) const HOLD: Duration = Duration::from_secs(30);

/// An answer that took this long, or nearly all of a shorter hold, was held: asking again at once is no busy loop, however
/// early the service lets go.
const HELD: Duration = Duration::from_secs(2);
const NEARLY_ALL: f64 = 0.9;

/// The longest pause that the service may ask for.
const LONGEST_ADVICE: Duration = Duration::from_secs(300);

/// The pauses between polls that the service answers at once: short at first, and ten seconds at most.
const POLLS: Backoff = Backoff { first: Duration::from_millis(250), factor: 1.5, longest: Duration::from_secs(10) };

/// How long a read may come before what it reads can be seen. The service publishes no figure; clients retry for a few
/// seconds. A longer window reports a deletion later, and nothing else.
const READ_AFTER_WRITE: Duration = Duration::from_secs(10);

/// A long-running operation that ends with a `T`: a `Job` for the operations on jobs, an `Execution` for a run.
///
/// A failed [`poll`](Self::poll) or [`wait`](Self::wait) leaves the handle as it was. Dropping it stops nothing. A clone is
/// a second handle of the same operation, and asks by itself.
#[derive(Clone, Debug)]
pub struct Operation<T> {
    caller: Caller,
    name: OperationName,
    /// The full name of the resource that it is about, once that is known.
    subject: Option<String>,
    latest: Option<longrunning::Operation>,
    result: PhantomData<fn() -> T>,
}

impl<T: Message + Name + Default> Operation<T> {
    /// The handle of an operation that goes by this name. Nothing is asked yet.
    pub(crate) fn named(caller: Caller, name: OperationName) -> Self {
        Self { caller, name, subject: None, latest: None, result: PhantomData }
    }

    /// The same, about the resource of this name.
    pub(crate) fn about(self, subject: &impl Display) -> Self {
        Self { subject: Some(text(subject)), ..self }
    }

    /// The handle of an operation that the service has answered with to a call about `subject`, which is at `location`.
    ///
    /// # Errors
    /// When it is an operation of another location, or about something else.
    pub(crate) fn answered(
        caller: Caller,
        location: &Location,
        subject: &impl Display,
        latest: longrunning::Operation,
    ) -> Result<Self> {
        let name = location.own_operation(&latest.name).ok_or_else(|| foreign(&latest.name))?;
        let mut operation = Self::named(caller, name).about(subject);
        operation.accept(latest)?;
        Ok(operation)
    }

    /// The handle of an operation that RunJob has answered with, in which the metadata was found to be about `execution`.
    ///
    /// # Errors
    /// When it is an operation of another location, or its response is about something else.
    pub(crate) fn started(caller: Caller, execution: &ExecutionName, latest: longrunning::Operation) -> Result<Self> {
        let name = execution.location().own_operation(&latest.name).ok_or_else(|| foreign(&latest.name))?;
        let mut operation = Self::named(caller, name).about(execution);
        operation.compare(response(&latest))?;
        operation.keep(latest);
        Ok(operation)
    }

    /// The operation's name: enough to go on from in another process.
    pub fn name(&self) -> &OperationName {
        &self.name
    }

    /// Whether it was done at the last answer.
    pub fn is_done(&self) -> bool {
        self.latest.as_ref().is_some_and(|operation| operation.done)
    }

    /// The resource as of the last answer, or `None` before the first one (`Operation.metadata`).
    ///
    /// # Errors
    /// When it is of another type than `T`.
    pub fn metadata(&self) -> Result<Option<T>> {
        self.latest.as_ref().and_then(|operation| operation.metadata.as_ref()).map(unpack).transpose()
    }

    /// Asks once (GetOperation). Returns whether it is done.
    ///
    /// # Errors
    /// When the service could not be asked; that says nothing about the operation.
    pub async fn poll(&mut self) -> Result<bool> {
        let span = verb!("poll", self.name);
        let latest = pin!(self.caller.get_operation(&self.name)).instrument(span).await?;
        self.accept(latest)?;
        Ok(self.is_done())
    }

    /// Takes an answer over.
    ///
    /// # Errors
    /// When it is about another resource than this operation.
    fn accept(&mut self, latest: longrunning::Operation) -> Result<()> {
        self.compare(latest.metadata.iter().chain(response(&latest)))?;
        self.keep(latest);
        Ok(())
    }

    /// Compares the names in parts of an answer with what the operation is about.
    fn compare<'a>(&mut self, parts: impl IntoIterator<Item = &'a Any>) -> Result<()> {
        // `metadata` and `wait` report what is not a `T`.
        for name in parts.into_iter().filter_map(|any| name_in::<T>(any).ok()) {
            match &self.subject {
                Some(subject) if !is_same(subject, &name) => {
                    return Err(foreign(&name).doing("read operation", &self.name));
                }
                Some(_) => {}
                None => self.subject = Some(name),
            }
        }
        Ok(())
    }

    /// Keeps an answer. A stale answer never turns a finished operation back into a running one.
    fn keep(&mut self, latest: longrunning::Operation) {
        if latest.done || !self.is_done() {
            self.latest = Some(latest);
        }
    }

    /// Waits for the end, however long that takes, and returns what the operation ended with.
    ///
    /// Trouble on the way is ridden out: an absent service, broken connections, deadlines, quotas, failures of the service and
    /// answers that make no sense. May be dropped and called again at any time.
    ///
    /// # Errors
    /// When the operation itself failed, or when waiting is pointless: the operation may not be read, the service says for
    /// ten seconds that it is not there, or the endpoint has never answered and is not a gRPC server.
    pub async fn wait(&mut self) -> Result<T> {
        let span = verb!("wait", self.name);
        self.until_done().instrument(span).await?;
        match self.latest.as_ref().and_then(|operation| operation.result.as_ref()) {
            Some(operation::Result::Response(response)) => unpack(response),
            Some(operation::Result::Error(error)) => {
                Err(Error::from_result(error).doing("finish operation", &self.name))
            }
            // AIP-151 wants a result; an operation of Cloud Run has been seen to end without one.
            None => self.metadata()?.ok_or_else(|| {
                Error::new(ErrorKind::Protocol, "it is done without a result").doing("finish operation", &self.name)
            }),
        }
    }

    /// What it ended with, if that is a `T`.
    pub(crate) fn response(&self) -> Option<T> {
        match self.latest.as_ref()?.result.as_ref()? {
            operation::Result::Response(response) => unpack(response).ok(),
            operation::Result::Error(_) => None,
        }
    }

    /// Waits until the operation is done, whatever its result.
    pub(crate) async fn until_done(&mut self) -> Result<()> {
        let (mut pace, mut absence, mut polls) = (Pace::default(), Absence::default(), LongPolls::new(&self.caller));
        while !self.is_done() {
            let advice = match self.ask(&mut polls).await {
                Ok(was_held) => {
                    absence = Absence::default();
                    if was_held {
                        pace = Pace::default();
                        continue;
                    }
                    None
                }
                Err(error) if error.kind() == ErrorKind::NotFound && !absence.is_proven() => None,
                Err(error) if self.caller.rides_out(&error) => error.retry_after(),
                Err(error) => return Err(error),
            };
            // After an early answer or a failure: never ask in a busy loop.
            if !self.is_done() {
                sleep(pace.next(self.caller.random(), advice)).await;
            }
        }
        Ok(())
    }

    /// Asks once: by a long poll, where the service has them and the client a slot for it. Returns whether the service
    /// held the question.
    pub(crate) async fn ask(&mut self, polls: &mut LongPolls) -> Result<bool> {
        let (answer, was_held) = match self.long_poll(polls).await? {
            Some(answer) => answer,
            None => (self.caller.get_operation(&self.name).await?, false),
        };
        self.accept(answer)?;
        Ok(was_held)
    }

    /// The answer to a long poll and whether it was held, or `None` where no long poll is possible.
    async fn long_poll(&self, polls: &mut LongPolls) -> Result<Option<(longrunning::Operation, bool)>> {
        let Some(slot) = self.caller.slot().filter(|_| polls.are_served) else { return Ok(None) };
        let asked = Instant::now();
        match self.caller.wait_operation(&self.name, polls.hold).await {
            Ok(answer) => {
                let (took, hold) = (asked.elapsed(), polls.hold);
                // Longer than the service holds it: the rest of the time it waited for its turn.
                slot.answered(took >= hold + HELD);
                polls.hold = HOLD;
                Ok(Some((answer, took >= HELD.min(hold.mul_f64(NEARLY_ALL)))))
            }
            Err(error) if error.kind() == ErrorKind::Unimplemented => {
                polls.are_served = false;
                trace::polls_instead(&self.name);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// How a wait uses WaitOperation.
#[derive(Debug)]
pub(crate) struct LongPolls {
    are_served: bool,
    /// How long the service may hold the next one.
    pub(crate) hold: Duration,
}

impl LongPolls {
    /// The first one is shorter by chance, so that many waits that begin together do not ask again together.
    pub(crate) fn new(caller: &Caller) -> Self {
        Self { are_served: true, hold: HOLD.mul_f64(0.5 + caller.random() / 2.0) }
    }
}

/// The operation of this name once it is done, whatever its result and whatever it is about.
pub(crate) async fn done(caller: &Caller, name: &OperationName) -> Result<longrunning::Operation> {
    // The type matters only when a result is unpacked.
    let mut operation = Operation::<longrunning::Operation>::named(caller.clone(), name.clone());
    operation.until_done().await?;
    Ok(operation.latest.unwrap_or_default())
}

/// Pauses that grow.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    pauses: u32,
}

impl Pace {
    /// How long the next pause is, with `random` in `0..1`: as long as the service advises where it does, within bounds.
    pub(crate) fn next(&mut self, random: f64, advice: Option<Duration>) -> Duration {
        self.pauses = self.pauses.saturating_add(1);
        let own = POLLS.pause(self.pauses, random);
        // Advice of nothing at all would be a busy loop.
        advice.map_or(own, |advice| advice.clamp(POLLS.first, LONGEST_ADVICE))
    }
}

/// What NOT_FOUND proves. Said once it proves nothing, because a read may come before what it reads can be seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Absence {
    since: Option<Instant>,
}

impl Absence {
    /// Takes note of another NOT_FOUND. Whether it has been said for long enough by now to be true.
    pub(crate) fn is_proven(&mut self) -> bool {
        self.since.get_or_insert_with(Instant::now).elapsed() >= READ_AFTER_WRITE
    }

    /// Whether NOT_FOUND was the last answer.
    pub(crate) fn is_suspected(&self) -> bool {
        self.since.is_some()
    }
}

/// What an operation ended with, if it ended well.
fn response(operation: &longrunning::Operation) -> Option<&Any> {
    match &operation.result {
        Some(operation::Result::Response(response)) => Some(response),
        _ => None,
    }
}

/// The name of the resource in an `Any`, which must be a `T`, without reading the rest of it.
pub(crate) fn name_in<T: Name>(any: &Any) -> Result<String> {
    /// What the resources of run/v2 have in common: `name` is field 1.
    #[derive(Clone, PartialEq, Message)]
    struct NameOnly {
        #[prost(string, tag = "1")]
        name: String,
    }
    let package = any.type_url.strip_suffix(T::NAME).and_then(|url| url.strip_suffix('.'));
    let is_named = package.is_some_and(|url| url.ends_with(T::PACKAGE));
    let named = if is_named { NameOnly::decode(&any.value[..]).ok() } else { None };
    named.map(|named| named.name).ok_or_else(|| unexpected::<T>(any))
}

/// The message in an `Any`, which must be a `T`.
pub(crate) fn unpack<T: Message + Name + Default>(any: &Any) -> Result<T> {
    any.to_msg().map_err(|cause| unexpected::<T>(any).with_source(cause))
}

fn unexpected<T: Name>(any: &Any) -> Error {
    let message = format!("the service answered with \"{}\" where {} belongs", any.type_url.escape_debug(), T::NAME);
    Error::new(ErrorKind::Protocol, message)
}
