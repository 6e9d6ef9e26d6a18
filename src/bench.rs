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
    call::LogicalCall,
    caller::Arm,
    error::{Error, Result},
    plan::{LoopKind, Plan},
    process::Site,
    report::{ArmReport, BenchReport, Latency, Level, MachineInfo, Ratio, ReportFolder},
    run::{BenchProgress, Watcher, repeat, run},
    server::{Counters, serve},
};

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// The files of a folder and those below, read.
    fn sources(folder: &Path) -> Vec<(String, String)> {
        let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path());
        let read = |path: std::path::PathBuf| match path.is_dir() {
            true => sources(&path),
            false => vec![(path.display().to_string(), fs::read_to_string(&path).expect("text"))],
        };
        entries.flat_map(read).collect()
    }

    #[test]
    fn the_measurement_imports_nothing_of_the_emulator_or_the_program() {
        let sources = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bench"));
        assert!(sources.len() > 20, "the files are elsewhere");
        for (file, text) in sources {
            for import in ["emulator::", "::emulator;", "{emulator", " cli::", "::cli::"] {
                assert!(!text.contains(import), "{file} has {import}");
            }
        }
    }
}
