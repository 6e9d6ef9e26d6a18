//! runjob's verbs.

use peers::{Answer, JOB, Peer};
use runjob::{Client, JobName, OperationName};

#[derive(Clone)]
struct Ours(Client, JobName);

impl Peer for Ours {
    async fn connect(address: &str) -> Answer<Self> {
        Ok(Self(Client::builder().emulator(address).build().await?, JOB.parse()?))
    }

    async fn start(&self) -> Answer<String> {
        let run = self.0.run(&self.1).args(["hello"]).start().await?;
        Ok(run.operation().map(ToString::to_string).unwrap_or_default())
    }

    async fn poll(&self, operation: String) -> Answer<()> {
        Ok(self.0.get_operation(&operation.parse::<OperationName>()?).await.map(drop)?)
    }
}

fn main() -> Answer<()> {
    peers::main::<Ours>()
}
