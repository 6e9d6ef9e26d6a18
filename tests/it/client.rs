//! The library's client, through its public face.

mod many;
mod peers;
mod runs;
mod stubs;
