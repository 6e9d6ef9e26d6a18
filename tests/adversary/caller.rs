//! The client under test, and what it tells its caller. Nothing but the public face of `runjob`.

use std::net::SocketAddr;

use runjob::{Client, Credentials, ErrorKind, Outcome, Run};
use tokio::time::{Duration, Instant, timeout};
use tower::layer::util::Identity;

use crate::{
    peer::Stage,
    script::{Caller, End, Start, Wait},
    world::{JOB, KEY, TOKEN},
};

/// How long a caller waits for the end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What the client said.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) start: Claim,
    pub(crate) took: Duration,
    pub(crate) requests: usize,
    pub(crate) waited: Option<Waited>,
}

/// What the client said of the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It runs under this name.
    Started(String),
    /// Nothing was started.
    Nothing(ErrorKind),
    Unknown,
    /// It did not return within any limit.
    Silence,
}

/// What the client said of the end.
#[derive(Clone, Debug)]
pub(crate) struct Waited {
    /// The name, and how it ended: none when the client names an end that the peer does not know.
    pub(crate) verdict: Result<(String, Option<End>), ErrorKind>,
    /// How it had ended in truth by then.
    pub(crate) truth: Option<End>,
    pub(crate) took: Duration,
    pub(crate) requests: usize,
}

/// Starts, and waits where the script wants it.
pub(crate) async fn call(caller: Caller, peer: SocketAddr, stage: Stage) -> Told {
    let builder = Client::builder().endpoint(format!("http://{peer}")).credentials(Credentials::anonymous());
    let builder = if caller.is_layered { builder.layer(Identity::new()) } else { builder };
    let client = builder.rpc_timeout(Duration::from_millis(caller.rpc_timeout_ms)).build().await.expect("a client");
    let begun = Instant::now();
    let answer = timeout(longest(caller) + Duration::from_secs(60), start(&client, caller.start)).await;
    let (took, requests) = (begun.elapsed(), stage.world().requests());
    let (claim, run) = match answer {
        Err(_) => (Claim::Silence, None),
        Ok(Ok(run)) => (Claim::Started(run.execution().to_string()), Some(run)),
        Ok(Err(error)) if error.kind() == ErrorKind::StartUnknown => (Claim::Unknown, None),
        Ok(Err(error)) => (Claim::Nothing(error.kind()), None),
    };
    let waited = match (caller.wait, run) {
        (Wait::Never, _) | (_, None) => None,
        (Wait::Handle, Some(run)) => Some(wait(run, &stage).await),
        (Wait::Name, Some(run)) => Some(wait(client.attach(run.execution()), &stage).await),
    };
    Told { start: claim, took, requests, waited }
}

/// How long a start may take at the most: with a key or a token it looks for as long as half a minute afterwards, and
/// each look may take a few attempts.
pub(crate) fn longest(caller: Caller) -> Duration {
    let rpc = Duration::from_millis(caller.rpc_timeout_ms);
    match caller.start {
        Start::Plain => rpc,
        Start::Key => rpc * 12 + Duration::from_secs(60),
        Start::Token => rpc * 60 + Duration::from_secs(60),
    }
}

async fn start(client: &Client, how: Start) -> runjob::Result<Run> {
    let job = JOB.parse().expect("a job");
    match how {
        Start::Plain => client.run(&job).args(["https://example.com"]).start().await,
        Start::Key => client.run(&job).start_key(KEY.parse().expect("a key")).start().await,
        Start::Token => client.start_once(&job, &TOKEN.parse().expect("a token")).await,
    }
}

async fn wait(mut run: Run, stage: &Stage) -> Waited {
    let (begun, before) = (Instant::now(), stage.world().requests());
    run.set_wait_limit(Some(PATIENCE));
    let ended = run.wait().await;
    let world = stage.world();
    let verdict = match &ended {
        Ok(finished) => Ok((finished.name().to_string(), end(finished.outcome()))),
        Err(error) => Err(error.kind()),
    };
    Waited { verdict, truth: world.ended(), took: begun.elapsed(), requests: world.requests() - before }
}

fn end(outcome: &Outcome) -> Option<End> {
    match outcome {
        Outcome::Succeeded => Some(End::Succeeded),
        Outcome::Failed(_) | Outcome::TimedOut(_) => Some(End::Failed),
        Outcome::Cancelled => Some(End::Cancelled),
        Outcome::Deleted => Some(End::Deleted),
        _ => None,
    }
}
