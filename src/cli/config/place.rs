//! Which project, region, job or execution a word on the command line means.
//!
//! Knows the order in which a project and a region are looked for, and how short names become full ones. A full name
//! needs neither, so both are looked for only when a short name asks for them.

use super::{Environment, gcloud};
use crate::{
    ExecutionName, JobName, Location, NameError,
    cli::{
        args::{ExecutionArg, Global},
        failure::Failure,
    },
};

/// Where the emulator's sample jobs live unless told otherwise.
const DEMO_PROJECT: &str = "demo";
const DEMO_REGION: &str = "us-central1";

/// Which of the machine's settings count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The flags only: an emulator inside this process.
    Flags,
    /// Flags and variables: an emulator that a variable names.
    Variables,
    /// Flags, variables and gcloud's active configuration: the service.
    Machine,
}

/// Where short names belong.
#[derive(Debug)]
pub(super) struct Places<'a> {
    pub(super) global: &'a Global,
    pub(super) env: &'a Environment,
    pub(super) scope: Scope,
}

impl Places<'_> {
    /// The project and region of short names.
    pub(super) fn location(&self) -> Result<Location, Failure> {
        let project = self.find(
            self.global.project.as_deref(),
            &["CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT"],
            ("core", "project"),
            DEMO_PROJECT,
        );
        let region = self.find(
            self.global.region.as_deref(),
            &["CLOUDSDK_RUN_REGION", "GOOGLE_CLOUD_REGION"],
            ("run", "region"),
            DEMO_REGION,
        );
        let project = project.ok_or_else(|| {
            Failure::usage("no project is known")
                .hint("give --project=ID, set GOOGLE_CLOUD_PROJECT, or use a full name")
        })?;
        let region = region.ok_or_else(|| {
            Failure::usage("no region is known")
                .hint("give --region=REGION, set GOOGLE_CLOUD_REGION, or use a full name")
        })?;
        Location::new(project, region).map_err(unusable)
    }

    /// A job, by its id or its full name.
    pub(super) fn job(&self, text: &str) -> Result<JobName, Failure> {
        let job: JobName = if text.contains('/') {
            text.parse().map_err(unusable)?
        } else {
            self.location()?.job(text).map_err(unusable)?
        };
        if job.is_wildcard() {
            return Err(Failure::usage("job '-' stands for every job, and this needs one"));
        }
        Ok(job)
    }

    /// An execution, by its id or its full name.
    pub(super) fn execution(&self, typed: &ExecutionArg) -> Result<ExecutionName, Failure> {
        let text = typed.execution.as_str();
        let execution: ExecutionName = if text.contains('/') {
            text.parse().map_err(unusable)?
        } else {
            self.job_of(typed)?.execution(text).map_err(unusable)?
        };
        if execution.is_wildcard() || execution.job().is_wildcard() {
            return Err(Failure::usage("'-' stands for every job or execution, and this needs one"));
        }
        Ok(execution)
    }

    /// The job of a short execution id: as given, or the id without its last part.
    fn job_of(&self, typed: &ExecutionArg) -> Result<JobName, Failure> {
        if let Some(job) = &typed.job {
            return self.job(job);
        }
        let (job, _) = typed.execution.rsplit_once('-').filter(|(job, _)| !job.is_empty()).ok_or_else(|| {
            Failure::usage(format!("'{}' does not say of which job it is an execution", typed.execution))
                .hint("an execution is named like echo-x7k2p; otherwise give --job=JOB")
        })?;
        self.job(job)
    }

    fn find(&self, flag: Option<&str>, variables: &[&str], (section, key): (&str, &str), demo: &str) -> Option<String> {
        if let Some(value) = flag {
            return Some(value.to_owned());
        }
        let variable = || variables.iter().find_map(|name| self.env.var(name)).map(str::to_owned);
        match self.scope {
            Scope::Flags => Some(demo.to_owned()),
            Scope::Variables => variable().or_else(|| Some(demo.to_owned())),
            Scope::Machine => variable().or_else(|| gcloud::property(self.env, section, key)),
        }
    }
}

fn unusable(error: NameError) -> Failure {
    Failure::usage(error.to_string())
}
