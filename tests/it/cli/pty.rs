//! A pseudo-terminal: what a terminal emulator has of it, and what a program has.

use std::fs::{File, OpenOptions};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Its two ends. Reading from the master fails once no program has the other end open.
pub(super) struct Pty {
    pub(super) master: File,
    pub(super) slave: File,
    /// The path of the slave.
    pub(super) name: String,
}

impl Pty {
    pub(super) fn open() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal");
        let name = ptsname(&master, Vec::new()).expect("a name").into_string().expect("Unicode");
        let slave = OpenOptions::new().read(true).write(true).open(&name).expect("the terminal");
        Self { master: master.into(), slave, name }
    }
}
