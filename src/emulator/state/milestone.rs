//! How far an execution is, and which one a job's definition follows: `start_execution_token` and `run_execution_token`.

use serde::{Deserialize, Serialize};

use crate::{
    name::ExecutionName,
    proto::run::v2::{Job, job::CreateExecution},
};

/// How far an execution is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(super) enum Milestone {
    Started,
    Finished,
}

/// The execution that a definition's token names, and how far its operation follows that.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Followed {
    pub(super) execution: ExecutionName,
    pub(super) until: Milestone,
}

/// The token of a definition; an empty one counts as absent.
pub(super) fn token(definition: &Job) -> Option<(Milestone, &str)> {
    let (until, token) = match definition.create_execution.as_ref()? {
        CreateExecution::StartExecutionToken(token) => (Milestone::Started, token),
        CreateExecution::RunExecutionToken(token) => (Milestone::Finished, token),
    };
    (!token.is_empty()).then_some((until, token))
}
