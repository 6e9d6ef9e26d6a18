//! An emulator and a client in this process, on a clock that stands still while anything happens: counts and lags are
//! exact, and the same each time.

use std::{
    num::NonZeroUsize,
    time::{Duration, SystemTime},
};

use futures_util::StreamExt as _;
use runjob::{
    Client, Finished, JobName, Run,
    emulator::{Emulator, Fault, Rpc},
};
use tokio::{runtime::Builder, task::JoinSet};
use tonic::Status;

use crate::{Result, SEED, ends, service::Asked};

/// Within which time all executions end.
pub(crate) const SPAN: Duration = Duration::from_secs(60);

/// How to wait for many executions of one job.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Way {
    /// `Run::wait` for each.
    Each,
    /// `Run::wait` for each, of a service without WaitOperation.
    EachByPolls,
    /// `Client::watch` for all.
    Watch,
}

/// How that went.
pub(crate) struct Waited {
    /// For each that has succeeded, how long after its start it ended, and how long after that this was known.
    pub(crate) ends: Vec<(Duration, Duration)>,
    pub(crate) asked: Asked,
}

impl Waited {
    pub(crate) fn lags(&self) -> Vec<Duration> {
        self.ends.iter().map(|(_, lag)| *lag).collect()
    }
}

/// Starts so many executions at the same time, and waits for them.
pub(crate) fn wait_for(count: usize, way: Way) -> Result<Waited> {
    // Pauses of the client are random, too.
    fastrand::seed(SEED);
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build()?;
    runtime.block_on(async {
        let emulator = Emulator::builder()
            .no_listener()
            .seed(SEED)
            .runtime(ends::at_random(SEED, Duration::ZERO, SPAN))
            .start()
            .await?;
        if way == Way::EachByPolls {
            emulator.fault(Fault::before(Rpc::WaitOperation).answer(Status::unimplemented("not served")));
        }
        let connections = NonZeroUsize::new(count.div_ceil(75)).ok_or("nothing to wait for")?;
        let client = Client::builder().connector(emulator.connector()).connections(connections).build().await?;
        let job: JobName = "projects/demo/locations/us-central1/jobs/echo".parse()?;
        let mut runs = Vec::new();
        for _ in 0..count {
            runs.push(client.run(&job).start().await?);
        }
        let ends = if way == Way::Watch { watch(&client, &emulator, runs).await } else { each(&emulator, runs).await };
        let asked = Asked::of(&emulator);
        emulator.stop().await?;
        Ok(Waited { ends, asked })
    })
}

async fn watch(client: &Client, emulator: &Emulator, runs: Vec<Run>) -> Vec<(Duration, Duration)> {
    let clock = emulator.clock();
    client.watch(runs).filter_map(async |(_, end)| times(&end.ok()?, clock.now())).collect().await
}

async fn each(emulator: &Emulator, runs: Vec<Run>) -> Vec<(Duration, Duration)> {
    let mut waits = JoinSet::new();
    for mut run in runs {
        let clock = emulator.clock();
        waits.spawn(async move { times(&run.wait().await.ok()?, clock.now()) });
    }
    waits.join_all().await.into_iter().flatten().collect()
}

/// How long it ran, and how long ago it ended. None if it did not succeed.
fn times(finished: &Finished, now: SystemTime) -> Option<(Duration, Duration)> {
    let execution = finished.execution();
    let [began, over] = [execution.create_time?, execution.completion_time?].map(SystemTime::try_from);
    let over = over.ok()?;
    let (ran, lag) = (over.duration_since(began.ok()?).ok()?, now.duration_since(over).unwrap_or_default());
    finished.outcome().is_success().then_some((ran, lag))
}
