//! Starts in trials: each meets faults, and what its caller was told is compared with the emulator's ledger.
//!
//! Three series: every fault at every attempt; faults drawn from a seed, in process; and the same over sockets. Beside our
//! client a naive one goes through the same trials, to show that they can fail. `docs/trials.md` has the results.

mod cut;
mod mishap;
mod oracle;
mod service;
mod stage;
mod tally;
mod trial;

use std::{env, ops::Range, sync::Mutex, thread};

use futures_util::{StreamExt as _, future::join_all, stream};
use runjob::emulator::Reason;
use tokio::runtime;

use self::{
    mishap::{Kind, Mishap},
    oracle::{Found, Told, judge},
    service::{Mark, Service},
    stage::Stage,
    tally::{DUPLICATES, NAIVE_DUPLICATES, TRIALS, Tally, UNKNOWN, WRONG},
    trial::Trial,
};

/// So many trials are on one emulator before they are judged and it begins anew: few, because a start with a key reads
/// through the executions before it.
const BATCH: usize = 4;
/// How many trials there are over sockets before they are judged.
const ROUND: usize = 10_000;
/// Where our client starts in process, and where the naive one does.
const OURS: &str = "echo";
const NAIVE: &str = "env";

/// Every kind of fault, at each of the first three calls: those before are refused unprocessed, and so sent again.
#[test]
fn every_fault_at_every_attempt_is_told_as_it_is() {
    let refused = Mishap::Before(Kind::Reset(Reason::RefusedStream));
    let mut trials = Vec::new();
    for (is_keyed, validates_first) in [(false, false), (false, true), (true, false), (true, true)] {
        let caller = Trial::calm(is_keyed, validates_first);
        for mishap in Mishap::all() {
            let second = caller.then(refused);
            trials.extend([&caller, &second, &second.then(refused)].map(|before| before.then(mishap)));
        }
    }
    let tally = in_process(numbered(trials), |_, _| {});
    assert_all_is_well(&tally);
    assert!(tally.count(NAIVE_DUPLICATES) > 0 && tally.count(UNKNOWN) > 0);
}

/// Every sequence of up to three faults, as far as there are calls that they can meet: by sort, or with
/// `RUNJOB_EVERY_FAULT=1` by kind, code and advice.
#[test]
fn every_sequence_of_three_faults_is_told_as_it_is() {
    let mishaps = if number("RUNJOB_EVERY_FAULT") == Some(1) { Mishap::all() } else { Mishap::sorts() };
    let mut tally = Tally::default();
    let mut trials = [false, true].map(|is_keyed| Trial::calm(is_keyed, false)).to_vec();
    for faults in 0..=3 {
        let open = Mutex::new(Vec::new());
        tally += in_process(numbered(trials), |trial, calls| {
            // There was a call that nothing happened to: the next fault meets that.
            if calls > faults && faults < 3 {
                open.lock().expect("no panic").push(trial.clone());
            }
        });
        let open = open.into_inner().expect("no panic");
        trials = open.iter().flat_map(|trial| mishaps.iter().map(|mishap| trial.then(*mishap))).collect();
    }
    assert_all_is_well(&tally);
    assert!(tally.count(NAIVE_DUPLICATES) > 0 && tally.count(UNKNOWN) > 0);
}

#[test]
fn a_trial_can_be_repeated() {
    let drawn = || in_process((0..60).map(Trial::drawn), |_, _| {});
    assert_eq!(drawn(), drawn());
}

#[test]
fn what_goes_wrong_by_chance_is_told_as_it_is() {
    let tally = in_process(seeds(number("RUNJOB_TRIALS").unwrap_or(1_000)).map(Trial::drawn), |_, _| {});
    assert_all_is_well(&tally);
    assert!(tally.count(NAIVE_DUPLICATES) > 0 || tally.count(TRIALS) < 1_000);
}

/// Callers side by side, each start with a job, connections and faults of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_over_sockets_is_told_as_it_is() {
    let asked = number("RUNJOB_SOCKET_TRIALS");
    // A start with a key is looked for for half a minute, and a clock with sockets cannot be paused.
    let trials = seeds(asked.unwrap_or(200)).map(Trial::drawn).filter(|trial| asked.is_some() || !trial.is_keyed);
    let trials = Mutex::new(trials);
    let next = |most| trials.lock().expect("no panic").by_ref().take(most).collect();
    let (services, callers) = if asked.is_some() { (4, 256) } else { (1, 16) };
    let mut tally = Tally::default();
    for part in join_all((0..services).map(|_| over_sockets(&next, callers))).await {
        tally += part;
    }
    assert_all_is_well(&tally);
    assert!(tally.count(NAIVE_DUPLICATES) > 0 || tally.count(TRIALS) < 1_000);
}

