//! What the client adds to the bare generated stubs: `cargo bench --bench overhead`.
//!
//! One start and one poll, four ways, against one emulator over loopback TCP: the bare stubs over the client's own
//! connection, which send the same requests as the verbs, deadline and all; the client's verbs; and, to show what a
//! deadline and the connection add, the bare stubs without the one, and without both over a plain channel. The four take
//! turns in short rounds, so that whatever else the machine does meets all of them, and each figure is
//! the median over the rounds of a ratio within one round.

use std::{
    error::Error as StdError,
    future::Future,
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use runjob::{
    Client, JobName, OperationName, Routing, Transport,
    emulator::{Emulator, Runtime, Simulation},
    proto::{
        longrunning::{GetOperationRequest, operations_client::OperationsClient},
        run::v2::{RunJobRequest, jobs_client::JobsClient},
    },
};
use tonic::{
    body::Body,
    client::GrpcService,
    codegen::{Body as HttpBody, Bytes, StdError as BoxError},
    transport::{Channel, Endpoint},
};

type Result<T> = std::result::Result<T, Box<dyn StdError + Send + Sync>>;

const ROUNDS: usize = 60;

/// What the verbs give a call by default.
const RPC_TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let emulator = Emulator::builder().runtime(Runtime::Simulated(Simulation::default())).start().await?;
    let address = emulator.addr().ok_or("an emulator with a listener has an address")?;
    let job: JobName = "projects/demo/locations/us-central1/jobs/echo".parse()?;
    let channel = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true).connect().await?;
    let client = Client::builder().emulator(address.to_string()).build().await?;

    println!("One start and one poll: time per pair, median of {ROUNDS} rounds\n");
    println!("| in flight | stubs, same requests | the client's verbs | stubs, no deadline | and a plain channel |");
    println!("|---|---|---|---|---|");
    for (width, pairs) in [(1, 128), (64, 512)] {
        let (mut stubs, mut verbs, mut endless, mut plain) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let a = timed(width, pairs, || stubs_over_transport(client.transport(), &job)).await?;
            let b = timed(width, pairs, || client_verbs(&client, &job)).await?;
            let c = timed(width, pairs, || stubs_without_deadline(client.transport(), &job)).await?;
            let d = timed(width, pairs, || stubs_over_channel(channel.clone(), &job)).await?;
            // The first round warms up.
            if round > 0 {
                stubs.push(a.as_secs_f64() * 1e6 / pairs as f64);
                verbs.push(b.as_secs_f64() / a.as_secs_f64());
                endless.push(c.as_secs_f64() / a.as_secs_f64());
                plain.push(d.as_secs_f64() / a.as_secs_f64());
            }
        }
        let [stubs, verbs, endless, plain] = [stubs, verbs, endless, plain].map(median);
        println!("| {width} | 1 ({stubs:.0} µs) | {verbs:.3} | {endless:.3} | {plain:.3} |");
    }
    emulator.stop().await?;
    Ok(())
}

/// The time for `pairs` pairs of calls, `width` at a time.
async fn timed<Fut>(width: usize, pairs: usize, pair: impl Fn() -> Fut + Sync) -> Result<Duration>
where
    Fut: Future<Output = Result<()>> + Send,
{
    let began = Instant::now();
    let lane = || async {
        for _ in 0..pairs / width {
            pair().await?;
        }
        Result::Ok(())
    };
    try_join_all((0..width).map(|_| lane())).await?;
    Ok(began.elapsed())
}

async fn client_verbs(client: &Client, job: &JobName) -> Result<()> {
    let run = client.run(job).args(["hello"]).start().await?;
    client.poll(run.operation().ok_or("a start has an operation")?).await?;
    Ok(())
}

async fn stubs_over_channel(channel: Channel, job: &JobName) -> Result<()> {
    stubs(channel, job, None).await
}

async fn stubs_without_deadline(transport: Transport, job: &JobName) -> Result<()> {
    stubs(transport, job, None).await
}

async fn stubs_over_transport(transport: Transport, job: &JobName) -> Result<()> {
    stubs(transport, job, Some(RPC_TIMEOUT)).await
}

async fn stubs<T>(transport: T, job: &JobName, deadline: Option<Duration>) -> Result<()>
where
    T: GrpcService<Body> + Clone,
    T::Error: Into<BoxError>,
    T::ResponseBody: HttpBody<Data = Bytes> + Send + 'static,
    <T::ResponseBody as HttpBody>::Error: Into<BoxError> + Send,
{
    let message = RunJobRequest { name: job.to_string(), overrides: Some(hello()), ..RunJobRequest::default() };
    let mut request = Routing::location(job.location()).request(message);
    deadline.into_iter().for_each(|limit| request.set_timeout(limit));
    let started = JobsClient::new(transport.clone()).run_job(request).await?;
    let name: OperationName = started.into_inner().name.parse()?;
    let message = GetOperationRequest { name: name.to_string() };
    let mut request = Routing::name(&name).request(message);
    deadline.into_iter().for_each(|limit| request.set_timeout(limit));
    OperationsClient::new(transport).get_operation(request).await?;
    Ok(())
}

fn hello() -> runjob::proto::run::v2::run_job_request::Overrides {
    use runjob::proto::run::v2::run_job_request::{Overrides, overrides::ContainerOverride};
    let container = ContainerOverride { args: vec!["hello".to_owned()], ..ContainerOverride::default() };
    Overrides { container_overrides: vec![container], ..Overrides::default() }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
