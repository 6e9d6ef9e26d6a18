//! The environment's variables, handed in, so that a test can hand in others.

use std::{collections::HashMap, ffi::OsString, sync::Arc};

/// The environment's variables. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment(Arc<HashMap<String, String>>);

impl Environment {
    /// These variables, without those that are not Unicode: none of ours could be.
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let unicode = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self(Arc::new(variables.into_iter().filter_map(unicode).collect()))
    }

    /// A variable's value, also an empty one.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A variable's value, unless it is unset or empty.
    pub(super) fn var(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The same as a function, for what reads other environments too.
    pub(super) fn lookup(&self) -> impl Fn(&str) -> Option<String> + Send + Sync + use<> {
        let all = self.clone();
        move |name| all.var(name).map(str::to_owned)
    }
}
