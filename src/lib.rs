//! runjob
mod name;
pub mod proto;
pub use name::{ExecutionName, JobName, Location, NameError, OperationName, TaskName};
