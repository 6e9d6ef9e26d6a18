//! The neutral server: answers both protocols with canned bytes, on one thread. Keeps no state but its counters, so that
//! every arm meets the same work.

mod http1;
mod http2;
mod socket;

use std::{
    io::{self, BufRead as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
};

use self::socket::Counted;
use super::{
    canned::{Answers, Body},
    distance::delay,
    error::{Error, Result},
};

/// The line that asks for the counters.
pub(crate) const COUNTERS: &str = "counters";

/// The line that asks for an address that is further away, with the round-trip time in microseconds behind it.
pub(crate) const DISTANCE: &str = "distance";

/// What a server has seen since it was last asked, or what it has seen of one arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Connections accepted.
    pub connections: u64,
    /// Requests, of either protocol.
    pub requests: u64,
    /// The most requests that were open at the same time.
    pub peak: u64,
    /// Bytes from the client.
    pub received: u64,
    /// Bytes to the client.
    pub sent: u64,
}

/// Counts as the server goes.
#[derive(Debug, Default)]
struct Tally {
    connections: AtomicU64,
    requests: AtomicU64,
    open: AtomicU64,
    peak: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

impl Tally {
    /// What was counted since the last time.
    fn take(&self) -> Counters {
        Counters {
            connections: self.connections.swap(0, Relaxed),
            requests: self.requests.swap(0, Relaxed),
            peak: self.peak.swap(self.open.load(Relaxed), Relaxed),
            received: self.received.swap(0, Relaxed),
            sent: self.sent.swap(0, Relaxed),
        }
    }

    /// Counts a request until what is returned is dropped.
    fn open(self: &Arc<Self>) -> Open {
        self.requests.fetch_add(1, Relaxed);
        self.peak.fetch_max(self.open.fetch_add(1, Relaxed) + 1, Relaxed);
        Open(Arc::clone(self))
    }
}

/// A request that is being answered.
struct Open(Arc<Tally>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// Serves as the child process of [`Site::launch`](super::Site::launch): prints its address, answers the parent's
/// questions, and ends when standard input does.
///
/// # Errors
/// When no port of this machine can be had.
pub fn serve() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        writeln!(io::stdout(), "{address}")?;
        let tally = Arc::new(Tally::default());
        let (counted, runtime) = (Arc::clone(&tally), Handle::current());
        thread::spawn(move || {
            // A parent that dies closes the pipe.
            let _ = answer_questions(&counted, &address, &runtime);
            std::process::exit(0);
        });
        accept(listener, tally).await
    })
}

fn answer_questions(tally: &Tally, address: &str, runtime: &Handle) -> Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        let answer = match line.split_once(' ') {
            Some((DISTANCE, micros)) => {
                let round_trip = Duration::from_micros(micros.parse().unwrap_or_default());
                runtime.block_on(delay(address, round_trip))?
            }
            _ => serde_json::to_string(&tally.take())?,
        };
        writeln!(io::stdout(), "{answer}")?;
    }
    Ok(())
}

async fn accept(listener: TcpListener, tally: Arc<Tally>) -> Result<()> {
    let service = Service { answers: Answers::new()?, tally };
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        service.tally.connections.fetch_add(1, Relaxed);
        tokio::spawn(service.clone().connection(socket));
    }
}

/// What every connection shares.
#[derive(Clone)]
struct Service {
    answers: Answers,
    tally: Arc<Tally>,
}

impl Service {
    /// The client gives up a connection when it is done; there is nothing to report.
    async fn connection(self, socket: TcpStream) {
        let is_http2 = speaks_http2(&socket).await;
        let socket = Counted::new(socket, Arc::clone(&self.tally));
        match is_http2 {
            Ok(true) => http2::serve(socket, self).await,
            Ok(false) => http1::serve(socket, self).await,
            Err(_) => {}
        }
    }

    /// The answer to a path of either protocol.
    fn answer(&self, path: &str) -> &Body {
        if path.ends_with("/ListExecutions") || path.ends_with("/executions") {
            &self.answers.list
        } else if path.ends_with("/GetExecution") || path.contains("/executions/") {
            &self.answers.execution
        } else {
            &self.answers.operation
        }
    }
}

/// Whether the first bytes are those of HTTP/2.
async fn speaks_http2(socket: &TcpStream) -> io::Result<bool> {
    let mut first = [0; 3];
    loop {
        match socket.peek(&mut first).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            3 => return Ok(&first == b"PRI"),
            seen if !b"PRI".starts_with(&first[..seen]) => return Ok(false),
            // It is readable all the time: the rest is on its way.
            _ => tokio::task::yield_now().await,
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(cause: serde_json::Error) -> Self {
        Self::new(cause.to_string())
    }
}

/// A server in this process, for tests.
#[cfg(test)]
pub(crate) async fn spawn() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(accept(listener, Arc::default()));
    address
}
