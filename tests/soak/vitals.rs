//! How much the client's process and the emulator's hold: memory, files, tasks. Only Linux tells.

use std::fs;

use tokio::runtime::Handle;

/// What one process holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Held {
    /// In KiB.
    pub(crate) memory: u64,
    pub(crate) files: u64,
}

impl Held {
    /// What this process holds, or none where the system does not tell.
    pub(crate) fn by(pid: Option<u32>) -> Option<Self> {
        let place = pid.map_or_else(|| "/proc/self".to_owned(), |pid| format!("/proc/{pid}"));
        let status = fs::read_to_string(format!("{place}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let memory = line.trim().strip_suffix(" kB")?.parse().ok()?;
        let files = fs::read_dir(format!("{place}/fd")).ok()?.count();
        Some(Self { memory, files: files as u64 })
    }
}

/// One look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) client: Held,
    /// None while it is gone.
    pub(crate) server: Option<Held>,
    pub(crate) tasks: u64,
    /// All starts until then.
    pub(crate) starts: u64,
}

impl Sample {
    pub(crate) fn take(server: Option<u32>, starts: u64) -> Option<Self> {
        let tasks = Handle::current().metrics().num_alive_tasks() as u64;
        Some(Self { client: Held::by(None)?, server: server.and_then(|pid| Held::by(Some(pid))), tasks, starts })
    }
}

/// The medians of a quarter of the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quarter {
    pub(crate) client: Held,
    pub(crate) server: Held,
    pub(crate) tasks: u64,
    pub(crate) starts: u64,
}

/// The four quarters, or none without samples.
pub(crate) fn quarters(samples: &[Sample]) -> Option<[Quarter; 4]> {
    let length = samples.len() / 4;
    let mut quarters = (0..4).map(|number| Quarter::of(&samples[number * length..(number + 1) * length]));
    if length == 0 {
        return None;
    }
    Some([quarters.next()?, quarters.next()?, quarters.next()?, quarters.next()?])
}

impl Quarter {
    fn of(samples: &[Sample]) -> Self {
        let median = |value: &dyn Fn(&Sample) -> Option<u64>| {
            let mut values: Vec<_> = samples.iter().filter_map(value).collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or_default()
        };
        Self {
            client: Held {
                memory: median(&|sample| Some(sample.client.memory)),
                files: median(&|sample| Some(sample.client.files)),
            },
            server: Held {
                memory: median(&|sample| Some(sample.server?.memory)),
                files: median(&|sample| Some(sample.server?.files)),
            },
            tasks: median(&|sample| Some(sample.tasks)),
            starts: median(&|sample| Some(sample.starts)),
        }
    }
}

/// What may be more in the last quarter than in the second: see docs/trials.md.
pub(crate) fn check(quarters: &[Quarter; 4]) {
    let [_, before, _, after] = quarters;
    let memory = before.client.memory + before.client.memory / 10 + 8 * 1024;
    assert!(after.client.memory <= memory, "the client's memory grows: {quarters:#?}");
    assert!(after.client.files <= before.client.files + 16, "the client's files grow: {quarters:#?}");
    assert!(after.tasks <= before.tasks + 24, "the client's tasks grow: {quarters:#?}");
    // The emulator keeps a thousand executions of each job; of each start, an operation and a line of the ledger, for ever.
    let kept = (after.starts - before.starts) * KEPT_OF_A_START;
    let memory = before.server.memory + before.server.memory / 10 + 16 * 1024 + kept;
    assert!(after.server.memory <= memory, "the emulator's memory grows: {quarters:#?}");
    assert!(after.server.files <= before.server.files + 32, "the emulator's files grow: {quarters:#?}");
}

/// In KiB.
const KEPT_OF_A_START: u64 = 16;
