//! One HTTP/2 connection: its settings, the task that drives it, and when it is given up. Knows no request.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{self, BoxFuture, FutureExt as _, Shared};
use h2::{Ping, PingPong, client};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::wire::{Ledger, Wire};
use crate::error::{Error, ErrorKind, Result};

/// How many calls a connection is given: what RFC 9113 6.5.2 asks every peer to allow.
pub(super) const CALLS: usize = 100;

/// Windows that let a list of 64 MiB come in as fast as the wire has it, and bound what one answer, and one connection,
/// may hold in memory unread.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Metadata that gRPC servers send is limited to 8 KiB by most of them; a status with details may be larger.
const HEADER_LIST: u32 = 64 << 10;

/// When a silent peer is asked for a sign of life, and how long it has for that: under the minutes after which load
/// balancers forget a silent flow, and not so often that a server takes it for abuse (gRFC A8).
const SILENCE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a peer in plaintext has to show what it is before the first request is sent: a server that speaks something
/// else than HTTP/2 answers to the preface at once.
const INTRODUCTION: Duration = Duration::from_millis(200);

/// How long a connection may take to say goodbye to a peer that does not read.
const GOODBYE: Duration = Duration::from_secs(1);

/// Makes a connection.
pub(super) type Connect = Box<dyn Fn(Arc<Notify>) -> BoxFuture<'static, Result<Opened>> + Send + Sync>;

/// A connection that is being opened by the first call that needs it, or is open.
pub(super) struct Connection {
    opening: Shared<BoxFuture<'static, Result<Opened>>>,
    calls: AtomicUsize,
    freed: Arc<Notify>,
}

/// An open connection. It is closed when this and all its calls are gone.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) requests: client::SendRequest<Bytes>,
    pub(super) ledger: Arc<Ledger>,
    /// Tells the driver that the connection is no longer wanted.
    _wanted: Arc<oneshot::Sender<()>>,
}

impl Connection {
    /// A connection that opens when it is first used; `freed` is notified when it has room again.
    pub(super) fn new(connect: &Connect, freed: Arc<Notify>) -> Self {
        Self { opening: connect(Arc::clone(&freed)).shared(), calls: AtomicUsize::new(0), freed }
    }

    /// The open connection, if it is open.
    pub(super) fn opened(&self) -> Option<&Opened> {
        self.opening.peek().and_then(|opened| opened.as_ref().ok())
    }

    /// Opens the connection, together with the other calls that wait for it.
    pub(super) async fn open(&self) -> Result<()> {
        self.opening.clone().await.map(drop)
    }

    /// Whether it takes no new calls.
    pub(super) fn is_retired(&self) -> bool {
        self.opening.peek().is_some_and(|opened| opened.as_ref().map_or(true, |opened| opened.ledger.is_retired()))
    }

    /// Whether another call finds room: as many as the peer allows do, and one that waits for the peer to allow any.
    pub(super) fn has_room(&self) -> bool {
        let allowed = self.opened().map_or(CALLS, |opened| opened.requests.current_max_send_streams());
        self.calls.load(Relaxed) < allowed.clamp(1, CALLS)
    }

    /// Takes a slot for a call.
    pub(super) fn enter(&self) {
        self.calls.fetch_add(1, Relaxed);
    }

    /// Frees the slot of a call.
    pub(super) fn leave(&self) {
        self.calls.fetch_sub(1, Relaxed);
        self.freed.notify_one();
    }
}

/// Speaks HTTP/2 over a socket. A peer that was not found to speak it, by ALPN, is given a moment to show what it is.
///
/// # Errors
/// [`NotGrpc`](ErrorKind::NotGrpc) when it shows that it speaks something else.
pub(super) async fn over<S>(socket: S, is_known: bool, freed: Arc<Notify>) -> Result<Opened>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (wire, ledger, peer) = Wire::new(socket, freed);
    let broken = |cause| Error::new(ErrorKind::Unreachable, format!("no connection to the service: {cause}"));
    let (requests, connection) = settings().handshake(wire).await.map_err(broken)?;
    let (wanted, unwanted) = oneshot::channel();
    tokio::spawn(watch(connection, Arc::clone(&ledger), unwanted));
    if !is_known {
        // A peer that says nothing at all may be one that waits for a request.
        let _ = timeout(INTRODUCTION, peer).await;
        if let Some(what) = ledger.foreign() {
            return Err(Error::new(ErrorKind::NotGrpc, what));
        }
    }
    Ok(Opened { requests, ledger, _wanted: Arc::new(wanted) })
}

fn settings() -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_LIST);
    builder
}

/// Watches over the task that drives the connection, and ends it when the peer falls silent or the connection is no longer
/// wanted. A task of its own: the one that drives it runs for every frame, and has no timer to look at.
async fn watch<S>(
    mut connection: client::Connection<Wire<S>, Bytes>,
    ledger: Arc<Ledger>,
    unwanted: oneshot::Receiver<()>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let pings = connection.ping_pong();
    let retires = Retires(Arc::clone(&ledger));
    let driver = tokio::spawn(async move {
        let _retires = retires;
        // h2 tells the calls how it ended.
        let _ = connection.await;
    });
    let end = driver.abort_handle();
    let silent = pin!(keep_alive(pings, &ledger));
    let unneeded = pin!(async {
        // The sender sends nothing: it goes when the last call has gone.
        let _ = unwanted.await;
        sleep(GOODBYE).await;
    });
    future::select(driver, future::select(silent, unneeded)).await;
    end.abort();
}

/// Returns when the peer owes an answer and gives no sign of life (gRFC A8).
async fn keep_alive(pings: Option<PingPong>, ledger: &Ledger) {
    let Some(mut pings) = pings else { return future::pending().await };
    loop {
        let due = ledger.heard() + SILENCE;
        if Instant::now() < due {
            sleep_until(due).await;
        } else if !ledger.is_awaited() {
            sleep(SILENCE).await;
        } else if !matches!(timeout(PATIENCE, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
            return ledger.give_up("the server is silent: a PING timed out after 20 s");
        }
    }
}

/// Retires a connection when its driver ends, with the runtime at the latest.
struct Retires(Arc<Ledger>);

impl Drop for Retires {
    fn drop(&mut self) {
        self.0.retire();
    }
}
