//! The library's client, through its public face.

mod peers;
