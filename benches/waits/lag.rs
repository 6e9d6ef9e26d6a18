//! Jobs that end at random within a minute: how often clients ask, and how long after the end they know. Ours really wait,
//! of an emulator; of the others there is the schedule, played on the same ends.

use std::time::Duration;

use fastrand::Rng;

use crate::{
    Result, SEED,
    claims::Claims,
    ends::quantile,
    schedule::{PEERS, Peer},
    simulated::{SPAN, Way, wait_for},
};

pub(crate) fn measure(jobs: usize, claims: &mut Claims) -> Result<()> {
    println!("{jobs} jobs that end at random within {} s\n", SPAN.as_secs());
    println!("| client | polls | per job | mean lag | p95 | longest |");
    println!("|---|---|---|---|---|---|");
    let mut ends = Vec::<Duration>::new();
    for (name, way) in [
        ("ours, `wait`", Way::Each),
        ("ours, `wait` without WaitOperation", Way::EachByPolls),
        ("ours, `watch` of one job", Way::Watch),
    ] {
        let waited = wait_for(jobs, way)?;
        claims.count(format!("{name}: ended"), jobs, waited.ends.len());
        row(name, waited.asked.all(), waited.lags());
        ends = waited.ends.into_iter().map(|(end, _)| end).collect();
        ends.sort();
    }
    for peer in PEERS {
        let (polls, lags) = play(&peer, &ends);
        row(peer.name, polls, lags);
    }
    println!();
    Ok(())
}

/// How often this client polls for jobs that end then, all in all, and how late it knows of each.
fn play(peer: &Peer, ends: &[Duration]) -> (u64, Vec<Duration>) {
    let mut random = Rng::with_seed(SEED);
    let mut polls = 0;
    let lags = ends.iter().map(|end| {
        let (mut now, mut poll) = (Duration::ZERO, 0);
        loop {
            now += Duration::from_secs_f64((peer.pause)(poll, random.f64()));
            polls += 1;
            poll += 1;
            if now >= *end {
                return now - *end;
            }
        }
    });
    let lags = lags.collect();
    (polls, lags)
}

fn row(name: &str, polls: u64, mut lags: Vec<Duration>) {
    let mean = lags.iter().sum::<Duration>().as_secs_f64() / lags.len() as f64;
    let [most, longest] = [0.95, 1.0].map(|share| quantile(&mut lags, share).as_secs_f64());
    println!(
        "| {name} | {polls} | {:.1} | {mean:.2} s | {most:.2} s | {longest:.2} s |",
        polls as f64 / lags.len() as f64
    );
}
