//! How many connections and processes of tasks fit into the files that this process may open. Changes nothing about it.

use rustix::process::{Resource, getrlimit};

/// Files for what is neither a connection nor a task: the listener, the store, the runtime, the standard streams, and
/// what is open for a moment, such as the pipes of a process that is being started.
const RESERVED: u64 = 32;
/// One in this many of the other files is for connections, so that neither callers nor tasks use up all of them.
const CONNECTION_SHARE: u64 = 4;
/// Connections at a time. A client needs one, or a few; many more would hold memory for nothing.
const MAX_CONNECTIONS: u64 = 512;
/// What a process of a task takes: both of its outputs, and the handle that tells of its end.
const FILES_PER_PROCESS: u64 = 3;
/// Processes at a time: no execution has more tasks.
const MAX_PROCESSES: u64 = 10_000;

/// How much a process of this many files has room for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Room {
    pub(crate) connections: usize,
    pub(crate) processes: usize,
}

impl Room {
    pub(crate) fn of_this_process() -> Self {
        Self::within(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
    }

    fn within(files: u64) -> Self {
        let files = files.saturating_sub(RESERVED);
        let connections = (files / CONNECTION_SHARE).clamp(1, MAX_CONNECTIONS);
        let processes = (files.saturating_sub(connections) / FILES_PER_PROCESS).clamp(1, MAX_PROCESSES);
        let count = |count| usize::try_from(count).unwrap_or(usize::MAX);
        Self { connections: count(connections), processes: count(processes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_shared_between_connections_and_processes() {
        assert_eq!(Room::within(256), Room { connections: 56, processes: 56 });
        assert_eq!(Room::within(1024), Room { connections: 248, processes: 248 });
        assert_eq!(Room::within(20_000), Room { connections: 512, processes: 6485 });
        assert_eq!(Room::within(u64::MAX), Room { connections: 512, processes: 10_000 });
    }

    #[test]
    fn there_is_room_for_one_of_each_at_least() {
        for files in [0, 1, 32, 36] {
            assert_eq!(Room::within(files), Room { connections: 1, processes: 1 }, "{files}");
        }
    }

    #[test]
    fn what_there_is_room_for_fits_into_the_files() {
        for files in (36..5000).chain([65_536, 1_048_576]) {
            let Room { connections, processes } = Room::within(files);
            let taken = RESERVED + connections as u64 + FILES_PER_PROCESS * processes as u64;
            assert!(taken <= files, "{taken} of {files}");
        }
    }
}
