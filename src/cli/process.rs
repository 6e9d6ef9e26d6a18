//! The program's own process, where it is an emulator: how many files it may open, and who may look into it.
//!
//! An emulator inside another program leaves that one as it is.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Prepares this process to be an emulator and nothing else: it may open as many files as the system allows, and its
/// memory and environment are closed to processes of the same user, such as its tasks.
///
/// A debugger is kept out by that as well, and there is no core dump.
pub(super) fn become_emulator() {
    let files = getrlimit(Resource::Nofile);
    // With the old limit less happens at a time.
    _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // It fails for no process.
        _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
}
