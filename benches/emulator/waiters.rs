//! Ten thousand calls of WaitOperation at the same time: what they cost while nothing happens, and whether all of them
//! learn it when something does.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use prost_types::Duration as Seconds;
use runjob::{
    emulator::{Clock, Emulator, Rpc, Runtime, Simulated, Simulation},
    proto::longrunning::WaitOperationRequest,
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{Result, api::Grpc, api::LOCATION, claims::Claims, process::processor_time};

const OPERATIONS: usize = 1_000;
const PER_OPERATION: usize = 10;
/// Each holds 200 waiters: the emulator allows 256 calls.
const CONNECTIONS: usize = 50;
const LENGTH: Duration = Duration::from_secs(60);
/// How long nothing happens.
const STILL: Duration = Duration::from_secs(2);
/// When a waiter counts as forgotten.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) async fn measure(claims: &mut Claims) -> Result<()> {
    let all = OPERATIONS * PER_OPERATION;
    let script = Simulation::new(|_| Simulated::exits(0).after(LENGTH));
    let emulator = Emulator::builder().runtime(Runtime::Simulated(script)).clock(Clock::Virtual).start().await?;
    let mut waiters = ask(&emulator).await?;
    // Each has been heard, and has a moment to settle down.
    while waiting(&emulator) < all {
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_millis(500)).await;

    let before = processor_time();
    sleep(STILL).await;
    let used = processor_time() - before;
    let early = all - waiting(&emulator);

    let began = Instant::now();
    emulator.clock().advance(LENGTH);
    let woken = timeout(LIMIT, async {
        let mut woken = 0;
        while let Some(done) = waiters.join_next().await {
            woken += usize::from(done.is_ok_and(|done| done));
        }
        woken
    });
    let woken = woken.await.unwrap_or_default();
    let took = began.elapsed();

    println!("{all} waiters on WaitOperation, on {OPERATIONS} operations\n");
    println!("| what | measured | claim |");
    println!("|---|---|---|");
    println!("| processor time while nothing happens for {} s | {} ms | near 0 |", STILL.as_secs(), used.as_millis());
    println!("| from the end of all operations to the last answer | {} ms | - |\n", took.as_millis());
    claims.count("waiters answered before the end", 0, early);
    claims.count("waiters woken by the end", all, woken);
    emulator.stop().await?;
    Ok(())
}

/// Sets all waiters to wait; each tells whether it was answered with an operation that is done.
async fn ask(emulator: &Emulator) -> Result<JoinSet<bool>> {
    let connections: Vec<Grpc> =
        join_all((0..CONNECTIONS).map(|_| Grpc::connect(emulator))).await.into_iter().collect::<Result<_>>()?;
    let mut connections = connections.into_iter().cycle();
    let mut waiters = JoinSet::new();
    let job = format!("{LOCATION}/jobs/echo");
    let mut starter = Grpc::connect(emulator).await?;
    for _ in 0..OPERATIONS {
        let name = starter.run(&job).await?.name;
        for mut connection in connections.by_ref().take(PER_OPERATION) {
            let timeout = Some(Seconds { seconds: 300, nanos: 0 });
            let request = WaitOperationRequest { name: name.clone(), timeout };
            waiters.spawn(async move {
                let answer = connection.operations.wait_operation(request).await;
                answer.is_ok_and(|operation| operation.into_inner().done)
            });
        }
    }
    Ok(waiters)
}

/// Waiters that came in and have no answer.
fn waiting(emulator: &Emulator) -> usize {
    emulator.journal().iter().filter(|call| call.rpc == Rpc::WaitOperation && call.code.is_none()).count()
}
