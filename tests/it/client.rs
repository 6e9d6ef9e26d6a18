//! The library's client, through its public face.

mod peers;
mod runs;
mod stubs;
