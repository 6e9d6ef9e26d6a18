//! runjob

#[cfg(feature = "emulator")]
pub mod emulator;
pub mod name;
pub mod proto;
