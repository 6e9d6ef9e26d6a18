//! The end of processes that would outlive their task or the emulator.
//!
//! A process can leave its group on purpose, and after a `kill -9` the emulator itself can end nothing. So a process is
//! recognized by the home that its task was given (where the system shows environments), and a watchdog process waits for
//! the emulator to end.

use std::{
    ffi::OsStr,
    fs, io,
    io::Write as _,
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// Reads the ids of the groups that are alive, and on EOF ends those that are left. `.` is an orderly goodbye.
const WATCH: &str = r#"
trap '' HUP INT QUIT TERM
groups=' '
while read -r word group; do
  case $word in
    +) groups="$groups$group " ;;
    -) groups="${groups%% "$group" *} ${groups#* "$group" }" ;;
    .) exit ;;
  esac
done
for group in $groups; do kill -9 -- "-$group"; done
for look in 1 2 3; do
  for file in $(grep -lsF "HOME=$1/" /proc/[0-9]*/environ); do
    process=${file#/proc/}
    kill -9 "${process%/environ}"
  done
  sleep 1
done
rm -rf -- "$1"
"#;

/// How often new survivors are looked for, since one that is being killed may just have made another.
const LOOKS: usize = 20;

/// A process that waits for the emulator to go.
#[derive(Debug)]
pub(super) struct Watchdog {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Watches over the tasks whose homes are in this directory, which goes with them.
    pub(super) fn start(homes: &Path) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WATCH, "watchdog"]).arg(homes).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.current_dir("/").process_group(0);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    pub(super) fn began(&mut self, group: i32) {
        self.tell(&format!("+ {group}\n"));
    }

    pub(super) fn ended(&mut self, group: i32) {
        self.tell(&format!("- {group}\n"));
    }

    fn tell(&mut self, line: &str) {
        if let Some(pipe) = &mut self.pipe {
            // A killed watchdog cannot be notified; the emulator itself still ends its tasks.
            _ = pipe.write_all(line.as_bytes());
        }
    }
}

impl Drop for Watchdog {
    /// The emulator ends in order: there is nothing to watch over.
    fn drop(&mut self) {
        self.tell(".\n");
        self.pipe = None;
        _ = self.child.wait();
    }
}

/// Kills all processes whose home is this directory, or one in it.
pub(super) fn kill(home: &Path) {
    for _ in 0..LOOKS {
        let found = find(home);
        if found.is_empty() {
            return;
        }
        for process in found {
            // One that is already gone is what was wanted.
            _ = kill_process(process, Signal::KILL);
        }
    }
}

/// Without `/proc`, no process can be found.
fn find(home: &Path) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    ids.filter(|id| lives_in(*id, home)).collect()
}

fn lives_in(process: Pid, home: &Path) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", process.as_raw_nonzero())).unwrap_or_default();
    let mut homes = environment.split(|byte| *byte == 0).filter_map(|variable| variable.strip_prefix(b"HOME="));
    homes.any(|value| Path::new(OsStr::from_bytes(value)).starts_with(home))
}
