//! The tests that need several rooms, in one binary.

mod cases;
mod cli;
mod client;
#[path = "../program.rs"]
mod program;
#[path = "../schema.rs"]
mod schema;
mod wire;
