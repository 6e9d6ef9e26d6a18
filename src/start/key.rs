//! The start key: what a caller calls one start, and how an execution carries it.
//!
//! RunJob has no request id. A key is sent as an environment variable instead, because overrides are the one part of
//! the request that comes back in the execution. Knows no RPC.

use std::{
    fmt::{self, Display, Formatter},
    str::FromStr,
};

use crate::{
    error::{Error, ErrorKind, Result},
    proto::run::v2::{EnvVar, Execution, env_var},
};

/// The longest key: enough for a path or two UUIDs, and short in a list.
const LONGEST: usize = 128;

/// A caller's own name for one start, such as `order-4711` or `nightly/2026-11-21`: see
/// [`RunBuilder::start_key`](crate::RunBuilder::start_key).
///
/// 1 to 128 letters, digits and `.`, `_`, `-`, `:`, `/`. Do not put a secret in it: the task and every reader of the
/// execution see it.
///
/// ```
/// use runjob::StartKey;
///
/// let key: StartKey = "order-4711".parse()?;
/// assert_eq!(key.as_str(), "order-4711");
/// assert!("order 4711".parse::<StartKey>().is_err());
/// # Ok::<(), runjob::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StartKey(String);

impl StartKey {
    /// The environment variable that carries the key, in the container of the first override.
    pub const VARIABLE: &'static str = "RUNJOB_START_KEY";

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn variable(&self) -> EnvVar {
        EnvVar { name: Self::VARIABLE.to_owned(), values: Some(env_var::Values::Value(self.0.clone())) }
    }

    /// Whether this execution was started with this key.
    pub(super) fn marks(&self, execution: &Execution) -> bool {
        let containers = execution.template.iter().flat_map(|template| &template.containers);
        let carries = |variable: &EnvVar| {
            variable.name == Self::VARIABLE
                && matches!(&variable.values, Some(env_var::Values::Value(value)) if *value == self.0)
        };
        containers.flat_map(|container| &container.env).any(carries)
    }
}

impl FromStr for StartKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |rule: String| Error::new(ErrorKind::InvalidInput, format!("a start key {rule}"));
        if text.is_empty() || text.len() > LONGEST {
            return Err(wrong(format!("of {} bytes; it must have 1 to {LONGEST}", text.len())));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-:/".contains(c);
        if let Some(other) = text.chars().find(|c| !allowed(*c)) {
            let shown = other.escape_debug();
            return Err(wrong(format!("with '{shown}'; it may have letters, digits and . _ - : / only")));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Display for StartKey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::run::v2::{Container, TaskTemplate};

    #[test]
    fn a_key_has_a_length_and_an_alphabet() {
        for key in ["a", "nightly/2026-11-21", "A.b_c-d:e/9", &"k".repeat(LONGEST)] {
            assert_eq!(key.parse::<StartKey>().expect(key).to_string(), key);
        }
        for (text, rule) in [
            ("", "1 to 128"),
            (&*"k".repeat(LONGEST + 1), "1 to 128"),
            ("a b", "with ' '"),
            ("a\u{1b}", "with '\\u{1b}'"),
            ("schlüssel", "with 'ü'"),
            ("a=b", "letters, digits"),
        ] {
            let error = text.parse::<StartKey>().expect_err(text);
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(rule), "{error}");
        }
    }

    #[test]
    fn an_execution_carries_its_key_in_any_container_and_whole() {
        let key: StartKey = "order-1".parse().expect("valid");
        let execution = |variable: EnvVar| {
            let container = Container { env: vec![variable], ..Container::default() };
            let containers = vec![Container::default(), container];
            Execution { template: Some(TaskTemplate { containers, ..Default::default() }), ..Default::default() }
        };
        assert!(key.marks(&execution(key.variable())));
        assert!(!"order-11".parse::<StartKey>().expect("valid").marks(&execution(key.variable())));
        assert!(!key.marks(&execution(EnvVar { name: "OTHER".to_owned(), ..key.variable() })));
        assert!(!key.marks(&Execution::default()));
    }
}
