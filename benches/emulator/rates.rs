//! Calls per second, by gRPC and by REST. The ways take turns in short rounds, so that whatever else the machine does
//! meets all of them; a rate is the median over the rounds, and a ratio the median of the ratios within one round.

use std::time::{Duration, Instant};

use runjob::emulator::{Emulator, Runtime, Simulation};
use tokio::task::JoinSet;

use crate::{
    Result,
    api::{Ask, Caller, Grpc, Http1, Http2, LOCATION},
    claims::Claims,
};

const WIDTHS: [usize; 3] = [1, 64, 512];
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(200);

pub(crate) async fn measure(claims: &mut Claims) -> Result<()> {
    let emulator = Emulator::builder().runtime(Runtime::Simulated(Simulation::default())).start().await?;
    let job = format!("{LOCATION}/jobs/echo");
    let operation = Grpc::connect(&emulator).await?.run(&job).await?.name;

    println!("Calls per second: median of {ROUNDS} rounds of {} ms\n", ROUND.as_millis());
    println!("| RPC | in flight | gRPC | REST, HTTP/1.1 | REST, h2c | REST/gRPC, HTTP/1.1 | REST/gRPC, h2c |");
    println!("|---|---|---|---|---|---|---|");
    let mut calls = Calls::default();
    for (rpc, ask) in [("RunJob", Ask::Run(job)), ("GetOperation", Ask::Poll(operation))] {
        for width in WIDTHS {
            let [grpc, http1, http2] = rates(&emulator, width, &ask, &mut calls).await?;
            let (of_http1, of_http2) = (ratio(&http1, &grpc), ratio(&http2, &grpc));
            let [grpc, http1, http2] = [grpc, http1, http2].map(median);
            println!("| {rpc} | {width} | {grpc:.0} | {http1:.0} | {http2:.0} | {of_http1:.2} | {of_http2:.2} |");
        }
    }
    println!();
    claims.count(format!("calls that failed, of {}", calls.answered + calls.failed), 0, calls.failed);
    emulator.stop().await?;
    Ok(())
}

#[derive(Debug, Default)]
struct Calls {
    answered: usize,
    failed: usize,
}

/// Of each way, round by round.
async fn rates(emulator: &Emulator, width: usize, ask: &Ask, calls: &mut Calls) -> Result<[Vec<f64>; 3]> {
    let mut grpc = Grpc::many(emulator, width).await?;
    let mut http1 = Http1::many(emulator, width).await?;
    let mut http2 = Http2::many(emulator, width).await?;
    let mut rates = [const { Vec::new() }; 3];
    for number in 0..=ROUNDS {
        let of_round = [
            round(&mut grpc, ask, calls).await?,
            round(&mut http1, ask, calls).await?,
            round(&mut http2, ask, calls).await?,
        ];
        // The first round warms up.
        if number > 0 {
            rates.iter_mut().zip(of_round).for_each(|(rates, rate)| rates.push(rate));
        }
    }
    Ok(rates)
}

/// All callers call, again and again.
async fn round<C: Caller>(callers: &mut Vec<C>, ask: &Ask, calls: &mut Calls) -> Result<f64> {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for mut caller in callers.drain(..) {
        let ask = ask.clone();
        tasks.spawn(async move {
            let mut calls = Calls::default();
            while began.elapsed() < ROUND {
                match caller.call(&ask).await {
                    Ok(()) => calls.answered += 1,
                    Err(_) => calls.failed += 1,
                }
            }
            (caller, calls)
        });
    }
    let mut answered = 0;
    while let Some(ended) = tasks.join_next().await {
        let (caller, of_caller) = ended?;
        callers.push(caller);
        answered += of_caller.answered;
        calls.failed += of_caller.failed;
    }
    calls.answered += answered;
    Ok(answered as f64 / began.elapsed().as_secs_f64())
}

fn ratio(these: &[f64], those: &[f64]) -> f64 {
    median(these.iter().zip(those).map(|(this, that)| this / that).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
