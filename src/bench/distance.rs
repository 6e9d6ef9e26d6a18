//! Distance: passes bytes on to a server, each as much later as they would be on a longer way.

use std::time::Duration;

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::error::Result;

/// Bytes read at once.
const CHUNK: usize = 64 << 10;

/// Listens on a port of this machine and passes connections on to `server`, with this much more round-trip time. Returns the
/// address.
///
/// Nothing is lost and nothing is slower, only later: bandwidth and loss are not what is measured.
pub(crate) async fn delay(server: &str, round_trip: Duration) -> Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?.to_string();
    let server = server.to_owned();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move {
                let Ok(far) = TcpStream::connect(server).await else { return };
                // Without it, what is written in two pieces would wait for an acknowledgement as well.
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(carry(near_in, far_out, round_trip / 2));
                carry(far_in, near_out, round_trip / 2).await;
            });
        }
    });
    Ok(address)
}

/// Carries the bytes of one direction until either end closes.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, later: Duration) {
    // What is on its way is bounded by what the ends send before they get an answer.
    let (sender, mut receiver) = mpsc::unbounded_channel::<(Instant, BytesMut)>();
    let read = async move {
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            match from.read_buf(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(_) => drop(sender.send((Instant::now() + later, chunk))),
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = receiver.recv().await {
            sleep_until(due).await;
            if to.write_all(&chunk).await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
