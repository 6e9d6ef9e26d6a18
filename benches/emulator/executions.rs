//! A hundred thousand executions: whether each is accounted for, and what they weigh.
//!
//! All of them run at the same time and end when the clock is moved. A job keeps its latest thousand, so that there are a
//! hundred jobs. Then each job runs a thousand times more, which leaves of the first ones nothing but their operations.

use std::{collections::BTreeSet, time::Duration};

use prost::Message as _;
use runjob::{
    emulator::{Clock, Emulator, Runtime, Simulated, Simulation},
    proto::{
        longrunning::ListOperationsRequest,
        run::v2::{
            Container, CreateJobRequest, Execution, ExecutionTemplate, GetJobRequest, Job, ListExecutionsRequest,
            TaskTemplate, executions_client::ExecutionsClient,
        },
    },
};
use tokio::task::JoinSet;

use crate::{
    Result,
    api::{Grpc, LOCATION, Routed, connect},
    claims::Claims,
    process::resident,
};

const JOBS: usize = 100;
const PER_JOB: usize = 1_000;
const ALL: usize = JOBS * PER_JOB;
const IN_FLIGHT: usize = 64;
const LENGTH: Duration = Duration::from_secs(60);
/// Calls that the emulator's journal keeps: they weigh the same before and after.
const JOURNAL: usize = 10_000;
/// In how many portions the second wave comes, so that there are never many more executions than before.
const PORTIONS: usize = 100;

pub(crate) async fn measure(claims: &mut Claims) -> Result<()> {
    let script = Simulation::new(|_| Simulated::exits(0).after(LENGTH));
    let runtime = Runtime::Simulated(script);
    let emulator = Emulator::builder().runtime(runtime).clock(Clock::Virtual).samples(false).start().await?;
    let mut caller = Grpc::connect(&emulator).await?;
    for index in 0..JOBS {
        caller.jobs.create_job(create(index)).await?;
    }
    for _ in 0..JOURNAL {
        caller.jobs.get_job(GetJobRequest { name: job(0) }).await?;
    }

    let empty = resident();
    let mut accepted = start(&caller, ALL).await?;
    let running = resident();
    emulator.clock().advance(LENGTH);
    let finished = resident();
    for _ in 0..PORTIONS {
        accepted.extend(start(&caller, ALL / PORTIONS).await?);
        emulator.clock().advance(LENGTH);
    }
    let removed = resident();

    println!("{ALL} executions of {JOBS} jobs, then as many again, which remove the first ones\n");
    println!("| what | measured | claim |");
    println!("|---|---|---|");
    println!("| memory for each that runs | {} | under 4 KiB |", each(empty, running));
    println!("| memory for each that is over | {} | under 4 KiB |", each(empty, finished));
    println!("| memory for each that was removed: its operation, its line in the ledger | {} | - |\n", {
        each(finished, removed)
    });
    count(&emulator, accepted, claims).await?;
    emulator.stop().await?;
    Ok(())
}

/// Each start that was accepted is in the ledger once, and its operation tells its success; and of each job there are the
/// latest executions.
async fn count(emulator: &Emulator, accepted: Vec<u128>, claims: &mut Claims) -> Result<()> {
    let ledger = emulator.ledger();
    let operations = ledger.iter().map(|start| id(start.operation.id())).collect::<Result<BTreeSet<_>>>()?;
    let latest: BTreeSet<_> = ledger.iter().skip(ALL).map(|start| start.execution.to_string()).collect();
    claims.count("starts that were accepted", 2 * ALL, accepted.len());
    claims.count("starts in the ledger", 2 * ALL, ledger.len());
    claims.count("of them accepted", 2 * ALL, operations.intersection(&accepted.into_iter().collect()).count());

    let listed = executions(emulator).await?;
    claims.count("executions in the list", ALL, listed.len());
    let well = listed.iter().filter(|(name, succeeded)| *succeeded == 1 && latest.contains(name));
    claims.count("of them the latest, with one task that succeeded", ALL, well.count());
    claims.count("operations that are done, with one task that succeeded", 2 * ALL, done(emulator, &operations).await?);
    Ok(())
}

/// Starts so many executions, the jobs by turns; gives the ids of their operations, which weigh next to nothing here.
async fn start(caller: &Grpc, count: usize) -> Result<Vec<u128>> {
    let mut lanes = JoinSet::new();
    for lane in 0..IN_FLIGHT {
        let mut caller = caller.clone();
        lanes.spawn(async move {
            let mut ids = Vec::new();
            for index in (lane..count).step_by(IN_FLIGHT) {
                let operation = caller.run(&job(index % JOBS)).await?;
                ids.push(id(operation.name.rsplit('/').next().unwrap_or_default())?);
            }
            Result::Ok(ids)
        });
    }
    let mut ids = Vec::with_capacity(count);
    while let Some(lane) = lanes.join_next().await {
        ids.extend(lane??);
    }
    Ok(ids)
}

/// All executions of all jobs: their names, and how many of their tasks succeeded.
async fn executions(emulator: &Emulator) -> Result<Vec<(String, i32)>> {
    let mut client = ExecutionsClient::with_interceptor(connect(emulator).await?, Routed);
    let parent = format!("{LOCATION}/jobs/-");
    let mut request = ListExecutionsRequest { parent, page_size: 1000, ..ListExecutionsRequest::default() };
    let mut all = Vec::new();
    loop {
        let page = client.list_executions(request.clone()).await?.into_inner();
        all.extend(page.executions.into_iter().map(|execution| (execution.name, execution.succeeded_count)));
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

/// How many of these operations are in the list, done, and tell of one task that succeeded.
async fn done(emulator: &Emulator, operations: &BTreeSet<u128>) -> Result<usize> {
    let mut client = Grpc::connect(emulator).await?.operations;
    let name = LOCATION.to_owned();
    let mut request = ListOperationsRequest { name, page_size: 1000, ..ListOperationsRequest::default() };
    let mut found = BTreeSet::new();
    loop {
        let page = client.list_operations(request.clone()).await?.into_inner();
        for operation in page.operations.into_iter().filter(|operation| operation.done) {
            let id = id(operation.name.rsplit('/').next().unwrap_or_default())?;
            let execution = operation.metadata.unwrap_or_default();
            if operations.contains(&id) && Execution::decode(&*execution.value)?.succeeded_count == 1 {
                found.insert(id);
            }
        }
        if page.next_page_token.is_empty() {
            return Ok(found.len());
        }
        request.page_token = page.next_page_token;
    }
}

fn job(index: usize) -> String {
    format!("{LOCATION}/jobs/{}", job_id(index))
}

fn job_id(index: usize) -> String {
    format!("job-{index}")
}

fn create(index: usize) -> CreateJobRequest {
    let container = Container { image: "example.com/image".to_owned(), ..Container::default() };
    let task = TaskTemplate { containers: vec![container], ..TaskTemplate::default() };
    let template = ExecutionTemplate { template: Some(task), ..ExecutionTemplate::default() };
    CreateJobRequest {
        parent: LOCATION.to_owned(),
        job: Some(Job { template: Some(template), ..Job::default() }),
        job_id: job_id(index),
        ..CreateJobRequest::default()
    }
}

/// The number that the id of an operation, a UUID, stands for.
fn id(uuid: &str) -> Result<u128> {
    Ok(u128::from_str_radix(&uuid.replace('-', ""), 16)?)
}

/// Bytes for each execution, as a text.
fn each(before: Option<usize>, after: Option<usize>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("{} bytes", after.saturating_sub(before) / ALL),
        _ => "only on Linux".to_owned(),
    }
}
