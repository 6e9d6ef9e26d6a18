//! `runjob bench`: gRPC against REST, measured on this machine.
//!
//! The measurement is [`crate::bench`]. This gives it a plan, a server, a progress bar and a way to be interrupted, and
//! writes down what it finds. The servers that it starts are this program again, in a hidden role.

use std::{
    env, io,
    ops::ControlFlow,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use clap::ValueEnum;
use tokio::{
    runtime::{Builder, Runtime},
    select,
    task::{JoinHandle, spawn_blocking},
};

use crate::{
    JobName,
    bench::{self, Arm, BenchReport, LogicalCall, LoopKind, Plan, ReportFolder, Site},
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{global::Format, values},
        interrupt::Interrupt,
        printer::{Bar, Printer},
    },
    emulator::{Emulator, Runtime as TaskRuntime, Simulation},
};

/// An emulator takes 512 connections at a time, and the arms keep theirs while the others have their turns.
const MOST_AT_AN_EMULATOR: usize = 256;

/// `runjob bench`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Bench {
    /// What is called: start+poll, start, start:N (with N variables), poll, get, list.
    #[arg(long, value_name = "CALL,...", value_delimiter = ',', default_values_t = [LogicalCall::StartPoll])]
    calls: Vec<LogicalCall>,
    /// How it is called, in turns: raw, bare, headers, transport, verbs, rest, rest-h2. The others are compared with the first.
    #[arg(long, value_name = "ARM,...", value_delimiter = ',', default_values_t = Plan::default().arms)]
    arms: Vec<Arm>,
    /// How many calls are in flight; with --rate, how many may be. The default is 1,16,64,512, elsewhere than at the neutral
    /// server 1,16,64.
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    in_flight: Vec<usize>,
    /// Begin this many calls a second whether others are answered or not; latency counts from when a call was due.
    #[arg(long, value_name = "CALLS_PER_SECOND")]
    rate: Option<f64>,
    /// Rounds of each arm that count, after one that warms up.
    #[arg(long, value_name = "N", default_value_t = Plan::default().rounds)]
    rounds: usize,
    /// How long a round is.
    #[arg(long, value_name = "DURATION", default_value = "200ms", value_parser = short_duration)]
    round: Duration,
    /// Open a new connection for each call.
    #[arg(long)]
    cold: bool,
    /// Round-trip time to add on the way to the neutral server.
    #[arg(long, value_name = "DURATION,...", value_delimiter = ',', default_value = "0", value_parser = short_duration)]
    distance: Vec<Duration>,
    /// Threads of the client. With one, its processor time is its work; with more, also the moving of work between them.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// Job to call at --endpoint or --emulator, by its id or its full name.
    #[arg(long, value_name = "JOB", default_value = "echo")]
    job: String,
    /// Start executions at --endpoint. Each start+poll, start and poll starts some, thousands a second.
    #[arg(long)]
    really_start: bool,
    /// Directory for the page, the JSON, the table and the latency distributions.
    #[arg(long, value_name = "DIR", default_value = "runjob-bench")]
    output: PathBuf,
    /// Be a server of the benchmark.
    #[arg(long, hide = true, value_enum)]
    serve: Option<Role>,
}

/// A server that this program can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Answers both protocols with canned bytes.
    Neutral,
    /// An emulator whose tasks succeed at once.
    Emulator,
}

/// What to measure, and where.
#[derive(Debug)]
struct Meaning {
    plan: Plan,
    target: BenchTarget,
    threads: usize,
    output: PathBuf,
}

/// What is called.
#[derive(Debug, PartialEq, Eq)]
enum BenchTarget {
    /// A child process that answers with canned bytes.
    Neutral,
    /// An emulator in a child process.
    Emulator(JobName),
    /// A plaintext server at `HOST:PORT`.
    Endpoint { address: String, job: JobName, may_start: bool },
}

impl Bench {
    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let target = self.target(context)?;
        let most = if target == BenchTarget::Neutral { usize::MAX } else { MOST_AT_AN_EMULATOR };
        let mut usual = Plan::default().in_flight;
        usual.retain(|width| *width <= most);
        let plan = Plan {
            arms: self.arms,
            calls: self.calls,
            in_flight: if self.in_flight.is_empty() { usual } else { self.in_flight },
            distances: self.distance,
            pace: self.rate.map_or(LoopKind::Answered, LoopKind::PerSecond),
            cold: self.cold,
            rounds: self.rounds,
            round: self.round,
            ..Plan::default()
        };
        plan.check().map_err(unusable)?;
        let widest = plan.in_flight.iter().copied().max().unwrap_or_default();
        if matches!(target, BenchTarget::Emulator(_)) && widest > MOST_AT_AN_EMULATOR {
            let message = format!("{widest} calls in flight need more connections than an emulator takes");
            let hint = format!("choose up to --in-flight={MOST_AT_AN_EMULATOR}, or leave out --emulator");
            return Err(Failure::usage(message).hint(hint));
        }
        Ok(Meaning { plan, target, threads: self.threads.into(), output: self.output })
    }

    /// The flags alone choose it: no variable makes a benchmark call a server that the command line does not name.
    fn target(&self, context: &Context<'_>) -> Result<BenchTarget, Failure> {
        if context.global.emulator {
            return Ok(BenchTarget::Emulator(context.job(&self.job)?));
        }
        let Some(endpoint) = &context.global.endpoint else {
            return match self.really_start {
                true => Err(Failure::usage("--really-start permits starts at an endpoint, and there is none")
                    .hint("add --endpoint=URL")),
                false => Ok(BenchTarget::Neutral),
            };
        };
        let address = endpoint.strip_prefix("http://").filter(|address| !address.is_empty()).ok_or_else(|| {
            Failure::usage("--endpoint: only plaintext servers are measured").hint("write --endpoint=http://HOST:PORT")
        })?;
        Ok(BenchTarget::Endpoint {
            address: address.trim_end_matches('/').to_owned(),
            job: context.job(&self.job)?,
            may_start: self.really_start,
        })
    }
}

