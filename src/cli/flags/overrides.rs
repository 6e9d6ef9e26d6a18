//! What the override flags mean: for which container which arguments and variables, and what for the execution.
//!
//! Reads the files that `--env-file` and `--args-file` name. The merge with the job's own values is up to the service.

use std::{collections::HashSet, time::Duration};

use super::{
    arguments, env_file, lists,
    sections::{Section, Sections},
};
use crate::cli::{environment::Environment, failure::Failure};

/// What one start changes about the job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Overrides {
    pub(in crate::cli) containers: Vec<ContainerFlags>,
    pub(in crate::cli) task_count: Option<u32>,
    pub(in crate::cli) task_timeout: Option<Duration>,
}

/// What one start changes about a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct ContainerFlags {
    /// The container's name; without one it is the job's only container.
    pub(in crate::cli) name: Option<String>,
    /// Arguments instead of the job's own. An empty list clears them.
    pub(in crate::cli) args: Option<Vec<String>>,
    /// Variables to add or replace.
    pub(in crate::cli) env: Vec<(String, String)>,
}

/// The overrides that these sections ask for.
pub(in crate::cli) fn resolve(sections: &Sections, env: &Environment) -> Result<Vec<ContainerFlags>, Failure> {
    if stdin_reads(sections) > 1 {
        return Err(Failure::usage("stdin is named as a file of arguments more than once"));
    }
    sections.0.iter().map(|section| container(section, env)).collect()
}

/// How often these sections read stdin.
pub(in crate::cli) fn stdin_reads(sections: &Sections) -> usize {
    sections.0.iter().flat_map(|section| &section.args).filter(|text| *text == arguments::STDIN).count()
}

fn container(section: &Section, env: &Environment) -> Result<ContainerFlags, Failure> {
    if section.container.as_deref() == Some("") {
        return Err(Failure::usage("--container: the name is empty"));
    }
    let args = match section.args.as_slice() {
        [] => section.clear_args.then(Vec::new),
        texts => Some(arguments::list(texts)?),
    };
    let mut variables = match &section.env_file {
        Some(path) => env_file::read(path, env)?,
        None => Vec::new(),
    };
    let flags = lists::pairs("--update-env-vars", &section.update_env_vars)?;
    let named: HashSet<_> = flags.iter().map(|(name, _)| name.as_str()).collect();
    variables.retain(|(name, _)| !named.contains(name.as_str()));
    variables.extend(flags);
    Ok(ContainerFlags { name: section.container.clone(), args, env: variables })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn overrides(section: Section) -> ContainerFlags {
        container(&section, &Environment::default()).expect("the section has a meaning")
    }

    #[test]
    fn an_empty_list_and_clear_args_mean_the_same() {
        let emptied = overrides(Section { args: vec![String::new()], ..Section::default() });
        let cleared = overrides(Section { clear_args: true, ..Section::default() });
        assert_eq!(emptied.args, Some(Vec::new()));
        assert_eq!(emptied, cleared);
    }

    #[test]
    fn args_that_are_not_typed_stay_as_the_job_has_them() {
        let section = Section { update_env_vars: vec!["A=1".into()], ..Section::default() };
        assert_eq!(overrides(section).args, None);
    }

    #[test]
    fn a_variable_on_the_command_line_wins_over_the_files() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let file = directory.path().join("variables.env");
        fs::write(&file, "A=file\nB=file\n").expect("temporary file");
        let section = Section {
            env_file: file.to_str().map(str::to_owned),
            update_env_vars: vec!["A=flag,C=flag".into()],
            ..Section::default()
        };
        let env = overrides(section).env;
        let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(env, [("B", "file"), ("A", "flag"), ("C", "flag")]);
    }
}
