//! The emulator under load: `cargo bench --bench emulator`.
//!
//! Everything happens in this one process, over loopback, on two threads that callers and emulator share: a call costs
//! here what both ends of it cost. Prints what it measures beside what is claimed. A count that is wrong fails the run; a
//! time never does, because the machine may be busy with something else.

mod api;
mod backend;
mod claims;
mod executions;
mod process;
mod rates;
mod waiters;

use std::{error::Error as StdError, process::ExitCode};

use self::claims::Claims;

type Result<T> = std::result::Result<T, Box<dyn StdError + Send + Sync>>;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<ExitCode> {
    process::open_many_files()?;
    let mut claims = Claims::default();
    // First, while the process has nothing else in its memory.
    executions::measure(&mut claims).await?;
    waiters::measure(&mut claims).await?;
    rates::measure(&mut claims).await?;
    backend::measure(&mut claims).await?;
    claims.print();
    Ok(claims.exit_code())
}
