//! The ways to make the two calls that are compared: one RunJob, and one GetOperation of what it answered.
//!
//! All of them send the same messages and expect the same answers; they differ in what stands between them and the socket.

mod raw;
mod stubs;
mod verbs;

use std::{future::Future, sync::Arc};

use clap::ValueEnum;
use runjob::{
    Client, JobName, Routing,
    proto::{
        longrunning::{GetOperationRequest, Operation},
        run::v2::{
            RunJobRequest,
            run_job_request::{Overrides, overrides::ContainerOverride},
        },
    },
};
use tonic::transport::{Channel, Endpoint};

use self::{raw::Raw, stubs::Stubs, verbs::Verbs};
use crate::{
    Result,
    server::{JOB, OPERATION},
};

/// Calls in flight on one connection where an arm spreads them by itself.
const PER_CONNECTION: usize = 100;

/// The name of an arm, the floor first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// The h2 crate with the client's headers, without tonic and hyper
    Raw,
    /// The generated stubs over a plain tonic Channel
    Bare,
    /// The same with the client's deadline and headers
    Headers,
    /// The same over the client's own transport
    Transport,
    /// The client's verbs: start, then read the operation
    Verbs,
    /// The client's verbs: start, then poll the run
    Run,
}

impl Name {
    /// As it is typed and printed.
    pub(crate) fn text(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// An arm that is connected.
#[derive(Debug)]
pub(crate) enum Arm {
    Raw(Vec<Raw>),
    Channel(Channel, bool),
    Transport(Client),
    Verbs(Client, bool),
}

/// A caller that makes its calls one after the other.
pub(crate) trait Lane: Send + 'static {
    /// One start and one poll. Fails unless both answers are what the server sends.
    fn pair(&mut self) -> impl Future<Output = Result<()>> + Send;
}

impl Arm {
    /// An arm for up to `width` calls at a time.
    pub(crate) async fn connect(name: Name, address: &str, width: usize) -> Result<Self> {
        Ok(match name {
            Name::Raw => {
                let mut connections = Vec::new();
                for _ in 0..width.div_ceil(PER_CONNECTION) {
                    connections.push(Raw::connect(address).await?);
                }
                Self::Raw(connections)
            }
            Name::Bare => Self::Channel(channel(address)?.connect().await?, false),
            Name::Headers => Self::Channel(channel(address)?.user_agent(USER_AGENT)?.connect().await?, true),
            Name::Transport => Self::Transport(client(address).await?),
            Name::Verbs => Self::Verbs(client(address).await?, false),
            Name::Run => Self::Verbs(client(address).await?, true),
        })
    }

    /// Runs `work` with the lane of each number below `width`.
    pub(crate) async fn with_lanes<W: Work>(&self, width: usize, work: W) -> Result<W::Output> {
        match self {
            Self::Raw(connections) => {
                work.run((0..width).map(|lane| connections[lane / PER_CONNECTION].clone()).collect()).await
            }
            Self::Channel(channel, headers) => {
                let location = headers.then(location).transpose()?;
                work.run((0..width).map(|_| Stubs::new(channel.clone(), location.clone(), *headers)).collect()).await
            }
            Self::Transport(client) => {
                let location = Some(location()?);
                work.run((0..width).map(|_| Stubs::new(client.transport(), location.clone(), false)).collect()).await
            }
            Self::Verbs(client, polls_run) => {
                let job = Arc::new(JOB.parse()?);
                work.run((0..width).map(|_| Verbs::new(client.clone(), Arc::clone(&job), *polls_run)).collect()).await
            }
        }
    }
}

/// What is done with the lanes of an arm, whichever it is.
pub(crate) trait Work {
    type Output;

    fn run<L: Lane>(self, lanes: Vec<L>) -> impl Future<Output = Result<Self::Output>>;
}

const USER_AGENT: &str = concat!("runjob/", env!("CARGO_PKG_VERSION"));
const API_CLIENT: &str = concat!("gccl/", env!("CARGO_PKG_VERSION"));

fn channel(address: &str) -> Result<Endpoint> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true))
}

async fn client(address: &str) -> Result<Client> {
    Ok(Client::builder().emulator(address).build().await?)
}

fn location() -> Result<Routing> {
    Ok(Routing::location(JOB.parse::<JobName>()?.location()))
}

fn start() -> RunJobRequest {
    let container = ContainerOverride { args: vec!["hello".to_owned()], ..ContainerOverride::default() };
    let overrides = Overrides { container_overrides: vec![container], ..Overrides::default() };
    RunJobRequest { name: JOB.to_owned(), overrides: Some(overrides), ..RunJobRequest::default() }
}

fn poll(operation: &Operation) -> GetOperationRequest {
    GetOperationRequest { name: operation.name.clone() }
}

fn expect(operation: &Operation) -> Result<()> {
    if operation.name == OPERATION && operation.metadata.is_some() {
        return Ok(());
    }
    Err(format!("an answer is not the one that the server sends: {operation:?}").into())
}
