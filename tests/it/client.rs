//! The library's client, through its public face.

mod keys;
mod many;
mod peers;
mod runs;
mod stubs;
