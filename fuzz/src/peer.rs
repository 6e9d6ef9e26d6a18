//! What a peer answers the client: recorded HTTP/2, cut and bent at will.
//!
//! The clock is paused and moves when nothing else does, so that a limit of a second costs nothing.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use runjob::{Client, Credentials};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    runtime::Builder,
    time::{Duration, sleep, timeout},
};

/// A SETTINGS frame with nothing in it.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Bytes in the place of everything that a peer says. Up to a NUL and a newline they come before the request is read.
pub fn http2(data: &[u8]) {
    let end = data.windows(2).position(|pair| pair == b"\0\n");
    let (before, after) = end.map_or((&data[..0], data), |end| (&data[..end], &data[end + 2..]));
    converse(before, after);
}

/// A refusal with these bytes as `grpc-status-details-bin`, as they are if they are base64, and encoded otherwise.
pub fn details(data: &[u8]) {
    let is_plain = data.iter().all(|byte| byte.is_ascii_graphic());
    let value = if is_plain { data.to_vec() } else { STANDARD_NO_PAD.encode(data).into_bytes() };
    let mut block = Vec::new();
    for (name, value) in [
        (":status", &b"200"[..]),
        ("content-type", b"application/grpc"),
        ("grpc-status", b"8"),
        ("grpc-status-details-bin", &value[..value.len().min(12_000)]),
    ] {
        block.push(0);
        for text in [name.as_bytes(), value] {
            put_length(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    let length = u32::try_from(block.len()).expect("short").to_be_bytes();
    let head = [&length[1..], &[1, 5, 0, 0, 0, 1]].concat();
    converse(SETTINGS, &[head, block].concat());
}

/// An integer of RFC 7541 5.1 with a prefix of 7 bits.
fn put_length(out: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else {
        return out.push(u8::try_from(length).expect("less than 127"));
    };
    out.push(127);
    while rest >= 128 {
        out.push(u8::try_from(rest & 127).expect("7 bits") | 128);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).expect("7 bits"));
}

/// One start, with a peer that says this. Whatever it is, the start ends.
fn converse(before: &[u8], after: &[u8]) {
    let (before, after) = (before.to_vec(), after.to_vec());
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async {
            loop {
                sleep(Duration::from_millis(2)).await;
            }
        });
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (before, after) = (before.clone(), after.clone());
                tokio::spawn(async move {
                    let mut request = [0; 4096];
                    _ = socket.set_zero_linger();
                    _ = socket.write_all(&before).await;
                    _ = socket.read(&mut request).await;
                    sleep(Duration::from_millis(6)).await;
                    _ = socket.write_all(&after).await;
                    while matches!(socket.read(&mut request).await, Ok(1..)) {}
                });
            }
        });
        let builder = Client::builder().endpoint(format!("http://{address}")).credentials(Credentials::anonymous());
        let client = builder.rpc_timeout(Duration::from_millis(200)).build().await.expect("a client");
        let job = "projects/acme/locations/asia-northeast1/jobs/shot".parse().expect("a job");
        let start = tokio::spawn(async move { client.run(&job).start().await });
        let ended = timeout(Duration::from_secs(10), start).await.expect("a start ends within its limit");
        if let Err(error) = ended.expect("a start does not panic") {
            let shown = error.to_string();
            assert!(!shown.contains('\n'), "an error of several lines: {shown:?}");
        }
    });
}
