//! Which project, region, job or execution a word on the command line means.
//!
//! Knows the order in which a project and a region are looked for, and how short names become full ones. A full name
//! needs neither, so both are looked for only when a short name asks for them.

use std::fmt::{self, Display, Formatter};

use super::{Context, Target};
use crate::{
    ExecutionName, JobName, Location, NameError, TaskName,
    cli::{
        failure::Failure,
        flags::{
            global::Global,
            names::{ExecutionArg, TaskArg},
        },
    },
    gcloud,
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
        self.location_in(self.scope())
    }

    /// The project of short names, and where it was found.
    pub(in crate::cli) fn project(&self) -> Result<Found, Failure> {
        self.find(&PROJECT, self.scope())
    }

    /// The region of short names, and where it was found.
    pub(in crate::cli) fn region(&self) -> Result<Found, Failure> {
        self.find(&REGION, self.scope())
    }

    fn scope(&self) -> Scope {
        match self.target {
            Target::InProcess => Scope::Flags,
            Target::Emulator { .. } => Scope::Variables,
            Target::Service { .. } => Scope::Machine,
        }
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

    /// A task, by its id or its full name.
    pub(in crate::cli) fn task(&self, typed: &TaskArg) -> Result<TaskName, Failure> {
        if typed.task.contains('/') {
            return typed.task.parse().map_err(|error| unusable(&error));
        }
        let (execution, _) = typed.task.rsplit_once('-').ok_or_else(|| {
            Failure::usage(format!("'{}' does not say of which execution it is a task", typed.task))
                .hint("a task is named like echo-x7k2p-task0")
        })?;
        let execution = ExecutionArg { execution: execution.to_owned(), job: typed.job.clone() };
        self.execution(&execution)?.task(typed.task.as_str()).map_err(|error| unusable(&error))
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
    fn find(&self, setting: &NameSource, scope: Scope) -> Result<Found, Failure> {
        if let Some(value) = (setting.flag)(self.global) {
            return Ok(Found { what: setting.what, value: value.clone(), origin: Origin::Flag(setting.typed) });
        }
        let variable = || setting.variables.iter().find_map(|name| Some((self.env.var(name)?.to_owned(), *name)));
        let property = || {
            let value = gcloud::property(&self.env.lookup(), setting.section, setting.what)?;
            Some((value, "gcloud's configuration"))
        };
        let found = match scope {
            Scope::Flags => None,
            Scope::Variables => variable(),
            Scope::Machine => Some(variable().or_else(property).ok_or_else(|| setting.unknown())?),
        };
        let (value, origin) = match found {
            Some((value, place)) => (value, Origin::Setting(place)),
            None => (setting.demo.to_owned(), Origin::Samples),
        };
        Ok(Found { what: setting.what, value, origin })
    }
}

/// Where a project or a region is looked for.
struct NameSource {
    what: &'static str,
    /// How the help shows its value.
    placeholder: &'static str,
    flag: fn(&Global) -> &Option<String>,
    typed: &'static str,
    variables: [&'static str; 2],
    /// gcloud's name of it is `section/what`.
    section: &'static str,
    demo: &'static str,
}

const PROJECT: NameSource = NameSource {
    what: "project",
    placeholder: "ID",
    flag: |global| &global.project,
    typed: "--project",
    variables: ["CLOUDSDK_CORE_PROJECT", "GOOGLE_CLOUD_PROJECT"],
    section: "core",
    demo: DEMO_PROJECT,
};

const REGION: NameSource = NameSource {
    what: "region",
    placeholder: "REGION",
    flag: |global| &global.region,
    typed: "--region",
    variables: ["CLOUDSDK_RUN_REGION", "GOOGLE_CLOUD_REGION"],
    section: "run",
    demo: DEMO_REGION,
};

impl NameSource {
    fn unknown(&self) -> Failure {
        let Self { what, placeholder, variables: [_, variable], .. } = self;
        Failure::usage(format!("no {what} is known"))
            .hint(format!("give --{what}={placeholder}, set {variable}, or use a full name"))
    }
}

/// A project or a region, and where it was found.
pub(in crate::cli) struct Found {
    what: &'static str,
    pub(in crate::cli) value: String,
    pub(in crate::cli) origin: Origin,
}

/// Where a project or a region was found.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) enum Origin {
    Flag(&'static str),
    /// A variable or gcloud's configuration.
    Setting(&'static str),
    /// It is where an emulator has its sample jobs.
    Samples,
}

impl Found {
    /// What was typed may be repeated. What a variable holds may be anything, even a secret.
    fn refusal(&self, error: &NameError) -> Failure {
        match self.origin {
            Origin::Flag(_) | Origin::Samples => unusable(error),
            Origin::Setting(place) => {
                Failure::usage(format!("{place} holds no {} (what it holds is not shown)", self.what))
            }
        }
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag(place) | Self::Setting(place) => place,
            Self::Samples => "that of the sample jobs",
        })
    }
}

fn unusable(error: &NameError) -> Failure {
    Failure::usage(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cli::environment::Environment;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::new(variables.iter().map(|(name, value)| (name.into(), value.into())))
    }

    fn flags(project: Option<&str>, emulator: bool) -> Global {
        let project = project.map(str::to_owned);
        Global { project, emulator, ..Global::default() }
    }

    fn location(flags: &Global, variables: &[(&str, &str)]) -> Result<String, Failure> {
        Ok(Context::new(flags, &environment(variables)).location()?.to_string())
    }

    #[test]
    fn a_flag_wins_over_a_variable_and_a_full_name_over_both() {
        let env = environment(&[
            ("CLOUDSDK_CORE_PROJECT", "first"),
            ("GOOGLE_CLOUD_PROJECT", "second"),
            ("CLOUDSDK_RUN_REGION", ""),
            ("GOOGLE_CLOUD_REGION", "europe-west1"),
        ]);
        let full = "projects/full/locations/us-east1/jobs/j";
        for (flag, job, expected) in [
            (None, "echo", "projects/first/locations/europe-west1/jobs/echo"),
            (Some("third"), "echo", "projects/third/locations/europe-west1/jobs/echo"),
            (Some("third"), full, full),
        ] {
            let job = Context::new(&flags(flag, false), &env).job(job).expect("a name");
            assert_eq!(job.to_string(), expected);
        }
    }

    #[test]
    fn gclouds_active_configuration_is_the_last_resort() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("temporary file");
        fs::create_dir(directory.path().join("configurations")).expect("temporary directory");
        write("active_config", "work\n");
        write("configurations/config_work", "[core]\nproject = acme\n[run]\nregion = asia-northeast1\n");
        let own = directory.path().to_str().expect("Unicode");

        let configured = location(&flags(None, false), &[("CLOUDSDK_CONFIG", own)]);
        assert_eq!(configured.expect("known"), "projects/acme/locations/asia-northeast1");
        let in_process = location(&flags(None, true), &[("CLOUDSDK_CONFIG", own), ("GOOGLE_CLOUD_PROJECT", "x")]);
        assert_eq!(in_process.expect("known"), "projects/demo/locations/us-central1");
    }

    #[test]
    fn an_unknown_project_or_region_says_how_to_give_it() {
        let failure = location(&flags(None, false), &[]).expect_err("no project");
        assert_eq!(failure.message(), "no project is known");
        assert!(failure.way_out().is_some_and(|hint| hint.contains("--project=ID")));
        let failure = location(&flags(Some("acme"), false), &[]).expect_err("no region");
        assert_eq!(failure.message(), "no region is known");
    }

    #[test]
    fn what_a_variable_holds_is_not_repeated() {
        let variables = [("GOOGLE_CLOUD_PROJECT", "{\"private_key\": 1}"), ("CLOUDSDK_RUN_REGION", "hunter two")];
        for (flag, expected) in [
            (None, "GOOGLE_CLOUD_PROJECT holds no project (what it holds is not shown)"),
            (Some("p"), "CLOUDSDK_RUN_REGION holds no region (what it holds is not shown)"),
            (Some("P"), "\"P\" is not a valid project id: use 1 to 128 lowercase letters, digits and '-'"),
        ] {
            let failure = location(&flags(flag, false), &variables).expect_err(expected);
            assert_eq!(failure.message(), expected);
        }
    }

    #[test]
    fn an_emulator_named_by_a_variable_is_called_for_the_sample_jobs() {
        let variables = [("RUN_EMULATOR_HOST", "127.0.0.1:1"), ("CLOUDSDK_CONFIG", "/nowhere")];
        let location = location(&flags(None, false), &variables);
        assert_eq!(location.expect("known"), "projects/demo/locations/us-central1");
    }

    #[test]
    fn a_short_execution_id_belongs_to_the_job_before_its_last_part() {
        let (flags, env) = (flags(None, true), environment(&[]));
        let context = Context::new(&flags, &env);
        let execution = |execution: &str, job: Option<&str>| {
            let typed = ExecutionArg { execution: execution.to_owned(), job: job.map(str::to_owned) };
            context.execution(&typed).map(|name| name.to_string())
        };
        let prefix = "projects/demo/locations/us-central1/jobs";
        let name = execution("my-job-x7k2p", None).expect("a name");
        assert_eq!(name, format!("{prefix}/my-job/executions/my-job-x7k2p"));
        let name = execution("my-job-a-b", Some("my-job")).expect("a name");
        assert_eq!(name, format!("{prefix}/my-job/executions/my-job-a-b"));
        let failure = execution("echo", None).expect_err("no job in it");
        assert!(failure.way_out().is_some_and(|hint| hint.contains("--job")));
    }

    #[test]
    fn names_that_are_not_names_are_refused() {
        let (flags, env) = (flags(None, true), environment(&[]));
        let context = Context::new(&flags, &env);
        for name in ["Echo", "../x", "a/b", "-", "projects/p/locations/r/jobs/-", &"a".repeat(64), "a\u{7}"] {
            assert!(context.job(name).is_err(), "{name}");
        }
    }
}
