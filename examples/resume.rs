//! Picks an execution up by its name, as another process would after a restart: `cargo run --example resume`.

use std::{error::Error as StdError, time::Duration};

use runjob::{Client, ErrorKind, ExecutionName, JobName, emulator::Emulator};

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let emulator = Emulator::builder().no_listener().start().await?;
    let client = Client::builder().connector(emulator.connector()).build().await?;
    let job: JobName = "projects/demo/locations/us-central1/jobs/sleep".parse()?;

    // One process starts it, and keeps nothing but the name.
    let name = client.run(&job).args(["600"]).start().await?.execution().to_string();

    // Another one waits for as long as it has patience, and then decides to end it.
    let execution: ExecutionName = name.parse()?;
    let mut run = client.attach(&execution);
    run.set_wait_limit(Some(Duration::from_millis(200)));
    match run.wait().await {
        Err(error) if error.kind() == ErrorKind::WaitLimit => println!("{error}"),
        other => println!("{}", other?.outcome()),
    }
    run.cancel().await?;
    run.set_wait_limit(None);
    println!("{}", run.wait().await?.outcome());
    Ok(())
}
