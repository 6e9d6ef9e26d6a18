//! The arms: ways to make the same calls. Each sends the same messages and expects the same answers; they differ in what
//! stands between them and the socket.

mod raw;
mod rest;
mod stubs;
mod verbs;

use std::{
    fmt::{self, Display, Formatter},
    str::FromStr,
};

use futures_util::future::BoxFuture;
use tonic::codegen::StdError as BoxError;

use self::{
    raw::Raw,
    rest::{HttpVersion, RestWorker},
    stubs::{Headers, Stubs},
    verbs::Verbs,
};
use super::{
    call::{Ask, LogicalCall, PAGE},
    error::{Error, Result},
    round::{Round, Work, round},
};
use crate::client::Client;

/// The outcome of one call. What went wrong is counted by its text.
pub(crate) type CallResult<T> = std::result::Result<T, BoxError>;

/// Makes calls one after the other.
pub(crate) trait Worker: Send + 'static {
    /// RunJob. Returns the name of the operation.
    fn start(&mut self, ask: &Ask) -> impl Future<Output = CallResult<String>> + Send;

    /// GetOperation. Returns the name that the answer has.
    fn poll(&mut self, operation: &str) -> impl Future<Output = CallResult<String>> + Send;

    /// GetExecution. Returns the name that the answer has.
    fn get(&mut self, execution: &str) -> impl Future<Output = CallResult<String>> + Send;

    /// ListExecutions of a job. Returns how many are on the page.
    fn list(&mut self, job: &str) -> impl Future<Output = CallResult<usize>> + Send;

    /// The logical call. Fails unless the answers are about what was asked for.
    fn call(&mut self, ask: &Ask) -> impl Future<Output = CallResult<()>> + Send {
        async move {
            let names = &ask.names;
            match ask.call {
                LogicalCall::StartPoll => {
                    let operation = self.start(ask).await?;
                    expect(&operation, &self.poll(&operation).await?)
                }
                LogicalCall::Start(_) => match self.start(ask).await?.is_empty() {
                    false => Ok(()),
                    true => Err("a start was answered without an operation".into()),
                },
                LogicalCall::Poll => expect(&names.operation, &self.poll(&names.operation).await?),
                LogicalCall::Get => expect(&names.execution, &self.get(&names.execution).await?),
                LogicalCall::List => match self.list(&names.job).await? {
                    count if count == names.listed => Ok(()),
                    count => Err(format!("a page has {count} executions in place of {}", names.listed).into()),
                },
            }
        }
    }
}

fn expect(asked: &str, answered: &str) -> CallResult<()> {
    if asked == answered { Ok(()) } else { Err(format!("asked for {asked}, answered with \"{answered}\"").into()) }
}

/// The lanes of an arm: as many callers as calls are in flight.
pub(crate) trait Lanes: Send {
    /// One round of calls.
    fn round<'a>(&'a mut self, ask: &'a Ask, work: Work) -> BoxFuture<'a, Result<Round>>;
}

impl<C: Worker> Lanes for Vec<C> {
    fn round<'a>(&'a mut self, ask: &'a Ask, work: Work) -> BoxFuture<'a, Result<Round>> {
        Box::pin(round(self, ask, work))
    }
}

/// A way to make the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arm {
    /// The h2 crate with the client's headers, without tonic and hyper: what the wire costs. `raw`
    Raw,
    /// The generated stubs over a plain tonic `Channel`, with no deadline and no headers of ours. `bare`
    Bare,
    /// The same with the client's deadline and headers. `headers`
    Headers,
    /// The same over [`Client::transport`](crate::Client::transport). `transport`
    Transport,
    /// The client's verbs; a poll reads the operation. `verbs`
    Verbs,
    /// REST over HTTP/1.1, with a pool of connections. `rest`
    Rest,
    /// REST over HTTP/2. `rest-h2`
    RestH2,
}

impl Arm {
    /// All of them, the floor first.
    pub const ALL: [Self; 7] =
        [Self::Raw, Self::Bare, Self::Headers, Self::Transport, Self::Verbs, Self::Rest, Self::RestH2];

