//! What the emulator reads: JSON over REST, and seed files.

use std::{cell::OnceCell, io::Write as _, net::SocketAddr};

use runjob::emulator::Emulator;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::{Builder, Runtime},
    time::{Duration, timeout},
};

/// A request of a line `METHOD PATH` and a body, to an emulator that has served the inputs before.
pub fn rest(data: &[u8]) {
    thread_local! {
        static SERVED: OnceCell<(Runtime, Emulator)> = const { OnceCell::new() };
    }
    SERVED.with(|served| {
        let (runtime, emulator) = served.get_or_init(|| {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            let address: SocketAddr = "127.0.0.1:0".parse().expect("an address");
            let emulator = runtime.block_on(Emulator::builder().listen(address).start()).expect("an emulator");
            (runtime, emulator)
        });
        let answer = runtime.block_on(ask(emulator.addr().expect("a port"), data));
        let text = String::from_utf8_lossy(&answer);
        if answer.is_empty() {
            return;
        }
        assert!(text.starts_with("HTTP/1.1 "), "no HTTP: {text}");
        assert!(!text.starts_with("HTTP/1.1 500"), "an internal error: {text}");
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && head.to_ascii_lowercase().contains("content-type: application/json")
            && !head.to_ascii_lowercase().contains("transfer-encoding")
            && !body.is_empty()
        {
            serde_json::from_str::<serde_json::Value>(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        }
        // Nothing grows from one input to the next.
        emulator.reset();
    });
}

async fn ask(address: SocketAddr, data: &[u8]) -> Vec<u8> {
    let (line, body) =
        data.iter().position(|byte| *byte == b'\n').map_or((data, &b""[..]), |end| (&data[..end], &data[end + 1..]));
    let line: String = String::from_utf8_lossy(line).chars().filter(|c| !c.is_control()).collect();
    let mut socket = TcpStream::connect(address).await.expect("the emulator listens");
    _ = socket.set_zero_linger();
    let head = format!(
        "{line} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut answer = Vec::new();
    let asking = async {
        socket.write_all(head.as_bytes()).await?;
        socket.write_all(body).await?;
        socket.read_to_end(&mut answer).await
    };
    // A call that is held, as WaitOperation is, is no failure.
    _ = timeout(Duration::from_millis(300), asking).await;
    answer
}

/// A seed file.
pub fn seed(data: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(data).expect("room for it");
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        if let Err(error) = Emulator::builder().no_listener().seed_file(file.path()).start().await {
            assert!(!error.to_string().is_empty());
        }
    });
}
