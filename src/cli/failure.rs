//! Why a command did not do what it was asked: words for a person, a way out, and an exit status.
//!
//! Knows no command. How a failure is printed is the printer's business.

use std::{error::Error as StdError, io};

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::exit::Exit;
use crate::{Error, ErrorKind, emulator::EmulatorError, error};

/// A command's failure.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
    missing: Option<String>,
}

impl Failure {
    /// A failure that ends with this status.
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, missing: None }
    }

    /// What was typed, or what a file or variable holds, is not usable.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Adds the way out.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The full name of what is not there, where a command did not end or delete it.
    pub(super) fn missing(&self) -> Option<&str> {
        self.missing.as_deref()
    }

    /// The status to end with.
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// What went wrong, with its causes.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// The way out, when there is one to name.
    pub(super) fn way_out(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// `{"error": …, "hint": …, "status": …}`
impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Failure", 3)?;
        object.serialize_field("error", &self.message)?;
        match &self.hint {
            Some(hint) => object.serialize_field("hint", hint)?,
            None => object.skip_field("hint")?,
        }
        object.serialize_field("status", &self.exit.status())?;
        object.end()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = with_causes(&error);
        let is_harmless = !["could not delete", "could not cancel"].iter().any(|doing| message.starts_with(doing));
        let missing = error.resource().filter(|_| is_harmless && error.reason() == ErrorKind::NotFound);
        let failure = Self { missing: missing.map(str::to_owned), ..Self::new(Exit::from(&error), message) };
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<EmulatorError> for Failure {
    fn from(error: EmulatorError) -> Self {
        Self::new(Exit::Other, with_causes(&error))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Other, with_causes(&error))
    }
}

/// An error and its causes on one line, each said once: some causes repeat what they carry.
fn with_causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    for cause in error::chain(error) {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
