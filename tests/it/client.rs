//! The library's client, through its public face.

mod backend;
mod cold;
mod connections;
mod evidence;
pub(crate) mod frames;
mod headers;
mod jobs;
pub(crate) mod keys;
mod layers;
mod many;
mod operations;
mod peers;
mod runs;
mod settings;
mod spans;
mod stubs;
mod trials;
mod ways;
