//! What a caller of the example's backend waits for: one order beside one RunJob that is sent straight to the emulator.
//!
//! An order is a call to the backend, and by it a start with a key. The two take turns.

use std::time::{Duration, Instant};

use runjob::{
    Client, JobName,
    emulator::{Clock, Emulator, Runtime, Simulation},
};

use self::example::{
    Backend, serve,
    wire::{Order, ScreenshotsClient},
};
use crate::{
    Result,
    api::{Grpc, LOCATION},
    claims::Claims,
};

#[allow(dead_code, reason = "the example's own main")]
#[path = "../../examples/backend.rs"]
mod example;

const ORDERS: usize = 1_000;

pub(crate) async fn measure(claims: &mut Claims) -> Result<()> {
    let runtime = Runtime::Simulated(Simulation::default());
    let emulator = Emulator::builder().runtime(runtime).clock(Clock::Virtual).start().await?;
    let job: JobName = format!("{LOCATION}/jobs/echo").parse()?;
    let address = emulator.addr().ok_or("an emulator with a listener has an address")?;
    let client = Client::builder().emulator(address.to_string()).build().await?;
    let (channel, serving) = serve(Backend::new(client, job.clone())).await.map_err(|error| error.to_string())?;
    let (mut backend, mut direct) = (ScreenshotsClient::new(channel), Grpc::connect(&emulator).await?);

    let (mut orders, mut starts) = (Vec::new(), Vec::new());
    for number in 0..ORDERS {
        let order = Order { id: format!("order-{number}"), url: "https://example.com".to_owned() };
        let began = Instant::now();
        backend.take(order).await?;
        orders.push(began.elapsed());
        let began = Instant::now();
        direct.run(&job.to_string()).await?;
        starts.push(began.elapsed());
    }
    claims.count("starts by the example's backend and beside it", 2 * ORDERS, emulator.ledger().len());

    println!("The example's backend, {ORDERS} orders, one after the other\n");
    println!("| what | p50 | p99 | longest | claim |");
    println!("|---|---|---|---|---|");
    print("an order, until its ticket is there", orders, "under 10 ms");
    print("RunJob by bare stubs, without the backend", starts, "-");
    println!();
    serving.abort();
    emulator.stop().await?;
    Ok(())
}

fn print(what: &str, mut times: Vec<Duration>, claim: &str) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("| {what} | {:.2} ms | {:.2} ms | {:.2} ms | {claim} |", at(0.5), at(0.99), at(1.0));
}
