//! The tests that need several modules, in one binary.

mod cases;
mod cli;
mod client;
#[path = "../program.rs"]
mod program;
#[path = "../schema.rs"]
mod schema;
mod walls;
mod wire;
