//! A peer that breaks HTTP/2, gRPC and the API in every way that can be drawn, against the client's public face.
//!
//! Each conversation is one start, with or without key, token and wait, over loopback sockets. The peer knows whether it
//! has carried the request out, and the oracle compares: "unknown" is always allowed, anything else only when it is
//! true. docs/adversary.md says which faults are drawn, and what was found.
//!
//! ```sh
//! RUNJOB_ADVERSARY_SEED=1 RUNJOB_ADVERSARY_CONVERSATIONS=250000 cargo test --profile bench --test adversary -- --nocapture
//! RUNJOB_ADVERSARY_SEED=1 RUNJOB_ADVERSARY_ONLY=4711 cargo test --test adversary client -- --nocapture
//! ```

mod bytes;
mod caller;
mod conversation;
mod draw;
mod old;
mod oracle;
mod peer;
mod script;
mod shrink;
mod wire;
mod world;

use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use self::{
    caller::Claim,
    conversation::{Held, hold},
    old::Rule,
    oracle::{Promise, Violation, judge},
    script::Script,
};

/// What is drawn unless the environment says otherwise.
const SEED: u64 = 1;
const CONVERSATIONS: u64 = 1_500;

/// How many failures of one promise are shrunk and shown.
const SHOWN: usize = 3;

fn setting(name: &str) -> Option<u64> {
    env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

#[test]
fn the_client_tells_nothing_that_is_not_true() {
    let seed = setting("RUNJOB_ADVERSARY_SEED").unwrap_or(SEED);
    if let Some(only) = setting("RUNJOB_ADVERSARY_ONLY") {
        return repeat(seed, only);
    }
    let count = setting("RUNJOB_ADVERSARY_CONVERSATIONS").unwrap_or(CONVERSATIONS);
    let begun = Instant::now();
    let tally = converse(seed, count);
    println!("seed {seed}: {count} conversations in {:.1} s", begun.elapsed().as_secs_f64());
    println!("{tally}");
    assert!(tally.broken.is_empty(), "{}", tally.report(seed));
}

/// One conversation, shown whole.
fn repeat(seed: u64, only: u64) {
    let script = draw::script(seed, only);
    let held = hold(&script);
    println!("seed {seed}, conversation {only}:\n{script}\n{:#?}\nstarted {}", held.told, held.started);
    assert_eq!(held.violation, None);
}

/// Holds so many conversations of a seed, on as many threads as there are processors.
fn converse(seed: u64, count: u64) -> Tally {
    let (next, tally) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let conversation = next.fetch_add(1, Relaxed);
                    if conversation >= count {
                        break;
                    }
                    let held = hold(&draw::script(seed, conversation));
                    tally.lock().expect("no thread panics").add(conversation, &held);
                }
            });
        }
    });
    tally.into_inner().expect("no thread panics")
}

/// What many conversations came to.
#[derive(Debug, Default)]
struct Tally {
    told: BTreeMap<&'static str, u64>,
    started: u64,
    unknown_but_started: u64,
    waits: u64,
    verdicts: u64,
    requests: usize,
    broken: BTreeMap<Promise, Vec<(u64, Violation)>>,
}

impl Tally {
    fn add(&mut self, conversation: u64, held: &Held) {
        let told = match held.told.as_ref().map(|told| &told.start) {
            Some(Claim::Started(_)) => "started",
            Some(Claim::Nothing(runjob::ErrorKind::NotStarted)) => "not started",
            Some(Claim::Nothing(runjob::ErrorKind::Rejected)) => "rejected",
            Some(Claim::Nothing(_)) => "another error, nothing sent",
            Some(Claim::Unknown) => "unknown",
            Some(Claim::Silence) | None => "nothing at all",
        };
        *self.told.entry(told).or_default() += 1;
        self.started += u64::from(held.started > 0);
        self.unknown_but_started += u64::from(told == "unknown" && held.started > 0);
        self.requests += held.world.requests();
        if let Some(waited) = held.told.as_ref().and_then(|told| told.waited.as_ref()) {
            self.waits += 1;
            self.verdicts += u64::from(waited.verdict.is_ok());
        }
        if let Some(violation) = &held.violation {
            self.broken.entry(violation.promise).or_default().push((conversation, violation.clone()));
        }
    }

    /// Each broken promise with its shortest scripts.
    fn report(&self, seed: u64) -> String {
        let mut report = String::new();
        for (promise, cases) in &self.broken {
            _ = writeln!(report, "\n{promise:?}: {} conversations", cases.len());
            for (conversation, violation) in cases.iter().take(SHOWN) {
                let smallest = shrunk(draw::script(seed, *conversation), violation.promise);
                let detail = hold(&smallest).violation.unwrap_or_else(|| violation.clone());
                _ = writeln!(report, "\nseed {seed}, conversation {conversation}: {detail}\n{smallest}");
            }
        }
        report
    }
}

/// The smallest script that breaks the same promise.
fn shrunk(script: Script, promise: Promise) -> Script {
    shrink::shrink(script, |candidate| hold(candidate).violation.is_some_and(|found| found.promise == promise))
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "told: {:?}", self.told)?;
        writeln!(f, "started: {}, of these told as unknown: {}", self.started, self.unknown_but_started)?;
        writeln!(f, "waits: {}, with a verdict: {}; requests: {}", self.waits, self.verdicts, self.requests)
    }
}

/// The adversary is worth something: with each mistake of old put back it finds a conversation that shows it.
#[test]
fn every_mistake_of_old_is_found() {
    const ENOUGH: u64 = 20_000;
    let mut open = Rule::ALL.to_vec();
    for conversation in 0..ENOUGH {
        let script = draw::script(SEED, conversation);
        let held = hold(&script);
        open.retain(|rule| {
            let violation = with_rule(*rule, &script, &held);
            if let Some(violation) = &violation {
                println!("{rule:?}: found after {} conversations: {violation}", conversation + 1);
            }
            violation.is_none()
        });
        if open.is_empty() {
            return;
        }
    }
    panic!("not found in {ENOUGH} conversations: {open:?}");
}

/// What the oracle says of a client that judges by this rule.
fn with_rule(rule: Rule, script: &Script, held: &Held) -> Option<Violation> {
    // A failure of the client itself is no find of the rule's.
    if held.violation.is_some() {
        return None;
    }
    let mut told = held.told.clone()?;
    let mut world = held.world.clone();
    let mut panics = held.panics.clone();
    if let Some(claim) = rule.claim(&told, held.seen()) {
        told.start = claim;
    }
    if rule.panics(held.seen()) {
        panics.push("the header cannot be read".to_owned());
    }
    if rule.miswrites(held.seen()) {
        world.miswritten = Some("another job".to_owned());
    }
    judge(script, Some(&told), &world, &panics)
}
