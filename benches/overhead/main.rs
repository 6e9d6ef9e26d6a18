//! What the client adds to the wire: `cargo bench --bench overhead`; `-- --help` lists the options.
//!
//! One logical call, a start and a poll, by several arms against a neutral server in a process of its own. The arms take
//! turns in short rounds, so that whatever else the machine does meets all of them; each figure is the median over the
//! rounds, and each ratio the median of the ratios within one round, with a bootstrap interval.

mod arms;
mod counts;
mod round;
mod server;
mod stats;

use std::{env, error::Error as StdError, time::Duration};

use clap::{Parser, ValueEnum};
use fastrand::Rng;
use tokio::runtime::{Builder, Runtime};

use self::{
    arms::{Arm, Name},
    counts::Counter,
    round::{Round, Until},
    server::Server,
    stats::{median, median_with_interval, percentile},
};

type Result<T> = std::result::Result<T, Box<dyn StdError + Send + Sync>>;

/// Where the resamples of the intervals come from.
const SEED: u64 = 20_261_126;

/// Compares arms that make the same two calls, in turns, against a server that answers canned bytes.
#[derive(Debug, Parser)]
struct Args {
    /// The arms; all of them by default
    #[arg(long, value_delimiter = ',')]
    arms: Vec<Name>,
    /// How many pairs are in flight
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 512])]
    in_flight: Vec<usize>,
    /// Rounds of each arm, after one that warms up
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// How long a round is
    #[arg(long, default_value_t = 200)]
    round_ms: u64,
    /// Threads of the client. With one, the default, its processor time is its work; with more, work that moves between
    /// threads is in it too
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Instead of times: instructions, allocations and writes of a pair, counted by valgrind and strace
    #[arg(long)]
    counts: bool,
    /// Instead of times: this many pairs by one arm, to be counted from outside
    #[arg(long)]
    pairs: Option<usize>,
    /// A server that runs already
    #[arg(long)]
    server: Option<String>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    if env::args().any(|given| given == server::FLAG) {
        return server::serve();
    }
    let mut args = Args::parse();
    if args.arms.is_empty() {
        args.arms = Name::value_variants().to_vec();
    }
    match &args.server {
        Some(address) => measure(&args, address),
        None => measure(&args, &Server::start()?.address),
    }
}

fn measure(args: &Args, server: &str) -> Result<()> {
    if args.counts {
        return print_counts(args, server);
    }
    let runtime = runtime(args.threads)?;
    match args.pairs {
        Some(pairs) => runtime.block_on(fixed(args, server, pairs)),
        None => runtime.block_on(compare(args, server)),
    }
}

fn runtime(threads: usize) -> Result<Runtime> {
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    Ok(builder.worker_threads(threads.max(1)).enable_all().build()?)
}

/// A fixed number of pairs by each arm.
async fn fixed(args: &Args, server: &str, pairs: usize) -> Result<()> {
    for &width in &args.in_flight {
        for &name in &args.arms {
            Arm::connect(name, server, width).await?.with_lanes(width, Until::Pairs(pairs / width)).await?;
        }
    }
    Ok(())
}

/// Times, in turns.
async fn compare(args: &Args, server: &str) -> Result<()> {
    println!("One start and one poll: medians of {} rounds of {} ms\n", args.rounds, args.round_ms);
    println!("| in flight | arm | p50 µs | p99 µs | calls/s | CPU µs per call | p50 to first arm | p50 to bare |");
    println!("|---|---|---|---|---|---|---|---|");
    for &width in &args.in_flight {
        let mut arms = Vec::new();
        for &name in &args.arms {
            arms.push((name, Arm::connect(name, server, width).await?, Vec::new()));
        }
        for round in 0..=args.rounds {
            let count = arms.len();
            for turn in 0..count {
                // Each round begins with another arm, so that none always follows the same one.
                let (_, arm, rounds) = &mut arms[(round + turn) % count];
                let measured = arm.with_lanes(width, Until::Elapsed(Duration::from_millis(args.round_ms))).await?;
                // The first round warms up.
                if round > 0 {
                    rounds.push(measured);
                }
            }
        }
        print_level(width, &arms);
    }
    Ok(())
}

fn print_level(width: usize, arms: &[(Name, Arm, Vec<Round>)]) {
    let medians = |rounds: &[Round]| rounds.iter().map(|round| percentile(&round.latencies, 0.5)).collect::<Vec<_>>();
    let bare = arms.iter().find(|(name, ..)| *name == Name::Bare);
    let of = |rounds: &[Round], base: Option<&(Name, Arm, Vec<Round>)>| {
        base.map_or_else(|| "-".to_owned(), |(_, _, base)| ratio(&medians(rounds), &medians(base)))
    };
    for (name, _, rounds) in arms {
        let figure = |of_round: fn(&Round) -> f64| median(rounds.iter().map(of_round).collect());
        println!(
            "| {width} | {} | {:.0} | {:.0} | {:.0} | {:.2} | {} | {} |",
            name.text(),
            figure(|round| percentile(&round.latencies, 0.5)),
            figure(|round| percentile(&round.latencies, 0.99)),
            figure(|round| calls(round) / round.elapsed.as_secs_f64()),
            figure(|round| round.processor.as_secs_f64() * 1e6 / calls(round)),
            of(rounds, arms.first()),
            of(rounds, bare),
        );
    }
}

/// Two for each pair.
fn calls(round: &Round) -> f64 {
    2.0 * round.latencies.len() as f64
}

fn ratio(these: &[f64], those: &[f64]) -> String {
    let ratios: Vec<f64> = these.iter().zip(those).map(|(this, that)| this / that).collect();
    let (middle, low, high) = median_with_interval(&ratios, &mut Rng::with_seed(SEED));
    format!("{middle:.3} [{low:.3}, {high:.3}]")
}

fn print_counts(args: &Args, server: &str) -> Result<()> {
    println!("| in flight | arm | instructions per pair | allocations per call | socket writes per call |");
    println!("|---|---|---|---|---|");
    for &width in &args.in_flight {
        for &name in &args.arms {
            let mut counts = [0.0; 3];
            for (count, counter) in counts.iter_mut().zip(Counter::ALL) {
                *count = counter.per_pair(name, width, server)?;
            }
            let [instructions, allocations, writes] = counts;
            let name = name.text();
            println!("| {width} | {name} | {instructions:.0} | {:.1} | {:.2} |", allocations / 2.0, writes / 2.0);
        }
    }
    Ok(())
}
