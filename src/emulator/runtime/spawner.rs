//! Starts processes, one after the other, as soon as the system has files, processes and memory for them.
//!
//! It has a thread of its own: waiting must not hold up the runtime, and what that thread gives up for its children stays
//! with the rest of the emulator. Knows nothing of tasks.

use std::{
    io,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use rustix::io::Errno;
use tokio::{process::Command, runtime::Handle, sync::oneshot};

use super::process::{Groups, Process};

/// How long to let things be when there is nothing left to start a process with: the next one ends mostly within that.
const PAUSE: Duration = Duration::from_millis(20);

/// The way to the thread, which ends with it.
#[derive(Debug)]
pub(crate) struct Spawner(mpsc::Sender<Errand>);

/// Processes that are to be started together.
#[derive(Debug)]
struct Errand {
    commands: Vec<Command>,
    groups: Arc<Groups>,
    runtime: Handle,
    reply: oneshot::Sender<Result<Vec<Process>, String>>,
}

impl Spawner {
    pub(crate) fn start() -> io::Result<Self> {
        let (errands, queue) = mpsc::channel::<Errand>();
        thread::Builder::new().name("runjob-spawner".to_owned()).spawn(move || {
            forgo_looking();
            queue.into_iter().for_each(Errand::carry_out);
        })?;
        Ok(Self(errands))
    }

    /// Starts all of these processes, or none, in the order of the calls. Dropping the future takes the call back, and kills what was
    /// started for it.
    pub(super) fn spawn(
        &self,
        commands: Vec<Command>,
        groups: &Arc<Groups>,
    ) -> impl Future<Output = Result<Vec<Process>, String>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let errand = Errand { commands, groups: Arc::clone(groups), runtime: Handle::current(), reply };
        // A thread that is gone drops the reply, too.
        _ = self.0.send(errand);
        async { answer.await.unwrap_or_else(|_| Err("the emulator has stopped".to_owned())) }
    }
}

impl Errand {
    fn carry_out(mut self) {
        let _runtime = self.runtime.enter();
        let mut started = Vec::new();
        for command in &mut self.commands {
            let process = loop {
                if self.reply.is_closed() {
                    return;
                }
                match self.groups.spawn(command) {
                    Err(error) if is_shortage(&error) => thread::sleep(PAUSE),
                    process => break process,
                }
            };
            match process {
                Ok(process) => started.push(process),
                Err(error) => {
                    let program = command.as_std().get_program().to_string_lossy();
                    _ = self.reply.send(Err(format!("{program}: {error}")));
                    return;
                }
            }
        }
        // A caller that is gone leaves the processes to be dropped.
        _ = self.reply.send(Ok(started));
    }
}

/// Whether the system has had too little of something, which comes back when a process ends.
fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| shortages.contains(&errno))
}

/// Takes from what this thread starts the rights by which root looks into processes that are closed to others
/// (capabilities(7)): that of tracing, and those of measuring and of administration, which the kernel takes for it in part.
#[cfg(target_os = "linux")]
fn forgo_looking() {
    use rustix::thread::{CapabilitySet, capabilities, remove_capability_from_bounding_set, set_capabilities};
    const LOOKING: [CapabilitySet; 3] = [CapabilitySet::SYS_PTRACE, CapabilitySet::PERFMON, CapabilitySet::SYS_ADMIN];
    for right in LOOKING {
        // Without the right to take it away there is nothing to take.
        _ = remove_capability_from_bounding_set(right);
    }
    if let Ok(mut sets) = capabilities(None) {
        for set in [&mut sets.effective, &mut sets.permitted, &mut sets.inheritable] {
            LOOKING.into_iter().for_each(|right| set.remove(right));
        }
        _ = set_capabilities(None, sets);
    }
}

/// Elsewhere there are no such rights.
#[cfg(not(target_os = "linux"))]
fn forgo_looking() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_files_processes_or_memory_is_waited_out_and_nothing_else() {
        for errno in [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            assert!(is_shortage(&errno.into()), "{errno}");
        }
        for errno in [Errno::NOENT, Errno::ACCESS, Errno::TOOBIG, Errno::NOEXEC] {
            assert!(!is_shortage(&errno.into()), "{errno}");
        }
        assert!(!is_shortage(&io::Error::other("the emulator has stopped")));
    }
}
