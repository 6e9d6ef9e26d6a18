//! Whether an answer is about what was asked: the one place that compares names and refuses an answer.
//!
//! Knows where a message carries its name. How two names are compared is `name`'s business.

use std::fmt::Display;

use crate::{
    error::{Error, ErrorKind, Result},
    name::{is_child, is_same},
    proto::{
        longrunning::Operation,
        run::v2::{Execution, Job, Task},
    },
};

/// The longest part of a foreign name that an error shows, in characters.
const LONGEST_EXCERPT: usize = 160;

/// A message that carries the full name of what it is about.
pub(crate) trait Named {
    /// That name.
    fn name(&self) -> &str;
}

macro_rules! named {
    ($($message:ty),+) => {$(
        impl Named for $message {
            fn name(&self) -> &str {
                &self.name
            }
        }
    )+};
}

named!(Job, Execution, Task, Operation);

/// The answer, if it is about what was asked for.
///
/// # Errors
/// [`Protocol`](ErrorKind::Protocol) when it is about another resource.
pub(crate) fn about<T: Named>(verb: &'static str, asked: &(impl Display + ?Sized), answer: T) -> Result<T> {
    if is_same(asked, answer.name()) { Ok(answer) } else { Err(foreign(answer.name()).doing(verb, asked)) }
}

/// Checks that each item belongs to the list of this collection under `parent`.
pub(super) fn all_under<T: Named>(parent: &str, collection: &str, items: &[T]) -> Result<()> {
    match items.iter().find(|item| !is_child(&parent, collection, item.name())) {
        Some(other) => Err(foreign(other.name())),
        None => Ok(()),
    }
}

/// The error for an answer that is about something else.
pub(crate) fn foreign(name: &str) -> Error {
    let shown: String = name.chars().take(LONGEST_EXCERPT).flat_map(char::escape_debug).collect();
    Error::new(ErrorKind::Protocol, format!("the service answered about another resource, \"{shown}\""))
}