/// A duration as in other flags, or in milliseconds.
fn short_duration(text: &str) -> Result<Duration, String> {
    match text.strip_suffix("ms").map(str::parse::<u32>) {
        Some(Ok(milliseconds)) => Ok(Duration::from_millis(milliseconds.into())),
        _ => values::duration(text).map_err(|_| "expected a duration such as 20ms, 0.5s or 0".to_owned()),
    }
}

/// Measures until it is done or interrupted, and writes down what was measured.
pub(in crate::cli) async fn run(typed: Bench, context: &Context<'_>, printer: &Printer) -> Result<Exit, Failure> {
    if let Some(role) = typed.serve {
        return serve(role, context, printer).await;
    }
    let meaning = typed.resolve(context)?;
    let site = meaning.target.open()?;
    meaning.plan.check_at(&site).map_err(|error| meaning.target.with_hint(unusable(error)))?;
    let folder =
        ReportFolder::open(&meaning.output).map_err(|error| unusable(error).hint("choose another --output=DIR"))?;
    let Some(report) = measured(meaning.plan, site, meaning.threads, printer).await? else {
        return Ok(Exit::Interrupted);
    };
    folder.save(&report).map_err(failed)?;
    match printer.format() {
        Format::Text => printer.text(&report.table())?,
        Format::Json => printer.json(&report)?,
    }
    printer.note(&format!("note: the page is {}", meaning.output.join(ReportFolder::PAGE).display()));
    Ok(if report.interrupted { Exit::Interrupted } else { Exit::Done })
}

/// The report; none when it is interrupted twice.
async fn measured(plan: Plan, site: Site, threads: usize, printer: &Printer) -> Result<Option<BenchReport>, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut measuring = measure(plan, site, runtime(threads)?, Bar::begin(printer), Arc::clone(&stop));
    select! {
        report = &mut measuring => return finished(report),
        () = interrupt.next() => {
            stop.store(true, Relaxed);
            printer.note("note: stopping after this round; interrupt again to stop at once");
        }
    }
    select! {
        report = &mut measuring => finished(report),
        () = interrupt.next() => Ok(None),
    }
}

/// Measures on threads that do nothing else.
fn measure(
    plan: Plan,
    site: Site,
    runtime: Runtime,
    bar: Bar,
    stop: Arc<AtomicBool>,
) -> JoinHandle<bench::Result<BenchReport>> {
    spawn_blocking(move || {
        runtime.block_on(bench::run(&plan, &site, &mut |progress| {
            bar.show(progress.done, progress.of, &format!("{}, {} in flight", progress.call, progress.in_flight));
            if stop.load(Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }))
    })
}

fn finished(
    report: Result<bench::Result<BenchReport>, tokio::task::JoinError>,
) -> Result<Option<BenchReport>, Failure> {
    let report = report.map_err(|cause| Failure::new(Exit::Other, format!("the measurement broke off: {cause}")))?;
    report.map(Some).map_err(failed)
}

fn runtime(threads: usize) -> io::Result<Runtime> {
    let mut builder = if threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(threads).enable_all().build()
}

fn unusable(error: bench::Error) -> Failure {
    Failure::usage(error.to_string())
}

fn failed(error: bench::Error) -> Failure {
    Failure::new(Exit::Other, error.to_string())
}

impl BenchTarget {
    /// A refusal with the way to be permitted to start, where that is not so.
    fn with_hint(&self, refusal: Failure) -> Failure {
        match self {
            Self::Endpoint { may_start: false, .. } => {
                refusal.hint("--calls=get,list only reads; --really-start lets the benchmark start executions")
            }
            _ => refusal,
        }
    }

    fn open(&self) -> Result<Site, Failure> {
        match self {
            Self::Neutral => Site::launch(this_program("neutral")?).map_err(failed),
            Self::Emulator(job) => {
                let mut command = this_program("emulator")?;
                let (project, region) = (job.location().project(), job.location().region());
                command.args([format!("--project={project}"), format!("--region={region}")]);
                Site::launch_other(command, "emulator", job.to_string()).map_err(failed)
            }
            Self::Endpoint { address, job, may_start } => Ok(Site::at(address, job.to_string(), *may_start)),
        }
    }
}

/// This program as a server.
fn this_program(role: &str) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["bench", &format!("--serve={role}")]);
    Ok(command)
}

/// Serves until standard input ends, which it does when the client ends. The first line of output is the address.
async fn serve(role: Role, context: &Context<'_>, printer: &Printer) -> Result<Exit, Failure> {
    match role {
        Role::Neutral => spawn_blocking(bench::serve).await.map_err(io::Error::other)?.map_err(failed)?,
        Role::Emulator => {
            let tasks = TaskRuntime::Simulated(Simulation::default());
            let builder = Emulator::builder().listen(([127, 0, 0, 1], 0).into()).location(context.sample_location()?);
            // The arm of bare stubs sends no routing header.
            let emulator = builder.runtime(tasks).lenient(true).start().await?;
            if let Some(address) = emulator.addr() {
                printer.text(&address.to_string())?;
            }
            spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await.map_err(io::Error::other)??;
            emulator.stop().await?;
        }
    }
    Ok(Exit::Done)
}
