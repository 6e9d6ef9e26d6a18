//! The connections to one server: which one the next call takes, and when there is to be another. Knows no request.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use super::connection::{CALLS, Connect, Connection, Opened};
use crate::error::Result;

/// A slot on a connection, for one call.
pub(super) struct Lease(Arc<Connection>);

impl Lease {
    fn new(connection: &Arc<Connection>) -> Self {
        connection.enter();
        Self(Arc::clone(connection))
    }

    /// The connection, if it is open.
    pub(super) fn opened(&self) -> Option<&Opened> {
        self.0.opened()
    }

    /// Opens the connection.
    pub(super) async fn open(&self) -> Result<()> {
        self.0.open().await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.leave();
    }
}

/// Connections that are opened as the calls need them, up to a number.
///
/// The first that has room is taken, so that those which were opened for a rush fall idle after it; the server closes
/// them when it likes, and they come back when they are needed again. While all are full, a call waits for a slot here,
/// and never inside a connection.
pub(super) struct Pool {
    connect: Connect,
    most: usize,
    connections: Mutex<Vec<Arc<Connection>>>,
    freed: Arc<Notify>,
}

impl Pool {
    pub(super) fn new(connect: Connect, most: usize) -> Self {
        Self { connect, most, connections: Mutex::default(), freed: Arc::default() }
    }

    /// How many calls find a slot at the same time, where the server allows a hundred on each connection.
    pub(super) fn slots(&self) -> usize {
        self.most.saturating_mul(CALLS)
    }

    /// A slot for one call, as soon as there is one. Its connection is opened by its first user.
    pub(super) async fn lease(&self) -> Lease {
        loop {
            let mut freed = pin!(self.freed.notified());
            if let Some(lease) = self.free() {
                return lease;
            }
            // A slot may have become free since: listen first, and look again.
            freed.as_mut().enable();
            if let Some(lease) = self.free() {
                return lease;
            }
            freed.await;
        }
    }

    fn free(&self) -> Option<Lease> {
        // Nothing panics while it is held.
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.iter().any(|connection| connection.is_retired()) {
            // Calls on a connection that is retired go on: they own it as well.
            connections.retain(|connection| !connection.is_retired());
        }
        if let Some(free) = connections.iter().find(|connection| connection.has_room()) {
            return Some(Lease::new(free));
        }
        if connections.len() >= self.most {
            return None;
        }
        let new = Arc::new(Connection::new(&self.connect, Arc::clone(&self.freed)));
        let lease = Lease::new(&new);
        connections.push(new);
        Some(lease)
    }
}
