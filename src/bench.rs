//! The measurement of gRPC against REST, as a library.
//!
//! Ways to make the same calls, the *arms*, take turns in short rounds against one server, so that whatever else the
//! machine does meets all of them. What is compared are ratios within a round. The server answers canned bytes by default
//! and is a process of its own, so that a figure is about the client and the wire. Nothing here knows the emulator.
//!
//! ```no_run
//! use runjob::bench::{self, Plan, Site};
//!
//! # async fn doc() -> Result<(), bench::Error> {
//! let plan = Plan::default();
//! plan.check()?;
//! // This program, which serves when it is called with `--serve`: see `bench::serve`.
//! let mut command = std::process::Command::new(std::env::current_exe()?);
//! command.arg("--serve");
//! let site = Site::launch(command)?;
//! let report = bench::run(&plan, &site, &mut |_| std::ops::ControlFlow::Continue(())).await?;
//! println!("{}", report.table());
//! # Ok(()) }
//! ```

mod call;
mod caller;
mod canned;
mod distance;
mod error;
mod meter;
mod notes;
mod plan;
mod process;
mod report;
mod round;
mod run;
mod sample;
mod server;
mod stats;

pub use self::{
    call::Call,
    caller::Arm,
    error::{Error, Result},
    plan::{Pace, Plan},
    process::Site,
    report::{ArmReport, Folder, Latency, Level, Machine, Ratio, Report},
    run::{Progress, Watcher, repeat, run},
    server::{Counters, serve},
};
