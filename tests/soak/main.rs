//! The client under trouble for as long as anybody likes: nothing is lost, nothing is doubled, and nothing grows.
//!
//! `RUNJOB_SOAK_MINUTES=20 cargo test --profile bench --test soak -- --ignored --nocapture`; `RUNJOB_SOAK_SEED` draws other
//! faults. What is checked, and what it does not show, is in docs/trials.md.

mod audit;
mod book;
mod chaos;
mod load;
#[path = "../program.rs"]
mod program;
mod proxy;
mod server;
mod vitals;

use std::{
    env,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, interval, timeout},
};

use self::{
    audit::Unknown,
    book::Book,
    chaos::{Chaos, Tally},
    proxy::Proxy,
    server::Server,
    vitals::Sample,
};

const MINUTE: Duration = Duration::from_secs(60);
/// Between two lines of progress, in seconds.
const LINE: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes minutes; docs/trials.md says how to run it"]
async fn a_client_loses_nothing_doubles_nothing_and_grows_by_nothing_however_long_it_is_disturbed() {
    let time = MINUTE * setting("RUNJOB_SOAK_MINUTES").max(1);
    let seed = setting("RUNJOB_SOAK_SEED");
    let mut random = fastrand::Rng::with_seed(seed.into());
    println!("{} minutes with seed {seed}", time.as_secs() / 60);

    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path()).await;
    let proxy = Proxy::start(server.address()).await;
    let clients = [proxy.address(), proxy.address(), server.address()];
    let book = Arc::new(Book::new(dir.path(), clients.len(), server.pid()));
    let (stop, stopped) = watch::channel(false);
    let callers = load::begin(&clients, &book, &mut random, &stopped).await;
    // Twice in a minute, if there is no more than that.
    let life = MINUTE.min(time / 3);
    let chaos = Chaos { server, proxy, book: Arc::clone(&book), random, life };
    let tally = Tally::default();
    let chaos = tokio::spawn(chaos.rage(Arc::clone(&tally), stopped));

    let (callers, samples) = look_on(time, callers, &book, &tally).await;
    stop.send_replace(true);
    let server = chaos.await.expect("the chaos goes on");
    let ended = timeout(load::HANGS, callers.join_all()).await;
    assert!(ended.is_ok(), "some callers never come to their end");
    let unknown = audit::audit(&server, &book).await;
    report(&book, &tally, unknown, &samples);
}

fn setting(name: &str) -> u32 {
    env::var(name).map_or(1, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

/// Measures once a second and says how things are, until the time is over or somebody fails.
async fn look_on(time: Duration, mut callers: JoinSet<()>, book: &Book, tally: &Tally) -> (JoinSet<()>, Vec<Sample>) {
    let began = Instant::now();
    let mut second = interval(Duration::from_secs(1));
    let mut samples = Vec::with_capacity(time.as_secs() as usize + 1);
    for tick in 1.. {
        second.tick().await;
        if let Some(ended) = callers.try_join_next() {
            ended.expect("a caller goes on");
        }
        samples.extend(Sample::take(book.server(), book.counted("starts")));
        if tick % LINE == 0 {
            progress(began.elapsed(), book, tally, samples.last());
        }
        if began.elapsed() >= time {
            break;
        }
    }
    (callers, samples)
}

fn progress(elapsed: Duration, book: &Book, tally: &Tally, sample: Option<&Sample>) {
    let faults: u64 = tally.lock().unwrap_or_else(PoisonError::into_inner).values().sum();
    let unknown = book.counted("unknown ends without a key") + book.counted("unknown ends with a key");
    print!(
        "{:>5} s  {:>6} starts  {:>6} ends  {:>5} unknown  {:>6} faults",
        elapsed.as_secs(),
        book.counted("starts"),
        book.counted("ends"),
        unknown,
        faults
    );
    if let Some(Sample { client, server, tasks, .. }) = sample {
        let server = server.unwrap_or_default();
        print!("  client {} KiB, {} files, {tasks} tasks", client.memory, client.files);
        print!("  emulator {} KiB, {} files", server.memory, server.files);
    }
    println!();
}

fn report(book: &Book, tally: &Tally, unknown: Unknown, samples: &[Sample]) {
    println!("\nfaults");
    for (name, count) in &*tally.lock().unwrap_or_else(PoisonError::into_inner) {
        println!("{count:>8}  {name}");
    }
    println!("\ncalls");
    for (name, count) in book.counts() {
        println!("{count:>8}  {name}");
    }
    println!("{:>8}  of the unknown ends without a key had started, {} had not", unknown.started, unknown.not_started);
    println!("{:>8.1}  s was the longest wait", book.longest_wait().as_secs_f64());
    let mut recoveries = book.recoveries();
    recoveries.sort_unstable();
    let longest = recoveries.last().copied().unwrap_or_default();
    let median = recoveries.get(recoveries.len() / 2).copied().unwrap_or_default();
    println!(
        "{:>8.3}  s from a restart to a client's next answer at the most, {:.3} s in the middle, of {}",
        longest.as_secs_f64(),
        median.as_secs_f64(),
        recoveries.len()
    );
    println!("\nmedians of each quarter");
    let Some(quarters) = vitals::quarters(samples) else {
        return println!("SKIPPED: this system does not tell what a process holds");
    };
    for quarter in &quarters {
        let vitals::Quarter { client, server, tasks, .. } = quarter;
        print!("  client {:>7} KiB {:>4} files {tasks:>4} tasks", client.memory, client.files);
        println!("  emulator {:>7} KiB {:>4} files", server.memory, server.files);
    }
    vitals::check(&quarters);
}
