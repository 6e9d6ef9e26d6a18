//! runjob's verbs.

use peers::{Answer, JOB, Peer};
use runjob::{Client, Credentials, JobName, OperationName};

#[derive(Clone)]
struct Ours(Client, JobName);

impl Peer for Ours {
    async fn connect(address: &str) -> Answer<Self> {
        Ok(Self(Client::builder().emulator(address).build().await?, JOB.parse()?))
    }

    async fn connect_as(url: &str, token: Option<&str>) -> Answer<Self> {
        let builder = Client::builder().endpoint(url);
        let builder = match token {
            Some(token) => builder.credentials(Credentials::access_token(token)?),
            None => builder,
        };
        Ok(Self(builder.build().await?, JOB.parse()?))
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
