//! Starts in trials: each meets faults, and what its caller was told is compared with the emulator's ledger.
//!
//! Three series: every fault at every attempt; faults drawn from a seed, in process; and the same over sockets. Beside our
//! client a naive one goes through the same trials, to show that they can fail. `docs/reliability.md` has the results.

mod cut;
mod mishap;
mod oracle;
mod stage;
mod tally;
mod trial;

use std::{env, ops::Range, sync::Mutex, thread};

use runjob::emulator::Reason;
use tokio::runtime;

use self::{
    mishap::{Kind, Mishap},
    oracle::{Found, Told, judge},
    stage::{Stage, Starts, emulator, started},
    tally::{NAIVE_DUPLICATES, Tally, UNKNOWN},
    trial::Trial,
};

/// So many trials are on one emulator before they are judged and it begins anew: few, because a start with a key reads
/// through the executions before it.
const BATCH: usize = 16;
/// Where our client starts, and where the naive one does.
const OURS: &str = "echo";
const NAIVE: &str = "env";

/// A proof that the call had no effect, after which it is sent again.
const REFUSED: Mishap = Mishap::Before(Kind::Reset(Reason::RefusedStream));

#[test]
fn every_fault_at_every_attempt_is_told_as_it_is() {
    let mut trials = Vec::new();
    for is_keyed in [false, true] {
        for mishap in Mishap::all() {
            for refusals in 0..3 {
                let mut calls = vec![Some(REFUSED); refusals];
                calls.push(Some(mishap));
                trials.push(Trial::of(trials.len() as u64, is_keyed, calls));
            }
        }
    }
    let tally = in_process(trials.into_iter());
    println!("{tally}");
    assert!(tally.count(NAIVE_DUPLICATES) > 0 && tally.count(UNKNOWN) > 0);
}

#[test]
fn every_sequence_of_three_sorts_of_faults_is_told_as_it_is() {
    let sorts: Vec<_> = Mishap::sorts().into_iter().map(Some).chain([None]).collect();
    let mut trials = Vec::new();
    for is_keyed in [false, true] {
        for first in &sorts {
            for second in &sorts {
                for third in &sorts {
                    trials.push(Trial::of(trials.len() as u64, is_keyed, vec![*first, *second, *third]));
                }
            }
        }
    }
    let tally = in_process(trials.into_iter());
    println!("{tally}");
    assert!(tally.count(NAIVE_DUPLICATES) > 0 && tally.count(UNKNOWN) > 0);
}

#[test]
fn what_goes_wrong_by_chance_is_told_as_it_is() {
    let trials = number("RUNJOB_TRIALS").unwrap_or(2_000);
    let tally = in_process(seeds(trials).map(Trial::drawn));
    println!("{tally}");
    assert!(tally.count(NAIVE_DUPLICATES) > 0);
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

/// Carries trials out on emulators of this process, one for each processor, on paused clocks.
fn in_process(trials: impl Iterator<Item = Trial> + Send) -> Tally {
    let trials = Mutex::new(trials);
    let work = || {
        let mut runtime = runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let emulator = emulator(false).await;
            let (ours, naive) = (Stage::in_process(&emulator, OURS), Stage::in_process(&emulator, NAIVE));
            let mut tally = Tally::default();
            loop {
                let batch: Vec<_> = trials.lock().expect("no panic").by_ref().take(BATCH).collect();
                if batch.is_empty() {
                    return tally;
                }
                let records = carry_out(&ours, &naive, batch).await;
                tally += judged(records, &started(&emulator, OURS).await, &started(&emulator, NAIVE).await);
                emulator.reset();
            }
        })
    };
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            tally += worker.join().expect("every trial is told as it is");
        }
    });
    tally
}

/// What came of one trial, before it is compared.
struct Record {
    trial: Trial,
    told: Vec<Told>,
    found: Found,
    naive_is_told: bool,
}

/// Carries trials out, one after the other: with our client, and then with the naive one.
async fn carry_out(ours: &Stage<'_>, naive: &Stage<'_>, trials: Vec<Trial>) -> Vec<Record> {
    let mut records = Vec::new();
    for trial in trials {
        // The pauses of our client are drawn on this thread.
        fastrand::seed(trial.seed);
        let (told, found) = ours.client(&trial).await;
        let naive_is_told = naive.naive_client(&trial).await;
        records.push(Record { trial, told, found, naive_is_told });
    }
    records
}

/// Compares what was told with what has started.
fn judged(records: Vec<Record>, ours: &Starts, naive: &Starts) -> Tally {
    let mut tally = Tally::default();
    for Record { trial, told, found, naive_is_told } in records {
        let of = |starts: &Starts| starts.get(&trial.seed).cloned().unwrap_or_default();
        let started = of(ours);
        if let Err(wrong) = judge(&told, &started, &found) {
            panic!("{wrong}\n{trial:?}\ntold: {told:?}, {found:?}\nstarted: {started:?}");
        }
        tally += Tally::of(&told, started.len(), naive_is_told, of(naive).len());
    }
    tally
}
