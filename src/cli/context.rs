//! What gives a command line its meaning: the environment, the target, the names, who calls, the state directory.
//!
//! Every `resolve` is given one. It reads gcloud's configuration when a short name asks for it, cannot call, and writes
//! nothing.

mod access;
mod names;
mod state;

use std::fmt::{self, Display, Formatter};

pub(super) use self::{access::ServicePath, names::Origin};
use super::{environment::Environment, flags::global::Global, start_log::StartLog};

/// The variables that name an emulator, the first that is set wins.
const EMULATOR_VARIABLES: [&str; 2] = ["RUN_EMULATOR_HOST", "CLOUD_RUN_EMULATOR_HOST"];

/// The global flags and the environment, and what they say to call.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) global: &'a Global,
    pub(super) env: &'a Environment,
    pub(super) target: Target,
}

/// What to call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An emulator inside this process.
    InProcess,
    /// An emulator elsewhere, and the variable that named it.
    Emulator { host: String, variable: &'static str },
    /// The service, at its own endpoint or at this one.
    Service { endpoint: Option<String> },
}

impl<'a> Context<'a> {
    /// What these flags mean in this environment.
    pub(super) fn new(global: &'a Global, env: &'a Environment) -> Self {
        Self { global, env, target: target(global, env) }
    }

    /// The starts that are sent to the target; none for an emulator that ends with this process.
    pub(super) fn start_log(&self) -> Option<StartLog> {
        let is_kept = self.target != Target::InProcess;
        is_kept.then(|| StartLog::new(state::directory(self.env), self.target.to_string()))
    }
}

/// As it stands in the start log: what tells one server from another.
impl Display for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InProcess => "in process",
            Self::Emulator { host, .. } => host,
            Self::Service { endpoint } => endpoint.as_deref().unwrap_or("Cloud Run"),
        })
    }
}

/// What the flags and variables say to call.
fn target(global: &Global, env: &Environment) -> Target {
    if global.emulator {
        return Target::InProcess;
    }
    if let Some(endpoint) = &global.endpoint {
        return Target::Service { endpoint: Some(endpoint.clone()) };
    }
    let named = EMULATOR_VARIABLES.iter().find_map(|variable| Some((*variable, env.var(variable)?)));
    match named {
        Some((variable, host)) => Target::Emulator { host: host.to_owned(), variable },
        None => Target::Service { endpoint: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_flag_wins_over_the_emulator_variables() {
        let variables = [("RUN_EMULATOR_HOST", "127.0.0.1:1"), ("CLOUD_RUN_EMULATOR_HOST", "127.0.0.1:2")];
        let env = Environment::new(variables.map(|(name, value)| (name.into(), value.into())));
        let target = |endpoint: Option<&str>, emulator| {
            let endpoint = endpoint.map(str::to_owned);
            Context::new(&Global { endpoint, emulator, ..Global::default() }, &env).target
        };
        let named = Target::Emulator { host: "127.0.0.1:1".into(), variable: "RUN_EMULATOR_HOST" };
        assert_eq!(target(None, false), named);
        assert_eq!(target(None, true), Target::InProcess);
        assert_eq!(target(Some("https://x"), false), Target::Service { endpoint: Some("https://x".into()) });
    }
}
