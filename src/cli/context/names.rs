//! Which project, region, job or execution a word on the command line means.
//!
//! Knows the order in which a project and a region are looked for, and how short names become full ones. A full name
//! needs neither, so both are looked for only when a short name asks for them.

use super::{Context, Target, gcloud};
use crate::{
    ExecutionName, JobName, Location, NameError,
    cli::{
        failure::Failure,
        flags::{global::Global, names::ExecutionArg},
    },
};

/// Where the emulator's sample jobs live by default.
const DEMO_PROJECT: &str = "demo";
const DEMO_REGION: &str = "us-central1";

/// Which of the machine's settings count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// The flags only: an emulator inside this process.
    Flags,
    /// Flags and variables: an emulator that a variable names.
    Variables,
    /// Flags, variables and gcloud's active configuration: the service.
    Machine,
}

impl Context<'_> {
    /// The project and region of short names.
    pub(in crate::cli) fn location(&self) -> Result<Location, Failure> {
        self.location_in(match self.target {
            Target::InProcess => Scope::Flags,
            Target::Emulator { .. } => Scope::Variables,
            Target::Service { .. } => Scope::Machine,
        })
    }

    /// Where the sample jobs of an emulator live.
    pub(in crate::cli) fn sample_location(&self) -> Result<Location, Failure> {
        self.location_in(Scope::Flags)
    }

    fn location_in(&self, scope: Scope) -> Result<Location, Failure> {
        let (project, region) = (self.find(&PROJECT, scope)?, self.find(&REGION, scope)?);
        // Each by itself with the other known to be good, to tell which one is not.
        Location::new(project.value.as_str(), DEMO_REGION).map_err(|error| project.refusal(&error))?;
        Location::new(project.value.as_str(), region.value.as_str()).map_err(|error| region.refusal(&error))
    }

    /// A job, by its id or its full name.
    pub(in crate::cli) fn job(&self, text: &str) -> Result<JobName, Failure> {
        let job: JobName = if text.contains('/') {
            text.parse().map_err(|error| unusable(&error))?
        } else {
            self.location()?.job(text).map_err(|error| unusable(&error))?
        };
        if job.is_wildcard() {
            return Err(Failure::usage("job '-' stands for every job, and this needs one"));
        }
        Ok(job)
    }

    /// An execution, by its id or its full name.
    pub(in crate::cli) fn execution(&self, typed: &ExecutionArg) -> Result<ExecutionName, Failure> {
        let text = typed.execution.as_str();
        let execution: ExecutionName = if text.contains('/') {
            text.parse().map_err(|error| unusable(&error))?
        } else {
            self.job_of(typed)?.execution(text).map_err(|error| unusable(&error))?
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

    /// The first that is set.
    fn find(&self, setting: &Setting, scope: Scope) -> Result<Found, Failure> {
        if let Some(value) = (setting.flag)(self.global) {
            return Ok(Found { what: setting.what, value: value.clone(), place: None });
        }
        let variable = || setting.variables.iter().find_map(|name| Some((self.env.var(name)?.to_owned(), *name)));
        let property = || Some((gcloud::property(self.env, setting.section, setting.what)?, "gcloud's configuration"));
        let found = match scope {
            Scope::Flags => None,
            Scope::Variables => variable(),
            Scope::Machine => Some(variable().or_else(property).ok_or_else(|| setting.unknown())?),
        };
        let (value, place) =
            found.map_or_else(|| (setting.demo.to_owned(), None), |(value, place)| (value, Some(place)));
        Ok(Found { what: setting.what, value, place })
    }
}

/// Where a project or a region is looked for.
struct Setting {
    what: &'static str,
    /// How the help shows its value.
    placeholder: &'static str,
    flag: fn(&Global) -> &Option<String>,
    variables: [&'static str; 2],
    /// gcloud's name of it is `section/what`.
    section: &'static str,
    demo: &'static str,
}

const PROJECT: Setting = Setting {
    what: "project",
    placeholder: "ID",
    flag: |global| &global.project,
    variables: ["CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT"],
    section: "core",
    demo: DEMO_PROJECT,
};

const REGION: Setting = Setting {
    what: "region",
    placeholder: "REGION",
    flag: |global| &global.region,
    variables: ["CLOUDSDK_RUN_REGION", "GOOGLE_CLOUD_REGION"],
    section: "run",
    demo: DEMO_REGION,
};

impl Setting {
    fn unknown(&self) -> Failure {
        let Self { what, placeholder, variables: [_, variable], .. } = self;
        Failure::usage(format!("no {what} is known"))
            .hint(format!("give --{what}={placeholder}, set {variable}, or use a full name"))
    }
}

/// A project or a region, and what holds it unless it was typed.
struct Found {
    what: &'static str,
    value: String,
    place: Option<&'static str>,
}

impl Found {
    /// What was typed may be repeated. What a variable holds may be anything, even a secret.
    fn refusal(&self, error: &NameError) -> Failure {
        match self.place {
            None => unusable(error),
            Some(place) => Failure::usage(format!("{place} holds no {} (what it holds is not shown)", self.what)),
        }
    }
}

fn unusable(error: &NameError) -> Failure {
    Failure::usage(error.to_string())
}
