//! A byte proxy between the client and the emulator, whose connections can be cut, half closed, held up and slowed down.
//! Knows nothing of what passes.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    select,
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

/// What happens to a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Trouble {
    None,
    /// Both directions end.
    Cut,
    /// One direction ends.
    HalfClose(Way),
    /// Nothing passes until then.
    StallUntil(Instant),
    /// A trickle passes until then.
    SlowUntil(Instant),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

/// What a slow connection lets pass at a time, and how often: 50 KB a second.
const TRICKLE: usize = 100;
const DRIP: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    lines: Lines,
}

/// The connections there are; one that has ended has no receiver any more.
type Lines = Arc<Mutex<Vec<watch::Sender<Trouble>>>>;

impl Proxy {
    /// A proxy in front of this address.
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let lines = Lines::default();
        tokio::spawn(accept(listener, server, Arc::clone(&lines)));
        Self { address, lines }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Troubles one of the connections, if there is any.
    pub(crate) fn trouble(&self, trouble: Trouble, random: &mut fastrand::Rng) -> bool {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let open: Vec<_> = lines.iter().filter(|line| !line.is_closed()).collect();
        random.choice(open).is_some_and(|line| line.send(trouble).is_ok())
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, lines: Lines) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let (line, troubles) = watch::channel(Trouble::None);
        {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.retain(|line| !line.is_closed());
            lines.push(line);
        }
        tokio::spawn(carry(client, server, troubles));
    }
}

/// Carries bytes both ways until both ends have closed. What goes wrong closes the connection, which is all that there is
/// to say of it.
async fn carry(client: TcpStream, server: SocketAddr, troubles: watch::Receiver<Trouble>) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let there = pump(from_client, to_server, Way::ToServer, troubles.clone());
    let back = pump(from_server, to_client, Way::ToClient, troubles);
    tokio::try_join!(there, back).map(drop)
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Way,
    mut troubles: watch::Receiver<Trouble>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = select! {
            read = from.read(&mut buffer) => read?,
            () = end_of(way, &mut troubles) => 0,
        };
        if read == 0 {
            return to.shutdown().await;
        }
        let trouble = *troubles.borrow();
        match trouble {
            Trouble::StallUntil(end) => {
                sleep_until(end).await;
                to.write_all(&buffer[..read]).await?;
            }
            Trouble::SlowUntil(end) if Instant::now() < end => {
                for drop in buffer[..read].chunks(TRICKLE) {
                    to.write_all(drop).await?;
                    sleep(DRIP).await;
                }
            }
            _ => to.write_all(&buffer[..read]).await?,
        }
    }
}

/// Comes back when this direction is to end.
async fn end_of(way: Way, troubles: &mut watch::Receiver<Trouble>) {
    let ends = |trouble: &Trouble| matches!(trouble, Trouble::Cut) || *trouble == Trouble::HalfClose(way);
    // An error says that the proxy is gone, and the connection with it.
    _ = troubles.wait_for(ends).await;
}
