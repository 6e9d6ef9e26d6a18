//! All connections of a port: how many there may be, and which one has to go when there is no room.
//!
//! On loopback all callers share one address, and a port does not identify its owner. So a peer is a connection here. No
//! connection is refused: when there is no room, the one that has been idle the longest is closed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, time::Instant};

use super::line::Line;

/// Bytes of answers that all connections together may leave unread. With what the answers were made from, this keeps the
/// process below 200 MB whatever its callers do.
const MAX_UNREAD: usize = 64 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Crowd {
    places: usize,
    members: Mutex<Members>,
    /// Told when a connection is gone.
    left: Notify,
}

#[derive(Debug, Default)]
struct Members {
    lines: BTreeMap<u64, Line>,
    next: u64,
    unread: usize,
}

/// What a connection is busy with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// Calls that have come in and are not answered.
    pub(super) calls: usize,
    /// When a call has last come in, or was answered; before, when the connection was made.
    pub(super) used: Instant,
    /// Bytes of answers that the other side has not taken.
    pub(super) unread: usize,
    /// When it has last taken some, or the first of them came up.
    pub(super) taken: Instant,
    /// Whether it is ended already, and only has to go.
    pub(super) given_up: bool,
}

impl Crowd {
    /// Room for this many connections at a time.
    pub(crate) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { places, members: Mutex::default(), left: Notify::new() })
    }

    /// A new connection.
    pub(super) fn enter(self: &Arc<Self>) -> Line {
        let mut members = self.lock();
        let id = members.next;
        members.next += 1;
        let line = Line::new(id, Some(Arc::clone(self)));
        members.lines.insert(id, line.clone());
        line
    }

    /// The connection is gone.
    pub(super) fn leave(&self, id: u64) {
        self.lock().lines.remove(&id);
        self.left.notify_one();
    }

    /// Waits until there is room for one more connection, and sees to it that there will be: the idlest one is given up, one
    /// with calls only if there is no other.
    pub(super) async fn make_room(&self) {
        loop {
            {
                let members = self.lock();
                if members.lines.len() < self.places {
                    return;
                }
                let usages: Vec<_> = members.lines.values().map(|line| (line.usage(), line)).collect();
                let leaving = usages.iter().filter(|(usage, _)| usage.given_up).count();
                if usages.len() - leaving >= self.places {
                    let staying = usages.iter().filter(|(usage, _)| !usage.given_up);
                    let idlest = staying.min_by_key(|(usage, _)| (usage.calls > 0, usage.used));
                    idlest.into_iter().for_each(|(_, line)| line.give_up());
                }
            }
            self.left.notified().await;
        }
    }

    /// So many bytes more are unread; over the limit, those who have taken nothing for the longest time are given up.
    pub(super) fn add_unread(&self, bytes: usize) {
        let mut members = self.lock();
        members.unread += bytes;
        let usages = members.lines.values().map(|line| (line.usage(), line));
        if members.unread <= MAX_UNREAD {
            return;
        }
        let mut owing: Vec<_> = usages.filter(|(usage, _)| usage.unread > 0).collect();
        owing.sort_by_key(|(usage, _)| (!usage.given_up, usage.taken));
        let mut excess = members.unread - MAX_UNREAD;
        for (usage, line) in owing {
            line.give_up();
            excess = excess.saturating_sub(usage.unread);
            if excess == 0 {
                break;
            }
        }
    }

    pub(super) fn remove_unread(&self, bytes: usize) {
        self.lock().unread -= bytes;
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
