//! Everything that needs several rooms of the crate, as one program.

mod wire;
