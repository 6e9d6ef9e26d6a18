//! The library's client, through its public face.

mod frames;
mod headers;
mod many;
mod peers;
mod runs;
mod stubs;
