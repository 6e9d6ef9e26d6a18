//! What no clock is needed for: instructions, allocations and writes of one call, from outside of the process. Each is the
//! difference between two runs of this program with one arm and a fixed number of calls, so that starting up does not count.

use std::{env, process::Command};

use runjob::bench::{Arm, LogicalCall};

use crate::Result;

/// Calls of the shorter run; the longer one makes twice as many.
const CALLS: usize = 400;

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Counter {
    Instructions,
    Allocations,
    Writes,
}

impl Counter {
    pub(crate) const ALL: [Self; 3] = [Self::Instructions, Self::Allocations, Self::Writes];

    /// The count of one call of this arm, with `width` in flight.
    pub(crate) fn per_call(self, arm: Arm, call: LogicalCall, width: usize, server: &str) -> Result<f64> {
        let calls = CALLS.div_ceil(width) * width;
        let total = |calls: usize| {
            let (call, width, calls) = (call.to_string(), width.to_string(), calls.to_string());
            self.total(&[
                "--server",
                server,
                "--arms",
                arm.name(),
                "--call",
                &call,
                "--in-flight",
                &width,
                "--times",
                &calls,
            ])
        };
        Ok((total(2 * calls)? - total(calls)?) / calls as f64)
    }

    /// The count of a whole run of this program.
    fn total(self, run: &[&str]) -> Result<f64> {
        let (program, arguments) = self.tool();
        let output = Command::new(program)
            .args(arguments)
            .arg(env::current_exe()?)
            .args(run)
            .output()
            .map_err(|cause| format!("{program} cannot be run: {cause}"))?;
        let report = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("{program} failed: {report}").into());
        }
        self.read(&report).ok_or_else(|| format!("{program} reported no count: {report}").into())
    }

    fn tool(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Instructions => ("valgrind", &["--tool=callgrind", "--callgrind-out-file=/dev/null"]),
            Self::Allocations => ("valgrind", &["--tool=memcheck", "--undef-value-errors=no"]),
            // A socket is written to by these; `write` wakes threads.
            Self::Writes => ("strace", &["-f", "-c", "-e", "trace=sendto,sendmsg,writev"]),
        }
    }

    fn read(self, report: &str) -> Option<f64> {
        let number = |text: &str| text.replace(',', "").parse().ok();
        match self {
            Self::Instructions => number(report.split("Collected : ").nth(1)?.split_whitespace().next()?),
            Self::Allocations => number(report.split("total heap usage: ").nth(1)?.split_whitespace().next()?),
            Self::Writes => {
                let columns = report.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
                let of_sockets = columns.filter(|columns| {
                    columns.last().is_some_and(|call| ["sendto", "sendmsg", "writev"].contains(call))
                });
                of_sockets.map(|columns| number(columns.get(3)?)).sum()
            }
        }
    }
}