    /// As it is typed and printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Bare => "bare",
            Self::Headers => "headers",
            Self::Transport => "transport",
            Self::Verbs => "verbs",
            Self::Rest => "rest",
            Self::RestH2 => "rest-h2",
        }
    }

    /// As it is explained.
    pub fn title(self) -> &'static str {
        match self {
            Self::Raw => "the h2 crate alone",
            Self::Bare => "bare stubs, plain tonic Channel",
            Self::Headers => "bare stubs, with our deadline and headers",
            Self::Transport => "bare stubs over our transport",
            Self::Verbs => "runjob's verbs",
            Self::Rest => "REST over HTTP/1.1",
            Self::RestH2 => "REST over HTTP/2",
        }
    }

    /// Lanes to a plaintext server, connected where the arm does not connect by itself.
    pub(crate) async fn connect(self, address: &str, width: usize) -> Result<Box<dyn Lanes>> {
        let failed = |cause: BoxError| Error::new(format!("the arm {self} cannot connect to {address}: {cause}"));
        self.lanes(address, width).await.map_err(failed)
    }

    async fn lanes(self, address: &str, width: usize) -> CallResult<Box<dyn Lanes>> {
        Ok(match self {
            Self::Raw => Box::new(Raw::lanes(address, width).await?),
            Self::Bare => Box::new(vec![Stubs::over_channel(address, Headers::None).await?; width]),
            Self::Headers => Box::new(vec![Stubs::over_channel(address, Headers::All).await?; width]),
            Self::Transport => Box::new(vec![Stubs::new(client(address).await?.transport(), Headers::Routing); width]),
            Self::Verbs => Box::new(vec![Verbs::new(client(address).await?); width]),
            Self::Rest => Box::new(vec![RestWorker::new(address, HttpVersion::One { width }); width]),
            Self::RestH2 => Box::new(vec![RestWorker::new(address, HttpVersion::Two); width]),
        })
    }
}

impl Display for Arm {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Arm {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|arm| arm.name() == text).ok_or_else(|| {
            let all = Self::ALL.map(Self::name).join(", ");
            Error::new(format!("there is no arm \"{text}\"; write one of {all}"))
        })
    }
}

async fn client(address: &str) -> CallResult<Client> {
    Ok(Client::builder().emulator(address).build().await?)
}

const USER_AGENT: &str = concat!("runjob/", env!("CARGO_PKG_VERSION"));
const API_CLIENT: &str = concat!("gccl/", env!("CARGO_PKG_VERSION"));
const REQUEST_PARAMS: &str = "x-goog-request-params";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::bench::{canned, server};

    /// The same names in place of what the server answers about.
    fn misnamed() -> Ask {
        let mut names = canned::names();
        names.execution.push_str("-other");
        Ask::new(LogicalCall::Get, names)
    }

    #[tokio::test]
    async fn every_arm_makes_every_call_at_one_neutral_server() {
        let address = server::spawn().await;
        for arm in Arm::ALL {
            let mut lanes = arm.connect(&address, 3).await.expect("lanes");
            for call in
                [LogicalCall::StartPoll, LogicalCall::Start(10), LogicalCall::Poll, LogicalCall::Get, LogicalCall::List]
            {
                let ask = Ask::new(call, canned::names());
                let round = lanes.round(&ask, Work::Times(4)).await.expect("a round");
                assert_eq!(
                    (&round.sample.failures, round.sample.latencies.len()),
                    (&BTreeMap::new(), 12),
                    "{arm} {call}"
                );
            }
        }
    }

    #[tokio::test]
    async fn no_arm_takes_an_answer_about_something_else() {
        let address = server::spawn().await;
        for arm in Arm::ALL {
            let mut lanes = arm.connect(&address, 1).await.expect("lanes");
            let round = lanes.round(&misnamed(), Work::Times(1)).await.expect("a round");
            assert_eq!((round.sample.latencies.len(), round.sample.failed()), (0, 1), "{arm}");
        }
    }

    #[tokio::test]
    async fn an_arm_that_cannot_connect_says_so() {
        let Err(error) = Arm::Raw.connect("127.0.0.1:1", 1).await else { panic!("it connected") };
        assert!(error.to_string().starts_with("the arm raw cannot connect to 127.0.0.1:1: "), "{error}");
    }

    #[test]
    fn arms_are_read_as_they_are_printed() {
        for arm in Arm::ALL {
            assert_eq!(arm.name().parse::<Arm>().expect("an arm"), arm);
        }
        let error = "http3".parse::<Arm>().expect_err("no arm").to_string();
        assert!(error.contains("\"http3\"") && error.contains("rest-h2"), "{error}");
    }
}
