//! Override flags and the containers they belong to: `--container=C` starts a section, as in gcloud.
//!
//! Knows that order matters on the command line, which clap's derive does not express, and hands on what was typed
//! section by section. What a value means (`A,B`, `K=V`) is not its business.

use std::mem;

use clap::{Arg, ArgAction, ArgMatches, Command, Error, FromArgMatches, error::ErrorKind};

use super::arguments;

const CONTAINER: &str = "container";
const ARGS: &str = "args";
const ARGS_FILE: &str = "args-file";
const CLEAR_ARGS: &str = "clear-args";
const UPDATE_ENV_VARS: &str = "update-env-vars";
const ENV_FILE: &str = "env-file";

/// The sections in the order typed. Without `--container` there is one, which names no container; without any override
/// the list is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Sections(pub(in crate::cli) Vec<Section>);

/// The override flags of one container, as typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Section {
    pub(in crate::cli) container: Option<String>,
    /// As often as it was typed; a file as `@FILE`.
    pub(in crate::cli) args: Vec<String>,
    pub(in crate::cli) clear_args: bool,
    /// As often as it was typed.
    pub(in crate::cli) update_env_vars: Vec<String>,
    pub(in crate::cli) env_file: Option<String>,
}

impl clap::Args for Sections {
    fn augment_args(command: Command) -> Command {
        let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::Append).num_args(1);
        command
            .arg(flag(CONTAINER).value_name("NAME").help(
                "The flags that follow are for this container, of a job that has several: \
                 --args, --args-file, --clear-args, --update-env-vars, --env-file",
            ))
            .arg(flag(ARGS).value_name("A,B").allow_hyphen_values(true).help(
                "Arguments instead of the job's own, separated by commas, or by DELIM when written ^DELIM^A DELIM B; \
                 an empty value clears them; @FILE reads a file as --args-file does",
            ))
            .arg(flag(ARGS_FILE).value_name("FILE").help(
                "File of arguments instead of the job's own, one a line as it stands; - is stdin. Adds to --args in the \
                 order typed",
            ))
            // A flag with an unseen value, because clap keeps the place of a value and not that of a bare flag.
            .arg(flag(CLEAR_ARGS).num_args(0).default_missing_value("").help("Start without the job's own arguments"))
            .arg(
                flag(UPDATE_ENV_VARS)
                    .value_name("K=V,...")
                    .help("Environment variables to add or replace, separated as in --args"),
            )
            .arg(flag(ENV_FILE).value_name("FILE").help(
                "File of environment variables to add or replace, read as python-dotenv reads it: K=V lines, export, quotes, \
                 comments, ${NAME}; a line that cannot be read is an error. --update-env-vars wins over it",
            ))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Sections {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut sections = Vec::new();
        let mut section = Section::default();
        for (flag, value) in in_order(matches) {
            if flag == CONTAINER {
                let next = Section { container: Some(value), ..Section::default() };
                let done = mem::replace(&mut section, next);
                close(done, &mut sections)?;
            } else {
                section.take(flag, value)?;
            }
        }
        let named = section.container.is_some();
        close(section, &mut sections)?;
        match sections.first() {
            Some(first) if named && first.container.is_none() => Err(conflict(
                "with --container, every --args, --args-file, --clear-args, --update-env-vars and --env-file stands after the \
                 --container it is for"
                    .to_owned(),
            )),
            _ => Ok(Self(sections)),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Section {
    fn take(&mut self, flag: &str, value: String) -> Result<(), Error> {
        let repeated = match flag {
            ARGS => add(&mut self.args, value),
            ARGS_FILE => add(&mut self.args, arguments::of_file(&value)),
            CLEAR_ARGS => mem::replace(&mut self.clear_args, true),
            UPDATE_ENV_VARS => add(&mut self.update_env_vars, value),
            _ => self.env_file.replace(value).is_some(),
        };
        if repeated {
            let place = self.container.as_ref().map(|name| format!(" for container '{name}'")).unwrap_or_default();
            return Err(conflict(format!("the argument '--{flag}' cannot be used multiple times{place}")));
        }
        if self.clear_args && !self.args.is_empty() {
            return Err(conflict(format!("the argument '--{ARGS}' cannot be used with '--{CLEAR_ARGS}'")));
        }
        Ok(())
    }
}

/// Adds one more list; it is no repetition, because lists add up.
fn add(lists: &mut Vec<String>, list: String) -> bool {
    lists.push(list);
    false
}

/// Every flag of a section that was typed, with its value, in the order typed.
fn in_order(matches: &ArgMatches) -> Vec<(&'static str, String)> {
    let mut typed = Vec::new();
    for flag in [CONTAINER, ARGS, ARGS_FILE, CLEAR_ARGS, UPDATE_ENV_VARS, ENV_FILE] {
        let places = matches.indices_of(flag).into_iter().flatten();
        let values = matches.get_many::<String>(flag).into_iter().flatten();
        typed.extend(places.zip(values).map(|(place, value)| (place, flag, value.clone())));
    }
    typed.sort_by_key(|(place, ..)| *place);
    typed.into_iter().map(|(_, flag, value)| (flag, value)).collect()
}

/// Adds a finished section, unless it is the empty one before the first flag.
fn close(section: Section, sections: &mut Vec<Section>) -> Result<(), Error> {
    if section == Section::default() {
        return Ok(());
    }
    if let Some(name) = &section.container {
        if sections.iter().any(|earlier| earlier.container == section.container) {
            return Err(conflict(format!("container '{name}' is named by more than one '--{CONTAINER}'")));
        }
        if section == (Section { container: Some(name.clone()), ..Section::default() }) {
            return Err(conflict(format!("no flag follows '--{CONTAINER}={name}' to say what to override")));
        }
    }
    sections.push(section);
    Ok(())
}

fn conflict(message: String) -> Error {
    Error::raw(ErrorKind::ArgumentConflict, message)
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::*;

    fn sections(line: &[&str]) -> Result<Vec<Section>, String> {
        let command = Sections::augment_args(Command::new("execute").no_binary_name(true));
        let matches = command.try_get_matches_from(line).map_err(|error| error.to_string())?;
        Sections::from_arg_matches(&matches).map(|sections| sections.0).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_typed_is_no_section() {
        assert_eq!(sections(&[]), Ok(Vec::new()));
    }

    #[test]
    fn without_container_there_is_one_section_for_the_only_container() {
        let expected =
            Section { args: vec!["--a,b".into()], update_env_vars: vec!["K=V".into()], ..Section::default() };
        assert_eq!(sections(&["--update-env-vars=K=V", "--args=--a,b"]), Ok(vec![expected]));
    }

    #[test]
    fn an_empty_value_is_kept_apart_from_no_value() {
        assert_eq!(sections(&["--args="]).expect("valid")[0].args, [""]);
    }

    #[test]
    fn lists_may_be_repeated() {
        let line = ["--args=a", "--update-env-vars=A=1", "--args=b,c", "--update-env-vars=B=2"];
        let sections = sections(&line).expect("valid");
        assert_eq!(sections[0].args, ["a", "b,c"]);
        assert_eq!(sections[0].update_env_vars, ["A=1", "B=2"]);
    }

    #[test]
    fn flags_belong_to_the_container_named_before_them() {
        let line = ["--container=web", "--args=a", "--container", "log", "--clear-args", "--env-file=f"];
        let web = Section { container: Some("web".into()), args: vec!["a".into()], ..Section::default() };
        let log = Section {
            container: Some("log".into()),
            clear_args: true,
            env_file: Some("f".into()),
            ..Section::default()
        };
        assert_eq!(sections(&line), Ok(vec![web, log]));
    }

    #[test]
    fn the_same_flag_may_be_given_once_for_each_container() {
        let line = ["--container=a", "--clear-args", "--container=b", "--clear-args"];
        assert!(sections(&line).expect("valid").iter().all(|section| section.clear_args));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        let cases: [(&[&str], &str); 7] = [
            (&["--env-file=a", "--env-file=b"], "'--env-file' cannot be used multiple times"),
            (&["--container=c", "--env-file=a", "--env-file=b"], "multiple times for container 'c'"),
            (&["--clear-args", "--clear-args"], "'--clear-args' cannot be used multiple times"),
            (&["--clear-args", "--args=a"], "'--args' cannot be used with '--clear-args'"),
            (&["--args=a", "--container=c", "--args=b"], "stands after the --container it is for"),
            (&["--container=c", "--args=a", "--container=c", "--clear-args"], "more than one '--container'"),
            (&["--container=c"], "no flag follows '--container=c'"),
        ];
        for (line, expected) in cases {
            let error = sections(line).expect_err(expected);
            assert!(error.contains(expected), "{line:?}: {error}");
        }
    }
}
