//! Calls per second, by gRPC and by REST. The ways take turns in short rounds, so that whatever else the machine does
//! meets all of them; a rate is the median over the rounds, and a ratio the median of the ratios within one round.

use std::time::{Duration, Instant};

use runjob::emulator::{Emulator, Rpc, Runtime, Simulation};
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
    println!("Calls per second: median of {ROUNDS} rounds of {} ms\n", ROUND.as_millis());
    println!("| RPC | in flight | gRPC | REST, HTTP/1.1 | REST, h2c | REST/gRPC, HTTP/1.1 | REST/gRPC, h2c |");
    println!("|---|---|---|---|---|---|---|");
    let mut calls = Calls::default();
    for rpc in [Rpc::RunJob, Rpc::GetOperation] {
        for width in WIDTHS {
            let [grpc, http1, http2] = rates(rpc, width, &mut calls).await?;
            let (of_http1, of_http2) = (ratio(&http1, &grpc), ratio(&http2, &grpc));
            let [grpc, http1, http2] = [grpc, http1, http2].map(median);
            println!("| {rpc:?} | {width} | {grpc:.0} | {http1:.0} | {http2:.0} | {of_http1:.2} | {of_http2:.2} |");
        }
    }
    println!();
    claims.count(format!("calls that failed, of {}", calls.answered + calls.failed), 0, calls.failed);
    Ok(())
}

#[derive(Debug, Default)]
struct Calls {
    answered: usize,
    failed: usize,
}

/// Of each way, round by round.
async fn rates(rpc: Rpc, width: usize, calls: &mut Calls) -> Result<[Vec<f64>; 3]> {
    let mut grpc = Side::<Grpc>::new(rpc, width).await?;
    let mut http1 = Side::<Http1>::new(rpc, width).await?;
    let mut http2 = Side::<Http2>::new(rpc, width).await?;
    let mut rates = [const { Vec::new() }; 3];
    for number in 0..=ROUNDS {
        let of_round = [grpc.round(calls).await?, http1.round(calls).await?, http2.round(calls).await?];
        // The first round warms up.
        if number > 0 {
            rates.iter_mut().zip(of_round).for_each(|(rates, rate)| rates.push(rate));
        }
    }
    Ok(rates)
}

/// The callers of one way, and an emulator of their own: it has no more connections than they may need.
struct Side<C> {
    _emulator: Emulator,
    ask: Ask,
    callers: Vec<C>,
}

impl<C: Caller> Side<C> {
    async fn new(rpc: Rpc, width: usize) -> Result<Self> {
        let emulator = Emulator::builder().runtime(Runtime::Simulated(Simulation::default())).start().await?;
        let job = format!("{LOCATION}/jobs/echo");
        let ask = match rpc {
            Rpc::GetOperation => Ask::Poll(Grpc::connect(&emulator).await?.run(&job).await?.name),
            _ => Ask::Run(job),
        };
        let callers = C::many(&emulator, width).await?;
        Ok(Self { _emulator: emulator, ask, callers })
    }

    /// All callers call, again and again.
    async fn round(&mut self, calls: &mut Calls) -> Result<f64> {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for mut caller in self.callers.drain(..) {
            let ask = self.ask.clone();
            tasks.spawn(async move {
                let mut answered = 0;
                let mut failed = false;
                // Whoever has failed may be cut off, and would do nothing but fail again.
                while !failed && began.elapsed() < ROUND {
                    match caller.call(&ask).await {
                        Ok(()) => answered += 1,
                        Err(_) => failed = true,
                    }
                }
                (caller, answered, failed)
            });
        }
        let mut all = 0;
        while let Some(ended) = tasks.join_next().await {
            let (caller, answered, failed) = ended?;
            self.callers.push(caller);
            all += answered;
            calls.failed += usize::from(failed);
        }
        calls.answered += all;
        Ok(all as f64 / began.elapsed().as_secs_f64())
    }
}

fn ratio(these: &[f64], those: &[f64]) -> f64 {
    median(these.iter().zip(those).map(|(this, that)| this / that).collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
