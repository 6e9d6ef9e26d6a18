//! runjob
pub mod proto;
