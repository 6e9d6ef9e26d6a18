//! The tests that need several rooms, in one binary.

mod client;
