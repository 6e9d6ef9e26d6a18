//! The client as its users call it.

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::{Ask, CallResult, PAGE, Worker};
use crate::{
    client::Client,
    name::{ExecutionName, JobName, OperationName},
    proto::run::v2::env_var::Values,
};

#[derive(Clone, Debug)]
pub(super) struct Verbs {
    client: Client,
    /// The operation that the latest start has answered with, so that a poll does not have to read its name.
    started: Option<OperationName>,
    /// The job, once its name has been read.
    job: Option<JobName>,
}

impl Verbs {
    pub(super) fn new(client: Client) -> Self {
        Self { client, started: None, job: None }
    }
}

impl Worker for Verbs {
    async fn start(&mut self, ask: &Ask) -> CallResult<String> {
        if self.job.is_none() {
            self.job = Some(ask.names.job.parse()?);
        }
        let job = self.job.as_ref().ok_or("it has just been set")?;
        let mut start = self.client.run(job).args(["hello"]);
        let containers = ask.start.overrides.iter().flat_map(|overrides| &overrides.container_overrides);
        for variable in containers.flat_map(|container| &container.env) {
            if let Some(Values::Value(value)) = &variable.values {
                start = start.env(&variable.name, value);
            }
        }
        let run = start.start().await?;
        self.started = run.operation().cloned();
        Ok(self.started.as_ref().map(ToString::to_string).unwrap_or_default())
    }

    async fn poll(&mut self, operation: &str) -> CallResult<String> {
        let name = match self.started.take() {
            Some(name) => name,
            None => operation.parse()?,
        };
        Ok(self.client.get_operation(&name).await?.name)
    }

    async fn get(&mut self, execution: &str) -> CallResult<String> {
        Ok(self.client.execution(&execution.parse::<ExecutionName>()?).await?.name)
    }

    async fn list(&mut self, job: &str) -> CallResult<usize> {
        let executions: Vec<_> = self.client.executions(&job.parse()?).take(PAGE).try_collect().await?;
        Ok(executions.len())
    }
}
