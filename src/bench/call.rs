//! The logical calls that are measured, and the messages that every arm sends for them.

use std::{
    fmt::{self, Display, Formatter},
    str::FromStr,
};

use prost::Message;

use super::error::{Error, Result};
use crate::proto::{
    rest::google::cloud::run::v2 as rest,
    run::v2::{
        EnvVar, RunJobRequest, env_var,
        run_job_request::{Overrides, overrides::ContainerOverride},
    },
};

/// The most variables of a start: more than any job has.
const MOST_VARIABLES: usize = 1_000;

/// Executions on the page of a list.
pub(crate) const PAGE: usize = 100;

/// A logical call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogicalCall {
    /// RunJob, then GetOperation of what it answered: `start+poll`
    StartPoll,
    /// RunJob with this many variables: `start` or `start:N`
    Start(usize),
    /// GetOperation: `poll`
    Poll,
    /// GetExecution: `get`
    Get,
    /// ListExecutions, a page of 100: `list`
    List,
}

impl LogicalCall {
    /// How many RPCs it is.
    pub fn rpcs(self) -> u64 {
        if self == Self::StartPoll { 2 } else { 1 }
    }

    /// Whether it starts executions.
    pub fn starts(self) -> bool {
        matches!(self, Self::StartPoll | Self::Start(_))
    }
}

impl Display for LogicalCall {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartPoll => f.write_str("start+poll"),
            Self::Start(0) => f.write_str("start"),
            Self::Start(variables) => write!(f, "start:{variables}"),
            Self::Poll => f.write_str("poll"),
            Self::Get => f.write_str("get"),
            Self::List => f.write_str("list"),
        }
    }
}

impl FromStr for LogicalCall {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(format!(
                "there is no call \"{text}\"; write start+poll, start, start:N with up to {MOST_VARIABLES} variables, \
                 poll, get or list"
            ))
        };
        Ok(match text {
            "start+poll" => Self::StartPoll,
            "start" => Self::Start(0),
            "poll" => Self::Poll,
            "get" => Self::Get,
            "list" => Self::List,
            _ => {
                let variables = text.strip_prefix("start:").and_then(|number| number.parse().ok());
                Self::Start(variables.filter(|&number| number <= MOST_VARIABLES).ok_or_else(wrong)?)
            }
        })
    }
}

/// What all arms ask for: a call, and what it is about.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) call: LogicalCall,
    pub(crate) names: Names,
    /// What a start sends.
    pub(crate) start: RunJobRequest,
    /// The same for REST, where the name is in the path.
    pub(crate) start_in_json: rest::RunJobRequest,
}

/// The resources that calls are about, by their full names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) job: String,
    pub(crate) operation: String,
    pub(crate) execution: String,
    /// How many executions the first page of a list has.
    pub(crate) listed: usize,
}

impl Ask {
    pub(crate) fn new(call: LogicalCall, names: Names) -> Self {
        let variables = if let LogicalCall::Start(variables) = call { variables } else { 0 };
        let variable = |number: usize| EnvVar {
            name: format!("SETTING_{number}"),
            values: Some(env_var::Values::Value("a value of the usual length".to_owned())),
        };
        let container = ContainerOverride {
            args: vec!["hello".to_owned()],
            env: (0..variables).map(variable).collect(),
            ..ContainerOverride::default()
        };
        let overrides = Overrides { container_overrides: vec![container], ..Overrides::default() };
        let start = RunJobRequest { name: names.job.clone(), overrides: Some(overrides), ..RunJobRequest::default() };
        let mut start_in_json: rest::RunJobRequest = retyped(&start);
        start_in_json.name.clear();
        Self { call, names, start, start_in_json }
    }
}

/// The same message as the type that has typed JSON, or the other way round.
pub(crate) fn retyped<T: Message + Default>(message: &impl Message) -> T {
    T::decode(message.encode_to_vec().as_slice()).unwrap_or_else(|_| unreachable!("both come from one proto"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read_as_they_are_printed() {
        for call in [
            LogicalCall::StartPoll,
            LogicalCall::Start(0),
            LogicalCall::Start(10),
            LogicalCall::Poll,
            LogicalCall::Get,
            LogicalCall::List,
        ] {
            assert_eq!(call.to_string().parse::<LogicalCall>().expect("a call"), call);
        }
    }

    #[test]
    fn a_call_that_does_not_exist_is_refused_with_those_that_do() {
        for text in ["", "cancel", "start:", "start:-1", "start:1001", "Start"] {
            let error = text.parse::<LogicalCall>().expect_err(text).to_string();
            assert!(error.contains(&format!("no call \"{text}\"")) && error.contains("start+poll"), "{error}");
        }
    }
}
