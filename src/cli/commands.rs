//! The verbs, one a file, and the way from a configuration to one of them.

mod cancel;
mod describe;
mod emulator;
mod execute;
mod executions;
mod jobs;
mod recover;
mod tasks;
mod wait;

use super::{
    config::{Call, Config},
    context::Target,
    exit::Exit,
    failure::Failure,
    printer::Printer,
    session::Session,
};

/// Carries out a command.
pub(super) async fn run(config: Config, target: &Target, printer: &Printer) -> Result<Exit, Failure> {
    match config {
        Config::Serve(serve) => emulator::run(serve, printer).await,
        Config::Recover(starts) => recover::run(target, starts, printer).await,
        Config::Call(call) => session(target, call, printer).await,
    }
}

/// Carries out a command that calls, from the connection to its end.
async fn session(target: &Target, call: Call, printer: &Printer) -> Result<Exit, Failure> {
    let session = Session::open(target, call.location(), printer).await?;
    let exit = dispatch(&session, call, printer).await?;
    session.close().await?;
    Ok(exit)
}

async fn dispatch(session: &Session, call: Call, printer: &Printer) -> Result<Exit, Failure> {
    let client = &session.client;
    match call {
        Call::Execute { start, waiting } => return execute::run(session, printer, start, waiting.as_ref()).await,
        Call::Wait { execution, waiting } => return wait::run(session, printer, &execution, &waiting).await,
        Call::Describe { execution, show_env } => describe::run(client, printer, &execution, show_env).await?,
        Call::Cancel { execution } => cancel::run(client, printer, &execution).await?,
        Call::ListJobs { location, show_env } => jobs::list(client, printer, &location, show_env).await?,
        Call::DescribeJob { job, show_env } => jobs::describe(client, printer, &job, show_env).await?,
        Call::CreateJob { job, definition } => jobs::create(client, printer, &job, *definition).await?,
        Call::DeleteJob { job } => jobs::delete(client, printer, &job).await?,
        Call::ListExecutions { job, show_env } => executions::list(client, printer, &job, show_env).await?,
        Call::ListTasks { execution, show_env } => tasks::list(client, printer, &execution, show_env).await?,
    }
    Ok(Exit::Done)
}
