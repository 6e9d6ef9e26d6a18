//! The client as its users call it.

use std::sync::Arc;

use runjob::{Client, JobName};

use super::{Lane, expect};
use crate::Result;

#[derive(Debug)]
pub(crate) struct Verbs {
    client: Client,
    job: Arc<JobName>,
    /// Whether the handle is polled, which reads the execution out of the answer, or the operation by its name.
    polls_run: bool,
}

impl Verbs {
    pub(super) fn new(client: Client, job: Arc<JobName>, polls_run: bool) -> Self {
        Self { client, job, polls_run }
    }
}

impl Lane for Verbs {
    async fn pair(&mut self) -> Result<()> {
        let mut run = self.client.run(&self.job).args(["hello"]).start().await?;
        if self.polls_run {
            return match run.poll().await? {
                None => Ok(()),
                Some(end) => Err(format!("it has not ended: {end:?}").into()),
            };
        }
        expect(&self.client.poll(run.operation().ok_or("a start has an operation")?).await?)
    }
}
