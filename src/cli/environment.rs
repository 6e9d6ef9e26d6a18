//! The environment's variables, handed in, so that a test can hand in others.

use std::{collections::HashMap, ffi::OsString};

/// The environment's variables.
#[derive(Debug, Default)]
pub(super) struct Environment(HashMap<String, String>);

impl Environment {
    /// These variables, without those that are not Unicode: none of ours could be.
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let unicode = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self(variables.into_iter().filter_map(unicode).collect())
    }

    /// A variable's value, also an empty one.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A variable's value, unless it is unset or empty.
    pub(super) fn var(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}
