//! What the client adds to the wire: `cargo bench --bench overhead`; `-- --help` lists the options.
//!
//! The measurement is [`runjob::bench`], with the arms between the h2 crate alone and the client's verbs; beside times it
//! counts what no clock is needed for.

mod counts;

use std::{
    env,
    error::Error as StdError,
    io::{IsTerminal as _, Write as _, stderr},
    net::SocketAddr,
    ops::ControlFlow,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use clap::Parser;
use runjob::bench::{self, Arm, BenchProgress, LogicalCall, Plan, ReportFolder, Site};
use tokio::runtime::{Builder, Runtime};

use self::counts::Counter;

type Result<T> = std::result::Result<T, Box<dyn StdError + Send + Sync>>;

/// The argument that makes this program the server.
const SERVE: &str = "--serve";

/// Compares arms that make the same calls, in turns, against a server that answers canned bytes.
#[derive(Debug, Parser)]
struct Args {
    /// The arms; the others are compared with the first
    #[arg(long, value_delimiter = ',', default_values_t = [Arm::Bare, Arm::Raw, Arm::Headers, Arm::Transport, Arm::Verbs])]
    arms: Vec<Arm>,
    /// The logical call: start+poll, start, start:N, poll, get or list
    #[arg(long, default_value_t = LogicalCall::StartPoll)]
    call: LogicalCall,
    /// How many calls are in flight
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 512])]
    in_flight: Vec<usize>,
    /// Rounds of each arm, after one that warms up
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// How long a round is
    #[arg(long, default_value_t = 200)]
    round_ms: u64,
    /// Threads of the client. With one, the default, its processor time is its work; with more, it is also the moving of work
    /// between them
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// A folder for the page, the JSON and the distributions
    #[arg(long)]
    output: Option<PathBuf>,
    /// Instead of times: instructions, allocations and writes of a call, counted by valgrind and strace
    #[arg(long)]
    counts: bool,
    /// Instead of times: this many calls by the first arm to --server, to be counted from outside
    #[arg(long, requires = "server")]
    times: Option<u64>,
    /// A neutral server that runs already, as IP:PORT
    #[arg(long)]
    server: Option<SocketAddr>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    if env::args().any(|given| given == SERVE) {
        return Ok(bench::serve()?);
    }
    let args = Args::parse();
    let runtime = runtime(args.threads)?;
    if let (Some(times), Some(server), Some(arm)) = (args.times, args.server, args.arms.first()) {
        let width = args.in_flight.first().copied().unwrap_or(1);
        return Ok(runtime.block_on(bench::repeat(
            *arm,
            args.call,
            width,
            times,
            &Site::neutral(server.to_string()),
        ))?);
    }
    let mut command = Command::new(env::current_exe()?);
    command.arg(SERVE);
    let site = Site::launch(command)?;
    if args.counts {
        return print_counts(&args, site.address());
    }
    let plan = Plan {
        arms: args.arms,
        calls: vec![args.call],
        in_flight: args.in_flight,
        rounds: args.rounds,
        round: Duration::from_millis(args.round_ms),
        ..Plan::default()
    };
    plan.check()?;
    let folder = args.output.map(ReportFolder::open).transpose()?;
    let report = runtime.block_on(bench::run(&plan, &site, &mut show))?;
    println!("\n{}", report.table());
    Ok(folder.map_or(Ok(()), |folder| folder.save(&report))?)
}

fn runtime(threads: usize) -> Result<Runtime> {
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    Ok(builder.worker_threads(threads.max(1)).enable_all().build()?)
}

fn show(progress: BenchProgress) -> ControlFlow<()> {
    if stderr().is_terminal() {
        // A terminal that is gone is no reason to stop.
        let _ = write!(stderr(), "\r{} of {} rounds ", progress.done, progress.of);
    }
    ControlFlow::Continue(())
}

fn print_counts(args: &Args, server: &str) -> Result<()> {
    println!("| call | in flight | arm | instructions per call | allocations per call | socket writes per call |");
    println!("|---|---|---|---|---|---|");
    for &width in &args.in_flight {
        for &arm in &args.arms {
            let mut counts = [0.0; 3];
            for (count, counter) in counts.iter_mut().zip(Counter::ALL) {
                *count = counter.per_call(arm, args.call, width, server)?;
            }
            let [instructions, allocations, writes] = counts;
            println!("| {} | {width} | {arm} | {instructions:.0} | {allocations:.1} | {writes:.2} |", args.call);
        }
    }
    Ok(())
}
