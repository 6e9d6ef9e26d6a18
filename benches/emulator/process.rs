//! What the system knows of this process: its memory and its processor time.

use std::{fs, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Bytes that are in memory now. Only Linux tells.
pub(crate) fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// What all threads have used so far.
pub(crate) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.try_into().unwrap_or_default()
}
