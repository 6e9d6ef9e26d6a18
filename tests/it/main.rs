//! The tests that need several rooms, in one binary.

mod cli;
mod client;
mod wire;
