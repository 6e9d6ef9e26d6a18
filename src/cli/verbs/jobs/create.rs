//! `runjob jobs create`: a job of one container, and how often it runs.
//!
//! What is not typed is left unset, so that the service's defaults hold.

use std::time::Duration;

use crate::{
    JobName, Location,
    cli::{
        context::Context,
        exit::Exit,
        failure::Failure,
        flags::{arguments, lists, values},
        printer::Printer,
        session::Session,
        show::{job, mask::mask},
        verb::Verb,
    },
    proto::run::v2::{Container, EnvVar, ExecutionTemplate, Job, TaskTemplate, env_var, task_template},
};

/// `runjob jobs create`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Create {
    /// Job to create: its id or its full name.
    job: String,
    /// Container image, e.g. `us-docker.pkg.dev/acme/tools/screenshot:1.4`.
    #[arg(long)]
    image: String,
    /// Entrypoint, instead of the image's own; a list as in --args.
    #[arg(long, value_name = "A,B", allow_hyphen_values = true)]
    command: Vec<String>,
    /// Arguments, separated by commas, or by DELIM when written `^DELIM^A DELIM B`; @FILE reads one from each line.
    #[arg(long, value_name = "A,B", allow_hyphen_values = true)]
    args: Vec<String>,
    /// Environment variables, separated as in --args.
    #[arg(long, value_name = "K=V,...")]
    set_env_vars: Vec<String>,
    /// Number of tasks. The service's default is 1.
    #[arg(long, value_name = "N", value_parser = values::task_count, allow_negative_numbers = true)]
    tasks: Option<u32>,
    /// Most tasks at a time; 0 leaves it to the service, which is the default.
    #[arg(long, value_name = "N", value_parser = values::count, allow_negative_numbers = true)]
    parallelism: Option<u32>,
    /// Retries of each failed task. The service's default is 3.
    #[arg(long, value_name = "N", value_parser = values::count, allow_negative_numbers = true)]
    max_retries: Option<u32>,
    /// Limit of each attempt of a task, 1s to 168h. The service's default is 10m.
    #[arg(long, value_name = "DURATION", value_parser = values::task_timeout, allow_negative_numbers = true)]
    task_timeout: Option<Duration>,
}

/// The job to create.
#[derive(Debug)]
pub(in crate::cli) struct Meaning {
    job: JobName,
    definition: Job,
}

impl Verb for Create {
    type Meaning = Meaning;

    fn resolve(self, context: &Context<'_>) -> Result<Meaning, Failure> {
        let definition = definition(&self)?;
        Ok(Meaning { job: context.job(&self.job)?, definition })
    }

    fn location(meaning: &Meaning) -> &Location {
        meaning.job.location()
    }

    async fn run(meaning: Meaning, session: &Session, printer: &Printer) -> Result<Exit, Failure> {
        let Meaning { job, definition } = meaning;
        let mut creation = session.client.create_job(&job, definition).await?;
        // Accepted means stored, whether or not it then becomes ready.
        let created = creation.wait().await.map_err(|error| {
            Failure::from(error)
                .hint(format!("the job was stored and is not ready: `runjob jobs describe {job}` says why"))
        })?;
        printer.note(&format!("note: created; `runjob execute {job}` starts it"));
        job::show(printer, &mask(created, false))?;
        Ok(Exit::Done)
    }
}

/// The definition that was typed. Its name goes on the request, not into it.
fn definition(typed: &Create) -> Result<Job, Failure> {
    let template = TaskTemplate {
        containers: vec![container(typed)?],
        retries: int32("--max-retries", typed.max_retries)?.map(task_template::Retries::MaxRetries),
        timeout: typed
            .task_timeout
            .map(prost_types::Duration::try_from)
            .transpose()
            .map_err(|error| Failure::usage(format!("--task-timeout: {error}")))?,
        ..TaskTemplate::default()
    };
    let template = ExecutionTemplate {
        task_count: int32("--tasks", typed.tasks)?.unwrap_or_default(),
        parallelism: int32("--parallelism", typed.parallelism)?.unwrap_or_default(),
        template: Some(template),
        ..ExecutionTemplate::default()
    };
    Ok(Job { template: Some(template), ..Job::default() })
}

fn container(typed: &Create) -> Result<Container, Failure> {
    let env = lists::pairs("--set-env-vars", &typed.set_env_vars)?;
    let env = env.into_iter().map(|(name, value)| EnvVar { name, values: Some(env_var::Values::Value(value)) });
    Ok(Container {
        image: typed.image.clone(),
        command: lists::list("--command", &typed.command)?,
        args: arguments::list(&typed.args)?,
        env: env.collect(),
        ..Container::default()
    })
}

/// A count as the API holds it.
fn int32(flag: &str, count: Option<u32>) -> Result<Option<i32>, Failure> {
    let narrow = |count| i32::try_from(count).map_err(|_| Failure::usage(format!("{flag}: at most {}", i32::MAX)));
    count.map(narrow).transpose()
}