/// Carries rounds of trials out, with an emulator on a port, until there are none.
async fn over_sockets(next: &(impl Fn(usize) -> Vec<Trial> + Sync), callers: usize) -> Tally {
    let service = &Service::start(true).await;
    let mut tally = Tally::default();
    loop {
        let round = next(ROUND);
        if round.is_empty() {
            return tally;
        }
        let round = stream::iter(round).map(async |trial| {
            let ours = Stage::over_sockets(service, "ours", &trial).await;
            let naive = Stage::over_sockets(service, "naive", &trial).await;
            carry_out(&ours, &naive, trial).await
        });
        let records: Vec<_> = round.buffer_unordered(callers).collect().await;
        tally += judged(&records, service).await;
        service.emulator.reset();
    }
}

/// What `docs/reliability.md` says cannot be excluded, and so none of the other trials has: here it shows that they would
/// tell. A caller with a key comes back after the refusal, and finds its start.
#[test]
fn a_service_that_denies_what_it_has_done_is_believed_and_caught() {
    let callers = [false, true].map(|is_keyed| Trial::calm(is_keyed, false));
    let trials = callers.iter().flat_map(|caller| Mishap::lies().into_iter().map(|lie| caller.then(lie)));
    let tally = in_process(numbered(trials.collect()), |_, _| {});
    println!("{tally}");
    // Nine codes; and a stream that is refused, and so sent again.
    assert_eq!((tally.count(TRIALS), tally.count(WRONG), tally.count(DUPLICATES)), (20, 9 + 2, 2));
}

fn assert_all_is_well(tally: &Tally) {
    println!("{tally}");
    assert_eq!((tally.count(DUPLICATES), tally.count(WRONG)), (0, 0));
}

fn numbered(trials: Vec<Trial>) -> impl Iterator<Item = Trial> {
    trials.into_iter().zip(0..).map(|(trial, seed)| Trial { seed, ..trial })
}

/// `RUNJOB_TRIAL=SEED` repeats one trial by itself; else the first so many seeds.
fn seeds(trials: u64) -> Range<u64> {
    match number("RUNJOB_TRIAL") {
        Some(seed) => seed..seed + 1,
        None => 0..trials,
    }
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// Carries trials out in this process, on each processor at once. `note` is told of each trial how often RunJob was called.
fn in_process(trials: impl Iterator<Item = Trial> + Send, note: impl Fn(&Trial, usize) + Sync) -> Tally {
    let trials = Mutex::new(trials);
    let next = || trials.lock().expect("no panic").by_ref().take(BATCH).collect();
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(|| on_paused_clock(&next, &note))).collect();
        for worker in workers {
            tally += worker.join().expect("no panic");
        }
    });
    tally
}

/// Carries batches of trials out, with an emulator on this thread, until there are none.
fn on_paused_clock(next: &impl Fn() -> Vec<Trial>, note: &impl Fn(&Trial, usize)) -> Tally {
    let mut runtime = runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let service = Service::start(false).await;
        let (ours, naive) = (Stage::in_process(&service, OURS), Stage::in_process(&service, NAIVE));
        let mut tally = Tally::default();
        loop {
            let batch = next();
            if batch.is_empty() {
                return tally;
            }
            let mut records = Vec::new();
            for trial in batch {
                // The pauses of our client are drawn on this thread.
                fastrand::seed(trial.seed);
                let before = service.calls(&ours.job);
                let record = carry_out(&ours, &naive, trial).await;
                note(&record.trial, service.calls(&ours.job) - before);
                records.push(record);
            }
            tally += judged(&records, &service).await;
            service.emulator.reset();
        }
    })
}

/// What came of one trial, before it is compared.
struct Record {
    trial: Trial,
    ours: Mark,
    told: Vec<Told>,
    found: Found,
    naive: Mark,
    naive_is_told: bool,
}

/// Carries a trial out with our client, and then with the naive one.
async fn carry_out(ours: &Stage<'_>, naive: &Stage<'_>, trial: Trial) -> Record {
    let (told, found) = ours.client(&trial).await;
    let naive_is_told = naive.naive_client(&trial).await;
    let (ours, naive) = (ours.mark(&trial), naive.mark(&trial));
    Record { trial, ours, told, found, naive, naive_is_told }
}

/// Compares what was told with all that has started.
async fn judged(records: &[Record], service: &Service) -> Tally {
    let mut started = service.started().await;
    let mut tally = Tally::default();
    for Record { trial, ours, told, found, naive, naive_is_told } in records {
        let mut starts_of = |mark| started.remove(mark).unwrap_or_default();
        let (starts, naive_starts) = (starts_of(ours), starts_of(naive));
        let verdict = judge(told, &starts, found);
        if let Err(wrong) = verdict {
            println!("{wrong}\n{trial:?}\ntold: {told:?}, {found:?}\nstarted: {starts:?}\n");
        }
        tally += Tally::of(told, starts.len(), verdict.is_err());
        tally += Tally::of_naive(*naive_is_told, naive_starts.len());
    }
    assert!(started.is_empty(), "{started:?} came late, after its trial had been compared");
    tally
}
