//! A gRPC backend that runs a job for each order of its callers: `cargo run --example backend`.
//!
//! It answers as soon as Cloud Run has accepted, streams what happens, and keeps nothing: what its callers hold is enough
//! to go on after a restart.

use std::{error::Error as StdError, sync::Arc};

use futures_util::{StreamExt as _, stream::BoxStream};
use runjob::{Change, Client, Error, JobName, Phase, RunTicket, StartKey, emulator::Emulator};
use tonic::{
    Request, Response, Status,
    transport::{Channel, Server, server::TcpIncoming},
};

#[path = "backend/wire.rs"]
pub(crate) mod wire;

use self::wire::{News, Order, ScreenshotsClient, ScreenshotsServer, Ticket};

pub(crate) struct Backend {
    client: Client,
    job: JobName,
}

impl Backend {
    pub(crate) fn new(client: Client, job: JobName) -> Self {
        Self { client, job }
    }

    /// Starts the job. The start key makes an order that comes twice one execution, also where the answer to the first was
    /// lost.
    pub(crate) async fn take(&self, order: Request<Order>) -> Result<Response<Ticket>, Status> {
        let Order { id, url } = order.into_inner();
        let key: StartKey = id.parse()?;
        let start = self.client.run(&self.job).args([url]).start_key(key).start();
        // When the caller hangs up, tonic drops this future, and a start that is dropped has an unknown end. A task of its
        // own brings it to its end.
        let run = tokio::spawn(start).await.map_err(|_| Status::internal("the start has panicked"))??;
        Ok(Response::new(Ticket { ticket: run.ticket().to_string() }))
    }

    /// Streams how far it is, and how it ends. Any process can do that for any ticket.
    pub(crate) async fn follow(
        &self,
        ticket: Request<Ticket>,
    ) -> Result<Response<BoxStream<'static, Result<News, Status>>>, Status> {
        let ticket: RunTicket = ticket.into_inner().ticket.parse().map_err(Error::from)?;
        // What comes from a caller may name anything.
        if ticket.execution().job() != &self.job {
            return Err(Status::permission_denied("the ticket is not one of this service"));
        }
        let changes = self.client.resume(&ticket).into_changes();
        Ok(Response::new(changes.map(|change| Ok(News::from(change?))).boxed()))
    }
}

impl From<Change> for News {
    fn from(change: Change) -> Self {
        match change {
            Change::Progress(now) => Self {
                phase: now.phase.to_string(),
                succeeded: now.succeeded,
                tasks: now.tasks,
                outcome: String::new(),
            },
            Change::Finished(finished) => {
                let phase = Phase::of_execution(finished.execution()).to_string();
                Self { phase, outcome: finished.outcome().to_string(), ..Self::default() }
            }
        }
    }
}

/// Serves on a free port of this machine, until the task is aborted, and gives a channel to it.
pub(crate) async fn serve(backend: Backend) -> Result<(Channel, tokio::task::JoinHandle<()>), Box<dyn StdError>> {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
    let address = incoming.local_addr()?;
    let server = Server::builder().add_service(ScreenshotsServer(Arc::new(backend))).serve_with_incoming(incoming);
    let serving = tokio::spawn(async move { server.await.unwrap_or_else(|error| eprintln!("{error}")) });
    Ok((Channel::from_shared(format!("http://{address}"))?.connect().await?, serving))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    // An emulator in this process; `Client::from_env().await?` is Cloud Run.
    let emulator = Emulator::builder().no_listener().start().await?;
    let client = Client::builder().connector(emulator.connector()).build().await?;
    let job: JobName = "projects/demo/locations/us-central1/jobs/echo".parse()?;

    let (channel, serving) = serve(Backend::new(client.clone(), job.clone())).await?;
    let order = Order { id: "order-4711".to_owned(), url: "https://example.com".to_owned() };
    let ticket = ScreenshotsClient::new(channel).take(order).await?.into_inner();
    println!("accepted: {}", ticket.ticket);

    // The backend is restarted. Its caller still has the ticket.
    serving.abort();
    let (channel, _serving) = serve(Backend::new(client, job)).await?;
    let mut news = ScreenshotsClient::new(channel).follow(ticket).await?.into_inner();
    while let Some(News { phase, succeeded, tasks, outcome }) = news.message().await? {
        match &*outcome {
            "" => println!("{phase}: {succeeded} of {tasks}"),
            outcome => println!("{outcome}"),
        }
    }
    Ok(())
}
