//! A gRPC client for Google Cloud Run jobs that starts a job without waiting for it, watches the execution later, and
//! tells the truth about how it ended.
//!
//! ```
//! use runjob::{Client, JobName, Outcome, emulator::Emulator};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // An emulator in this process; `Client::from_env().await?` is Cloud Run.
//! let emulator = Emulator::builder().no_listener().start().await?;
//! let client = Client::builder().connector(emulator.connector()).build().await?;
//!
//! let job: JobName = "projects/demo/locations/us-central1/jobs/echo".parse()?;
//! let mut run = client.run(&job).args(["hello"]).start().await?; // accepted, not finished
//! println!("started {}", run.execution());
//!
//! let finished = run.wait().await?;
//! assert_eq!(finished.outcome(), &Outcome::Succeeded);
//! # Ok(()) }
//! ```
//!
//! # Starting and waiting
//!
//! [`Client::run`] builds a start with its overrides, and [`RunBuilder::start`] returns a [`Run`] as soon as the
//! service has accepted. A [`Run`] can be polled, waited for, cancelled, and picked up again from its name in another
//! process ([`Client::attach`]). How it ended is an [`Outcome`], which is not an error: an [`Error`] says that the
//! service could not be asked, or refused.
//!
//! RunJob has no request id, so a start is sent again only with proof that it was not processed. When it fails,
//! [`ErrorKind`] says what is proven: [`NotStarted`](ErrorKind::NotStarted), [`Rejected`](ErrorKind::Rejected), or
//! [`StartUnknown`](ErrorKind::StartUnknown), which is never a reason to start again blindly. A start with a
//! [key](RunBuilder::start_key) is found again instead.
//!
//! # The generated types
//!
//! Requests and answers are the generated messages of [`proto`]; there is no second model. The stubs are public too:
//! over [`Client::transport`] they have the credentials, headers and keepalive of the client.
//!
//! # Stability
//!
//! The generated types and stubs, [`tonic::Status`], and the traits that a connector implements are parts of this
//! interface, so a new major version of [`tonic`], [`prost`], [`prost_types`], [`http`], [`hyper`], [`tower`] or
//! [`futures_util`] means one of this crate. They are re-exported: `runjob::tonic` is always the one that fits. New fields
//! of messages and new variants of enums that are `#[non_exhaustive]` come in minor versions. Fields of the generated
//! messages may be added at any time: build them with `..Default::default()`.
//!
//! # Features
//!
//! - `cli` *(enabled by default)*: the `runjob` program; brings `emulator` and `bench`
//! - `emulator`: a Cloud Run Jobs API on this machine, in process or on a port
//! - `bench`: the measurement of gRPC against REST
//!
//! A library needs none of them: `runjob = { version = "0.1", default-features = false }`.

#![cfg_attr(docsrs, feature(doc_cfg))]
// What goes to a terminal goes through the printer of `cli`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod auth;
#[cfg(feature = "bench")]
pub mod bench;
mod bulk;
mod call;
#[cfg(feature = "cli")]
pub mod cli;
mod client;
#[cfg(feature = "emulator")]
pub mod emulator;
mod error;
mod gcloud;
mod name;
mod net;
mod operation;
mod outcome;
pub mod proto;
mod retry;
mod rpc;
mod run;
mod start;
mod trace;
mod transport;
mod watch;

// What the interface is made of, in the versions that fit.
pub use {futures_util, http, hyper, prost, prost_types, tonic, tower};

pub use self::{
    auth::{AccessToken, Credentials, CredentialsBuilder, TokenError, TokenSource},
    bulk::StartRate,
    client::{Client, ClientBuilder},
    error::{Error, ErrorKind, Result},
    name::{ExecutionName, JobName, Location, NameError, OperationName, TaskName},
    operation::Operation,
    outcome::{Outcome, Phase, Progress, TaskEnd, TaskFailure, Trouble},
    run::{Change, Changes, Finished, Run, RunTicket},
    start::{ContainerOverrides, RunBuilder, StartKey, StartToken, TaskTimeout},
    transport::{Answer, Routing, Transport},
};

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
