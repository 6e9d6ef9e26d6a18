//! Why a measurement cannot be made. A call that fails is no error here: it is counted.

use std::{
    fmt::{self, Display, Formatter},
    io,
};

/// The result of preparing or making a measurement.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no measurement: what is wrong, where, and what to do.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(cause: io::Error) -> Self {
        Self(cause.to_string())
    }
}
