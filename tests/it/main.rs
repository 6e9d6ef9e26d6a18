//! The tests that need several modules, in one binary.

mod cases;
mod cli;
mod client;
#[path = "../program.rs"]
mod program;
mod walls;
mod wire;
