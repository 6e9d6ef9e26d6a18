//! The handle of a long-running operation: poll it, wait for it, resume it by name.
//!
//! Knows `google.longrunning` and how to wait without giving up. What an operation is about, its type says. There
//! is no cancel here: run/v2 does not publish CancelOperation; an execution is stopped by CancelExecution.

use std::{marker::PhantomData, time::Duration};

use prost::{Message, Name};
use prost_types::Any;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};

use crate::{
    call::Caller,
    error::{Error, ErrorKind, Result},
    name::{Location, OperationName},
    proto::longrunning::{self, operation},
    retry::Backoff,
};

/// How long one WaitOperation may be held by the service: what gcloud asks for. A cut connection costs one of these.
const HOLD: Duration = Duration::from_secs(30);

/// An answer that took this long was held: asking again at once is no busy loop, however soon the service lets go.
const HELD: Duration = Duration::from_secs(2);

/// The longest that the service may ask to be left alone.
const LONGEST_ADVICE: Duration = Duration::from_secs(300);

/// The pauses between polls that the service answers at once: soon at first, and ten seconds at the most.
const POLLS: Backoff = Backoff { first: Duration::from_millis(250), factor: 1.5, longest: Duration::from_secs(10) };

/// A long-running operation that ends with a `T`: a `Job` for the operations on jobs, an `Execution` for a run.
///
/// A failed [`poll`](Self::poll) or [`wait`](Self::wait) leaves the handle as it was. Dropping it stops nothing.
#[derive(Debug)]
pub struct Operation<T> {
    caller: Caller,
    name: OperationName,
    latest: Option<longrunning::Operation>,
    result: PhantomData<fn() -> T>,
}

impl<T: Message + Name + Default> Operation<T> {
    /// The handle of an operation that goes by this name. Nothing is asked yet.
    pub(crate) fn named(caller: Caller, name: OperationName) -> Self {
        Self { caller, name, latest: None, result: PhantomData }
    }

    /// The handle of an operation that the service has answered with, to a call about something at `location`.
    ///
    /// # Errors
    /// When the answer has no proper name.
    pub(crate) fn answered(caller: Caller, location: &Location, latest: longrunning::Operation) -> Result<Self> {
        let name = location.operation_named(&latest.name).map_err(|cause| {
            Error::new(ErrorKind::Protocol, "the service answered with an operation without a proper name")
                .with_source(cause)
        })?;
        Ok(Self { latest: Some(latest), ..Self::named(caller, name) })
    }

    /// The operation's name: enough to go on from in another process.
    pub fn name(&self) -> &OperationName {
        &self.name
    }

    /// Whether it was done when last heard of.
    pub fn is_done(&self) -> bool {
        self.latest.as_ref().is_some_and(|operation| operation.done)
    }

    /// What the operation last said about its resource, or none before the first answer (`Operation.metadata`).
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
        let latest = self.caller.get_operation(&self.name).await?;
        self.hear(latest);
        Ok(self.is_done())
    }

    /// Takes over what the service says, unless it goes back on the end: done is done, and an answer may come from where
    /// that is not known yet.
    fn hear(&mut self, latest: longrunning::Operation) {
        if latest.done || !self.is_done() {
            self.latest = Some(latest);
        }
    }

    /// Waits for the end, however long that takes, and returns what the operation ended with.
    ///
    /// Once the service has answered this client anything at all, trouble on the way is ridden out: broken connections,
    /// deadlines, quotas and failures of the service.
    ///
    /// # Errors
    /// When the operation itself failed, when the service has never answered, or when it says that waiting is
    /// pointless: the operation is not there or may not be read.
    pub async fn wait(&mut self) -> Result<T> {
        self.until_done().await?;
        match self.latest.as_ref().and_then(|operation| operation.result.as_ref()) {
            Some(operation::Result::Response(response)) => unpack(response),
            Some(operation::Result::Error(error)) => {
                let status = Status::new(Code::from_i32(error.code), &error.message);
                Err(Error::from_peer(&status).doing("finish operation", &self.name))
            }
            // AIP-151 wants a result; an operation of Cloud Run has been seen to end without one.
            None => self.metadata()?.ok_or_else(|| {
                Error::new(ErrorKind::Protocol, "it is done without a result").doing("finish operation", &self.name)
            }),
        }
    }

    /// Waits until the operation is done, whatever its result.
    pub(crate) async fn until_done(&mut self) -> Result<()> {
        let mut pace = Pace::default();
        while self.latest.is_none() {
            match self.poll().await {
                Err(error) if self.caller.rides_out(&error) => pace.pause(error.retry_after()).await,
                answer => _ = answer?,
            }
        }
        // Many waits that begin together do not all ask again at the same moment.
        let mut hold = Some(HOLD.mul_f64(0.5 + fastrand::f64() / 2.0));
        while !self.is_done() {
            let asked = Instant::now();
            let advice = match self.ask(&mut hold).await {
                Ok(latest) => {
                    self.hear(latest);
                    if asked.elapsed() >= HELD {
                        pace = Pace::default();
                        continue;
                    }
                    None
                }
                Err(error) if self.caller.rides_out(&error) => error.retry_after(),
                Err(error) => return Err(error),
            };
            // An answer that came early, or none: never ask in a busy loop.
            if !self.is_done() {
                pace.pause(advice).await;
            }
        }
        Ok(())
    }

    /// Asks once: by a long poll that is held so long, where the service has them and the client a place for it.
    async fn ask(&self, hold: &mut Option<Duration>) -> Result<longrunning::Operation> {
        if let Some(time) = *hold
            && let Some(slot) = self.caller.slot()
        {
            let asked = Instant::now();
            match self.caller.wait_operation(&self.name, time).await {
                Ok(answer) => {
                    // Longer than the service holds it: the rest of the time it waited for its turn.
                    slot.answered(asked.elapsed() >= time + HELD);
                    *hold = Some(HOLD);
                    return Ok(answer);
                }
                Err(error) if error.kind() == ErrorKind::Unimplemented => *hold = None,
                Err(error) => return Err(error),
            }
        }
        self.caller.get_operation(&self.name).await
    }
}

/// The operation of this name once it is done, whatever its result and whatever it is about.
pub(crate) async fn done(caller: &Caller, name: &OperationName) -> Result<longrunning::Operation> {
    // The type is not looked at before a result is unpacked.
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
    /// Pauses, and for as long as the service advises where it does, within bounds.
    pub(crate) async fn pause(&mut self, advice: Option<Duration>) {
        sleep(self.next(advice)).await;
    }

    /// How long the next pause is to be.
    pub(crate) fn next(&mut self, advice: Option<Duration>) -> Duration {
        self.pauses = self.pauses.saturating_add(1);
        let own = POLLS.pause(self.pauses, fastrand::f64());
        // Advice of nothing at all would be a busy loop.
        advice.map_or(own, |advice| advice.clamp(POLLS.first, LONGEST_ADVICE))
    }
}

/// The name of the resource in an `Any`, which must be a `T`, without reading the rest of it.
pub(crate) fn name_in<T: Name>(any: &Any) -> Result<String> {
    /// What the resources of run/v2 have in common: `name` is field 1.
    #[derive(Clone, PartialEq, Message)]
    struct Named {
        #[prost(string, tag = "1")]
        name: String,
    }
    let package = any.type_url.strip_suffix(T::NAME).and_then(|url| url.strip_suffix('.'));
    let is_named = package.is_some_and(|url| url.ends_with(T::PACKAGE));
    let named = if is_named { Named::decode(&any.value[..]).ok() } else { None };
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
