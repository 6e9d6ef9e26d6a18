//! Ctrl-C, SIGTERM and SIGHUP, as something to wait for.

use std::{
    fs,
    future::poll_fn,
    io,
    task::{Context, Poll},
};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Whether this process is asked to end. Once made, the signals no longer end it by themselves, and neither does a
/// write beyond the limit of a file's size (SIGXFSZ), which becomes an error of that write.
#[derive(Debug)]
pub(super) struct Interrupt {
    asked: Vec<Signal>,
    _file_too_large: Signal,
}

impl Interrupt {
    /// Listens from now on.
    pub(super) fn listen() -> io::Result<Self> {
        let mut asked = vec![signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        if !hangup_is_ignored() {
            asked.push(signal(SignalKind::hangup())?);
        }
        let file_too_large = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
        Ok(Self { asked, _file_too_large: signal(file_too_large)? })
    }

    /// Returns at the next signal.
    pub(super) async fn next(&mut self) {
        poll_fn(|context| self.poll(context)).await;
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let arrived = self.asked.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
        if arrived { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Whether this process was started to survive its terminal, as by nohup. Only Linux tells.
fn hangup_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Bit 0 is signal 1, which SIGHUP is.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}
