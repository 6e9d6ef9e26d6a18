//! The variables that a job takes from Secret Manager, which no start may give as text: the text would stand in the execution,
//! for all who may read that. gcloud refuses it as well.

use std::collections::HashSet;

use crate::{
    Client, JobName,
    cli::flags::overrides::{ContainerFlags, Overrides},
    proto::run::v2::{Container, Job, env_var::Values},
};

/// Each container with such variables, by its name.
#[derive(Debug)]
pub(super) struct SecretVariables {
    job: JobName,
    containers: Vec<(String, HashSet<String>)>,
}

impl SecretVariables {
    /// Those of the job, which is read only if one of these starts gives a variable. A job that cannot be read has none: a
    /// caller may be allowed to start it and no more, and of everything else the start tells more.
    pub(super) async fn of(client: &Client, job: &JobName, starts: impl Iterator<Item = &Overrides>) -> Self {
        let mut containers = starts.flat_map(|start| &start.containers);
        let containers = if containers.any(|container| !container.env.is_empty()) {
            client.job(job).await.map(|job| secrets(&job)).unwrap_or_default()
        } else {
            Vec::new()
        };
        Self { job: job.clone(), containers }
    }

    /// Why a start with these overrides is refused, and what can be done instead, if it is.
    pub(super) fn refused(&self, overrides: &Overrides) -> Option<(String, String)> {
        let name = overrides.containers.iter().find_map(|container| self.given_as_text(container))?;
        let job = &self.job;
        let what = format!("{name} is a secret in job {job}, and this start would give it as text");
        Some((
            what,
            format!("leave it out, or change the job: runjob jobs update {job} --update-secrets={name}=SECRET:VERSION"),
        ))
    }

    fn given_as_text<'a>(&self, given: &'a ContainerFlags) -> Option<&'a str> {
        let of = |name: &String| self.containers.iter().find(|(of, _)| of == name);
        let (_, secrets) = given.name.as_ref().map_or_else(|| self.containers.first(), of)?;
        given.env.iter().map(|(name, _)| name.as_str()).find(|name| secrets.contains(*name))
    }
}

/// By container, in the job's order: overrides without a name are the first one's.
fn secrets(job: &Job) -> Vec<(String, HashSet<String>)> {
    let template = job.template.as_ref().and_then(|template| template.template.as_ref());
    template
        .iter()
        .flat_map(|template| &template.containers)
        .map(|container| (container.name.clone(), of(container)))
        .collect()
}

fn of(container: &Container) -> HashSet<String> {
    let from_elsewhere =
        container.env.iter().filter(|variable| matches!(variable.values, Some(Values::ValueSource(_))));
    from_elsewhere.map(|variable| variable.name.clone()).collect()
}
