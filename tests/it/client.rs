//! The library's client, through its public face.

mod connections;
mod evidence;
pub(crate) mod frames;
mod headers;
pub(crate) mod keys;
mod many;
mod peers;
mod runs;
mod stubs;
mod trials;
mod ways;
