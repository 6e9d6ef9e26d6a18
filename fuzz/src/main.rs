//! The driver on a stable toolchain: mutates the corpus of each target, for so many runs or seconds.
//!
//! ```sh
//! cargo run --manifest-path fuzz/Cargo.toml --bin drive -- [--seconds=N | --runs=N] [--seed=N] [TARGET...]
//! cargo run --manifest-path fuzz/Cargo.toml --bin drive -- --input=FILE TARGET
//! ```
//!
//! It knows no coverage. What finds new paths by coverage is `cargo fuzz`; this repeats, within a minute and from a seed,
//! what a change is most likely to break. An input that panics, or takes five seconds, is kept in `fuzz/artifacts`.

use std::{
    env, fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use runjob_fuzz::{TARGETS, Target};

/// The longest input.
const LONGEST: usize = 64 * 1024;

/// What an input may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
struct Plan {
    runs: u64,
    time: Duration,
    seed: u64,
    input: Option<PathBuf>,
    targets: Vec<String>,
    /// Set for the process that does the work of one target.
    is_worker: bool,
}

fn main() -> ExitCode {
    let plan = match plan(env::args().skip(1)) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let chosen = TARGETS.iter().filter(|(name, _)| plan.targets.is_empty() || plan.targets.iter().any(|t| t == name));
    let mut worst = ExitCode::SUCCESS;
    for target in chosen {
        let is_good = match (&plan.input, plan.is_worker) {
            (Some(input), _) => fs::read(input).is_ok_and(|data| holds(*target, &data)),
            (None, true) => drive(*target, &plan),
            // The program under test writes to stderr; it gets a process whose stderr goes nowhere.
            (None, false) => delegate(target.0),
        };
        if !is_good {
            worst = ExitCode::FAILURE;
        }
    }
    worst
}

fn plan(arguments: impl Iterator<Item = String>) -> Result<Plan, String> {
    let mut plan = Plan {
        runs: u64::MAX,
        time: Duration::from_secs(10),
        seed: 1,
        input: None,
        targets: Vec::new(),
        is_worker: false,
    };
    for argument in arguments {
        let number = |text: &str| text.parse().map_err(|_| format!("{argument}: not a number"));
        match argument.split_once('=') {
            Some(("--runs", value)) => (plan.runs, plan.time) = (number(value)?, Duration::MAX),
            Some(("--seconds", value)) => plan.time = Duration::from_secs(number(value)?),
            Some(("--seed", value)) => plan.seed = number(value)?,
            Some(("--input", value)) => plan.input = Some(value.into()),
            None if argument == "--worker" => plan.is_worker = true,
            None if TARGETS.iter().any(|(name, _)| *name == argument) => plan.targets.push(argument.clone()),
            _ => {
                let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
                return Err(format!("{argument}: neither an option nor one of {}", names.join(", ")));
            }
        }
    }
    Ok(plan)
}

fn delegate(target: &str) -> bool {
    let own = env::current_exe().expect("this program");
    let options = env::args().skip(1).filter(|argument| argument.starts_with("--"));
    let status = Command::new(own).args(options).args(["--worker", target]).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Runs one target on its corpus and on what becomes of it. Returns whether everything held.
fn drive(target: Target, plan: &Plan) -> bool {
    let corpus = corpus(target.0);
    let mut rng = Rng::with_seed(plan.seed);
    let (begun, mut runs) = (Instant::now(), 0);
    let watch = Watch::new(target.0);
    while runs < plan.runs && begun.elapsed() < plan.time {
        let nth = usize::try_from(runs).unwrap_or(usize::MAX);
        let input = corpus.get(nth).cloned().unwrap_or_else(|| mutant(&corpus, &mut rng));
        watch.begin(&input);
        let held = holds(target, &input);
        watch.end();
        runs += 1;
        if !held {
            println!("{}: run {runs}: {}", target.0, keep(target.0, &input).display());
            return false;
        }
    }
    println!("{}: {runs} runs in {:.1} s from {} inputs", target.0, begun.elapsed().as_secs_f32(), corpus.len());
    true
}

/// Whether the target takes this input without a panic, on whatever thread.
fn holds((_, target): Target, input: &[u8]) -> bool {
    static PANICKED: AtomicBool = AtomicBool::new(false);
    PANICKED.store(false, Relaxed);
    panic::set_hook(Box::new(|info| {
        PANICKED.store(true, Relaxed);
        println!("{info}");
    }));
    let returned = panic::catch_unwind(AssertUnwindSafe(|| target(input))).is_ok();
    returned && !PANICKED.load(Relaxed)
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = fs::read_dir(folder().join("corpus").join(target))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    files.sort();
    let inputs: Vec<_> = files.iter().filter_map(|file| fs::read(file).ok()).collect();
    assert!(!inputs.is_empty(), "the corpus of {target} is empty");
    inputs
}

/// Writes an input down, under a name that depends on it alone.
fn keep(target: &str, input: &[u8]) -> PathBuf {
    let artifacts = folder().join("artifacts").join(target);
    let name = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let file = artifacts.join(format!("crash-{name:016x}"));
    _ = fs::create_dir_all(&artifacts);
    _ = fs::write(&file, input);
    file
}

/// An input of the corpus with a few changes.
fn mutant(corpus: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = corpus[rng.usize(0..corpus.len())].clone();
    for _ in 0..1 << rng.u32(0..5) {
        mutate(&mut input, corpus, rng);
    }
    input.truncate(LONGEST);
    input
}

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut Rng) {
    const ODD: [&[u8]; 12] = [
        b"\0",
        b"\xff\xff\xff\xff",
        b"-1",
        b"9223372036854775807",
        b"1e999",
        b"\xf0\x9f\x98\x80",
        b"\xc3",
        b"\\u0000",
        b"\r\n",
        b"..",
        b"{\"a\":",
        b"%2f",
    ];
    let at = rng.usize(0..=input.len());
    let end = (at + rng.usize(0..=16)).min(input.len());
    match rng.u8(0..8) {
        0 if at < input.len() => input[at] ^= 1 << rng.u8(0..8),
        1 if at < input.len() => input[at] = rng.u8(..),
        2 => drop(input.drain(at..end)),
        3 => input.insert(at, rng.u8(..)),
        4 => drop(input.splice(at..at, ODD[rng.usize(0..ODD.len())].iter().copied())),
        5 => {
            // Once more, and more often now and then.
            let part = input[at..end].repeat(if rng.u8(0..20) == 0 { 500 } else { 1 });
            input.splice(at..at, part);
        }
        6 => input.truncate(at),
        _ => {
            let other = &corpus[rng.usize(0..corpus.len())];
            let from = rng.usize(0..=other.len());
            let to = (from + rng.usize(0..=64)).min(other.len());
            input.splice(at..end, other[from..to].iter().copied());
        }
    }
}

/// Ends the process when one input takes too long.
struct Watch {
    input: Arc<Mutex<Vec<u8>>>,
    /// Milliseconds since the start of the watch at which the input at hand began, and 0 between two.
    begun: Arc<AtomicU64>,
    start: Instant,
}

impl Watch {
    fn new(target: &'static str) -> Self {
        let watch = Self { input: Arc::default(), begun: Arc::default(), start: Instant::now() };
        let (input, begun, start) = (watch.input.clone(), watch.begun.clone(), watch.start);
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_millis(100));
                let since = begun.load(Relaxed);
                if since > 0 && start.elapsed() > Duration::from_millis(since) + PATIENCE {
                    let file = keep(target, &input.lock().unwrap_or_else(PoisonError::into_inner));
                    println!("{target}: over {} s: {}", PATIENCE.as_secs(), file.display());
                    std::process::exit(1);
                }
            }
        });
        watch
    }

    fn begin(&self, input: &[u8]) {
        input.clone_into(&mut self.input.lock().unwrap_or_else(PoisonError::into_inner));
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.begun.store(now.max(1), Relaxed);
    }

    fn end(&self) {
        self.begun.store(0, Relaxed);
    }
}
