//! A connection to what the context names: the service, an emulator elsewhere, or one inside this process.
//!
//! Knows how each is reached and with which credentials. Which calls are made is up to the commands.

use super::{
    context::{Context, Target},
    failure::Failure,
    printer::Printer,
    process,
};
use crate::{
    Client, Credentials, Location, Result,
    emulator::{Emulator, OutputReader},
};

/// A client, and the emulator that it speaks to when that is ours.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    emulator: Option<Emulator>,
}

impl Session {
    /// Connects to the target. `location` chooses the service's regional endpoint, or where the sample jobs live.
    pub(super) async fn open(context: &Context<'_>, location: &Location, printer: &Printer) -> Result<Self, Failure> {
        Self::open_as(context.credentials(context.roots()?), context, location, printer).await
    }

    /// The same as the caller that `find` finds, where the target takes credentials.
    pub(super) async fn open_as(
        find: impl Future<Output = Result<Credentials>>,
        context: &Context<'_>,
        location: &Location,
        printer: &Printer,
    ) -> Result<Self, Failure> {
        let mut emulator = None;
        let client = match &context.target {
            Target::InProcess => {
                let own = emulator.insert(start(location).await?);
                Client::builder().connector(own.connector()).build().await?
            }
            Target::Emulator { host, variable } => {
                context.check_for_emulator(variable)?;
                let client = Client::builder().emulator(host).build().await.map_err(|_| not_an_address(variable))?;
                printer.note(&format!("note: {variable} is set: calling the emulator at {host}"));
                client
            }
            Target::Service { endpoint } => {
                let builder = match endpoint {
                    Some(endpoint) => Client::builder().endpoint(endpoint),
                    None => Client::builder().region(location.region()),
                };
                let builder = match &context.global.access.proxy {
                    Some(url) => builder.proxy(url),
                    None => builder,
                };
                builder.roots(context.roots()?).build_as(find).await?
            }
        };
        Ok(Self { client, emulator })
    }

    /// The output of tasks that our own emulator runs, from now on.
    pub(super) fn output(&self) -> Option<OutputReader> {
        self.emulator.as_ref().map(Emulator::output)
    }

    /// Whether executions end with this process.
    pub(super) fn is_private(&self) -> bool {
        self.emulator.is_some()
    }

    /// Ends our own emulator and whatever it still runs.
    pub(super) async fn close(self) -> Result<(), Failure> {
        match self.emulator {
            Some(emulator) => Ok(emulator.stop().await?),
            None => Ok(()),
        }
    }
}

/// The address of an emulator is all that can be wrong with its client. A variable may hold anything, even a secret.
fn not_an_address(variable: &str) -> Failure {
    Failure::usage(format!("{variable} holds no address of an emulator (what it holds is not shown)"))
        .hint(format!("write {variable}=HOST:PORT"))
}

async fn start(location: &Location) -> Result<Emulator, Failure> {
    process::become_emulator();
    // No other process can reach it, so a job may choose its own command.
    let builder = Emulator::builder().no_listener().location(location.clone()).allow_command(true);
    Ok(builder.start().await?)
}
