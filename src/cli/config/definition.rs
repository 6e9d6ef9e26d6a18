//! The job that `jobs create` describes: one container, and how often it runs.
//!
//! What is not typed is left unset, so that the service's defaults hold.

use crate::{
    cli::{args::JobsCreate, failure::Failure, flags::lists},
    proto::run::v2::{Container, EnvVar, ExecutionTemplate, Job, TaskTemplate, env_var, task_template},
};

/// The definition that was typed. Its name goes on the request, not into it.
pub(super) fn resolve(typed: &JobsCreate) -> Result<Job, Failure> {
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

fn container(typed: &JobsCreate) -> Result<Container, Failure> {
    let list = |flag, text: &Option<String>| lists::list(flag, text.as_deref().unwrap_or_default());
    let env = lists::pairs("--set-env-vars", typed.set_env_vars.as_deref().unwrap_or_default())?;
    let env = env.into_iter().map(|(name, value)| EnvVar { name, values: Some(env_var::Values::Value(value)) });
    Ok(Container {
        image: typed.image.clone(),
        command: list("--command", &typed.command)?,
        args: list("--args", &typed.args)?,
        env: env.collect(),
        ..Container::default()
    })
}

/// A count as the API holds it.
fn int32(flag: &str, count: Option<u32>) -> Result<Option<i32>, Failure> {
    let narrow = |count| i32::try_from(count).map_err(|_| Failure::usage(format!("{flag}: at most {}", i32::MAX)));
    count.map(narrow).transpose()
}
