//! Ctrl-D on a terminal, as something to wait for: it leaves what is waited for running.
//!
//! The terminal stays in the mode that it is in, which makes of Ctrl-D the end of the input: nothing has to be put back,
//! however this process ends, and what is typed ahead for the shell stays there.

use std::{
    future::pending,
    io::{self, IsTerminal as _, Stdin},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{ioctl_fionread, read},
    process::getpgrp,
    termios::tcgetpgrp,
};
use tokio::time::sleep;

/// How often it is looked for. A terminal is shared with the shell, so that it cannot be made non-blocking and waited for.
const OFTEN: Duration = Duration::from_millis(100);

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The key, where it can be typed.
#[derive(Debug)]
pub(super) struct LeaveKey(Option<Stdin>);

impl LeaveKey {
    /// Looks for it from now on if this is wanted, and stdin is a terminal.
    pub(super) fn listen(is_wanted: bool) -> Self {
        Self(Some(io::stdin()).filter(|stdin| is_wanted && stdin.is_terminal()))
    }

    /// Whether there is somebody who may type it.
    pub(super) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// Returns when it is typed.
    pub(super) async fn typed(&mut self) {
        let Some(stdin) = &self.0 else { return pending().await };
        while !is_at_end(stdin) {
            sleep(OFTEN).await;
        }
    }
}

/// Takes the end of the input, if that is what was typed. A job in the background must not read, and a terminal that is
/// gone has no foreground.
fn is_at_end(stdin: &Stdin) -> bool {
    let is_readable = || poll(&mut [PollFd::new(stdin, PollFlags::IN)], Some(&AT_ONCE)) == Ok(1);
    let is_in_front = || tcgetpgrp(stdin).is_ok_and(|group| group == getpgrp());
    // Only Linux tells lines from an end; elsewhere a line is read to find out.
    let has_lines = || cfg!(target_os = "linux") && ioctl_fionread(stdin) != Ok(0);
    is_readable() && is_in_front() && !has_lines() && read(stdin, &mut [0_u8; 512]) == Ok(0)
}
