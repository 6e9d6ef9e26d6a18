//! What every peer program does: rounds of calls when it is told to, or one start. Knows no client.
//!
//! A program is called with `HOST:PORT`. It reads lines `WIDTH MILLISECONDS` and answers each with a line of JSON: the latency of
//! every start + poll, those that failed, and the processor time of the round. With a second argument it starts once and ends:
//! `once` in plaintext without credentials, and `token` with that fixed token or `adc` with Application Default Credentials over
//! TLS, with the certificate authority of the file in `SSL_CERT_FILE`.

use std::{
    env,
    error::Error,
    io::{Write as _, stdin, stdout},
    time::{Duration, Instant},
};

use cpu_time::ProcessTime;
use tokio::task::JoinSet;

/// The job that the neutral server answers about.
pub const JOB: &str = "projects/demo/locations/us-central1/jobs/echo";

/// The outcome of a call.
pub type Answer<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A client; its clones share what it shares.
pub trait Peer: Clone + Send + Sync + 'static {
    /// A client of the plaintext server at `HOST:PORT`.
    fn connect(address: &str) -> impl Future<Output = Answer<Self>>;

    /// A client of the server at `https://HOST:PORT`, with this token or Application Default Credentials, where the peer is
    /// one that cold starts are measured of.
    fn connect_as(_url: &str, _token: Option<&str>) -> impl Future<Output = Answer<Self>> {
        async { Err("this peer knows no TLS".into()) }
    }

    /// RunJob. Returns the name of the operation.
    fn start(&self) -> impl Future<Output = Answer<String>> + Send;

    /// GetOperation.
    fn poll(&self, operation: String) -> impl Future<Output = Answer<()>> + Send;
}

/// The program, on one thread, so that processor time is work.
pub fn main<P: Peer>() -> Answer<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let address = env::args().nth(1).ok_or("usage: PEER HOST:PORT [once|token|adc]")?;
    let once = env::args().nth(2);
    let peer = runtime.block_on(async {
        match once.as_deref() {
            Some("token") => P::connect_as(&format!("https://{address}"), Some("canary")).await,
            Some("adc") => P::connect_as(&format!("https://{address}"), None).await,
            _ => P::connect(&address).await,
        }
    })?;
    if once.is_some() {
        return runtime.block_on(peer.start()).map(drop);
    }
    for line in stdin().lines() {
        let line = line?;
        let (width, milliseconds) = line.split_once(' ').ok_or("a line is WIDTH MILLISECONDS")?;
        let length = Duration::from_millis(milliseconds.parse()?);
        writeln!(stdout(), "{}", runtime.block_on(round(&peer, width.parse()?, length)))?;
    }
    Ok(())
}

async fn round<P: Peer>(peer: &P, width: usize, length: Duration) -> serde_json::Value {
    let (began, processor) = (Instant::now(), ProcessTime::now());
    let mut callers = JoinSet::new();
    for _ in 0..width {
        let peer = peer.clone();
        callers.spawn(async move {
            let (mut latencies, mut failed) = (Vec::new(), 0);
            while began.elapsed() < length {
                let begun = Instant::now();
                let call = async { peer.poll(peer.start().await?).await };
                match call.await {
                    Ok(()) => latencies.push(begun.elapsed().as_nanos() as f64 / 1e3),
                    Err(_) => failed += 1,
                }
            }
            (latencies, failed)
        });
    }
    let (latencies, failed): (Vec<_>, Vec<u64>) = callers.join_all().await.into_iter().unzip();
    serde_json::json!({
        "latencies_us": latencies.concat(),
        "failed": failed.iter().sum::<u64>(),
        "seconds": began.elapsed().as_secs_f64(),
        "cpu_us": processor.elapsed().as_secs_f64() * 1e6,
    })
}
