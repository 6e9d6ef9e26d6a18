//! The steps of a script as bytes. Knows no connection and no truth.

use prost::Message as _;

use crate::{
    script::{Extra, Head, Raw, Step},
    wire::{self, Literal},
};

/// Appends the frame of a step that depends on nothing else.
pub(crate) fn put(out: &mut Vec<u8>, step: &Step, stream: u32) {
    match step {
        Step::Settings(settings) => {
            let entry = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
            wire::frame(out, wire::SETTINGS, 0, 0, &settings.iter().flat_map(entry).collect::<Vec<_>>());
        }
        Step::SettingsAck => wire::frame(out, wire::SETTINGS, wire::ACK, 0, &[]),
        Step::Ping => wire::frame(out, wire::PING, 0, 0, b"runjob??"),
        Step::Pong => wire::frame(out, wire::PING, wire::ACK, 0, b"runjob!!"),
        Step::Window { ours, by } => {
            wire::frame(out, wire::WINDOW_UPDATE, 0, if *ours { stream } else { 0 }, &by.to_be_bytes());
        }
        Step::Priority => wire::frame(out, wire::PRIORITY, 0, stream.max(1), &[0, 0, 0, 0, 16]),
        Step::Unknown(kind) => wire::frame(out, *kind, 0xff, stream, b"what is this"),
        Step::Push => {
            let mut block = 2_u32.to_be_bytes().to_vec();
            wire::field(&mut block, Literal::Plain, b":method", b"GET");
            wire::frame(out, wire::PUSH_PROMISE, wire::END_HEADERS, stream, &block);
        }
        _ => {}
    }
}

pub(crate) fn put_go_away(out: &mut Vec<u8>, last: u32, code: u32) {
    let payload = [&last.to_be_bytes()[..], &code.to_be_bytes(), b"because"].concat();
    wire::frame(out, wire::GOAWAY, 0, 0, &payload);
}

pub(crate) fn put_raw(out: &mut Vec<u8>, raw: Raw, stream: u32) {
    match raw {
        Raw::Http1 => out.extend_from_slice(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        Raw::Http1Upgrade => out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"),
        Raw::TlsAlert => out.extend_from_slice(&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x28]),
        Raw::Zeros => out.extend_from_slice(&[0; 64]),
        Raw::Ones => out.extend_from_slice(&[0xff; 64]),
        Raw::Preface => out.extend_from_slice(wire::PREFACE),
        Raw::HugeFrame => out.extend_from_slice(&[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]),
        Raw::HalfFrame => out.extend_from_slice(&[0, 0, 8, 6]),
        Raw::DataOnZero => wire::frame(out, wire::DATA, 0, 0, b"nobody's"),
        Raw::LoneContinuation => wire::frame(out, wire::CONTINUATION, wire::END_HEADERS, stream.max(1), &[]),
    }
}

pub(crate) fn put_head(out: &mut Vec<u8>, head: &Head, stream: u32) {
    let mut block = Vec::new();
    let literal = if head.indexed { Literal::Indexed } else { Literal::Plain };
    let has = |extra| head.extras.contains(&extra);
    if has(Extra::BadTableSize) {
        // A table of 2^20 bytes, which nobody has allowed.
        block.extend_from_slice(&[0x3f, 0xe1, 0xff, 0x3f]);
    }
    let mut add = |name: &[u8], value: &[u8]| wire::field(&mut block, literal, name, value);
    if let Some(status) = head.http {
        add(b":status", status.to_string().as_bytes());
        if has(Extra::StatusAgain) {
            add(b":status", b"200");
        }
        if !has(Extra::NoContentType) {
            add(b"content-type", if has(Extra::Html) { b"text/html" } else { b"application/grpc" });
        }
    }
    for code in &head.grpc {
        add(b"grpc-status", code.as_bytes());
    }
    for extra in &head.extras {
        put_extra(&mut block, *extra, literal);
    }
    wire::headers(out, stream, head.end, &block, head.continuations);
}

fn put_extra(block: &mut Vec<u8>, extra: Extra, literal: Literal) {
    let mut add = |name: &[u8], value: &[u8]| wire::field(block, literal, name, value);
    match extra {
        Extra::BadDetails => add(b"grpc-status-details-bin", b"!!!"),
        Extra::OddDetails => add(b"grpc-status-details-bin", b"/////w"),
        Extra::RetryInfo(seconds) => {
            add(b"grpc-status-details-bin", base64(&retry_info(seconds)).as_bytes());
        }
        Extra::Pushback(value) => add(b"grpc-retry-pushback-ms", value.as_bytes()),
        Extra::Message => add(b"grpc-message", b"no%0Ahint: run this"),
        Extra::NotAscii => add(b"grpc-message", &[0xff, 0xfe, 0x80, b'x']),
        Extra::BadPercent => add(b"grpc-message", b"%f%%zz%ff%"),
        Extra::Giant => add(b"x-giant", &vec![b'g'; 70_000]),
        Extra::Many => (0..300).for_each(|n| add(format!("x-{n}").as_bytes(), b"1")),
        Extra::OtherBinary => add(b"x-trace-bin", b"%%%"),
        Extra::Gzip => add(b"grpc-encoding", b"gzip"),
        Extra::Uppercase => add(b"X-Upper", b"1"),
        Extra::Connection => add(b"connection", b"close"),
        Extra::PseudoLate => add(b":status", b"200"),
        // An indexed field that no table has.
        Extra::BadIndex => block.push(0xff),
        Extra::Html | Extra::NoContentType | Extra::StatusAgain | Extra::BadTableSize => {}
    }
}

/// `google.rpc.Status` with a `google.rpc.RetryInfo`.
fn retry_info(seconds: i64) -> Vec<u8> {
    let delay = prost_types::Duration { seconds, nanos: 0 };
    let mut info = Vec::new();
    prost::encoding::message::encode(1, &delay, &mut info);
    let detail = prost_types::Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value: info };
    runjob::proto::rpc::Status { code: 14, message: "later".to_owned(), details: vec![detail] }.encode_to_vec()
}

/// Base64 without padding, as gRPC sends it.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let group = part.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for n in 0..=part.len() {
            text.push(char::from(ALPHABET[(group >> (18 - 6 * n)) as usize & 63]));
        }
    }
    text
}
