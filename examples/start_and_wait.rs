//! Starts a job with overrides, does something else, and then learns how it ended: `cargo run --example start_and_wait`.
//!
//! It runs against an emulator in this process. With Cloud Run, the client would be `Client::from_env().await?`.

use std::{error::Error as StdError, time::Duration};

use runjob::{Client, JobName, Outcome, emulator::Emulator};

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let emulator = Emulator::builder().no_listener().start().await?;
    let client = Client::builder().connector(emulator.connector()).build().await?;

    let job: JobName = "projects/demo/locations/us-central1/jobs/fail".parse()?;
    let mut run = client.run(&job).args(["3"]).task_count(2).task_timeout(Duration::from_secs(30)).start().await?;
    println!("started {}", run.execution());

    // A web request would be answered here; the execution goes on by itself.

    match run.wait().await?.outcome() {
        Outcome::Succeeded => println!("succeeded"),
        Outcome::Failed(tasks) => tasks.iter().for_each(|task| println!("task {}: {}", task.index, task.end)),
        other => println!("{other}"),
    }
    Ok(())
}
