//! What is fuzzed: each reader of bytes that come from outside, through the public face of `runjob`.
//!
//! A target panics when a promise is broken, and so does whatever it calls. Two drivers hand bytes to the targets:
//! libFuzzer by `cargo fuzz`, and `src/main.rs` on a stable toolchain.

mod command_line;
mod emulator;
mod names;
mod peer;

pub use self::{
    command_line::{env_file, gcloud},
    emulator::{rest, seed},
    names::names,
    peer::{details, http2},
};

/// A target and what it reads.
pub type Target = (&'static str, fn(&[u8]));

/// All of them, by the names of their corpora.
pub const TARGETS: [Target; 7] = [
    ("names", names),
    ("rest", rest),
    ("seed", seed),
    ("env_file", env_file),
    ("gcloud", gcloud),
    ("http2", http2),
    ("details", details),
];
