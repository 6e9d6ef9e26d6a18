//! What waits cost, and how soon they learn of the end: `cargo bench --bench waits`, with `-- --small` for a short run.
//!
//! Prints three tables: ten thousand waits at the same time over loopback; the requests for many executions of one job, with
//! and without sharing; and our waits beside the poll schedules of other clients. A count that is wrong fails the run; a
//! time never does, because the machine may be busy with something else.

#[path = "../emulator/claims.rs"]
mod claims;
mod crowd;
mod ends;
mod lag;
#[path = "../emulator/process.rs"]
mod process;
mod schedule;
mod service;
mod sharing;
mod simulated;

use std::{env, error::Error as StdError, process::ExitCode, time::Duration};

use cap::Cap;

use self::{claims::Claims, service::Times};

type Result<T> = std::result::Result<T, Box<dyn StdError + Send + Sync>>;

/// Counts what is allocated: what a wait holds on to is seen at once, and freed memory that stays with the process is not.
#[global_allocator]
static MEMORY: Cap<std::alloc::System> = Cap::new(std::alloc::System, usize::MAX);

/// Where everything random here comes from.
const SEED: u64 = 20_261_121;

/// How much of everything.
struct Sizes {
    crowd: usize,
    times: Times,
    sharing: &'static [usize],
    jobs: usize,
}

const FULL: Sizes = Sizes {
    crowd: 10_000,
    times: Times { still: Duration::from_secs(20), span: Duration::from_secs(60) },
    sharing: &[1, 10, 100, 1_000, 10_000],
    jobs: 200,
};
const SMALL: Sizes = Sizes {
    crowd: 300,
    times: Times { still: Duration::from_secs(5), span: Duration::from_secs(5) },
    sharing: &[1, 10, 100],
    jobs: 50,
};

fn main() -> Result<ExitCode> {
    let is_given = |flag| env::args().any(|given| given == flag);
    if is_given(service::FLAG) {
        return service::serve();
    }
    process::open_many_files()?;
    let sizes = if is_given("--small") { SMALL } else { FULL };
    println!("Seed {SEED}\n");
    let mut claims = Claims::default();
    crowd::measure(sizes.crowd, sizes.times, &mut claims)?;
    sharing::measure(sizes.sharing, &mut claims)?;
    lag::measure(sizes.jobs, &mut claims)?;
    claims.print();
    Ok(claims.exit_code())
}
