//! The connections to one server: which one the next call takes, and when there is to be another. Knows no request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tonic::transport::Channel;

/// How many calls a connection is given before another one is opened: what RFC 9113 6.5.2 asks every peer to allow.
/// More would wait inside of it for a place.
const CALLS_PER_CONNECTION: usize = 100;

/// A connection, for as long as a call is made over it.
#[derive(Debug)]
pub(super) struct Lease(Arc<Channel>);

impl Lease {
    /// The connection, to call.
    pub(super) fn channel(&self) -> Channel {
        Channel::clone(&self.0)
    }
}

/// Connections that are opened as the calls need them, up to a number.
///
/// The first that has room is taken, so that those which were opened for a rush fall idle after it; the server closes
/// them when it likes, and they come back when they are needed again.
pub(super) struct Pool {
    connect: Box<dyn Fn() -> Channel + Send + Sync>,
    most: usize,
    /// A connection has as many calls as it has owners beside this list.
    connections: Mutex<Vec<Arc<Channel>>>,
}

impl Pool {
    pub(super) fn new(connect: impl Fn() -> Channel + Send + Sync + 'static, most: usize) -> Self {
        Self { connect: Box::new(connect), most, connections: Mutex::default() }
    }

    /// How many calls find a place at the same time.
    pub(super) fn places(&self) -> usize {
        self.most.saturating_mul(CALLS_PER_CONNECTION)
    }

    /// A connection for one call. It connects when it is used.
    pub(super) fn lease(&self) -> Lease {
        let mut connections = self.connections();
        if let Some(free) = connections.iter().find(|connection| calls(connection) < CALLS_PER_CONNECTION) {
            return Lease(Arc::clone(free));
        }
        match connections.iter().min_by_key(|connection| calls(connection)) {
            Some(least) if connections.len() >= self.most => Lease(Arc::clone(least)),
            _ => {
                let new = Arc::new((self.connect)());
                connections.push(Arc::clone(&new));
                Lease(new)
            }
        }
    }

    /// Gives calls to come another connection than this one. Calls on this one go on.
    pub(super) fn replace(&self, lease: &Lease) {
        // Many calls find the same connection dead; the first of them replaces it.
        if let Some(dead) = self.connections().iter_mut().find(|connection| Arc::ptr_eq(connection, &lease.0)) {
            *dead = Arc::new((self.connect)());
        }
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Arc<Channel>>> {
        // Nothing panics while it is held.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn calls(connection: &Arc<Channel>) -> usize {
    Arc::strong_count(connection) - 1
}
