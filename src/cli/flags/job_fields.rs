//! The flags that define a job, read from the command line and applied to a job.
//!
//! Which flags there are, and what each does, is a table. `--container=C` starts a section: the flags about a container that
//! follow are for that one. Everything is read before anything is called.

mod env;
mod network;
mod table;
mod value;
mod volumes;

use clap::{Arg, ArgAction, ArgMatches, Command, Error, FromArgMatches, error::ErrorKind};

pub(in crate::cli) use self::table::{CREATE, DEPLOY, UPDATE};
use self::{
    table::{FLAGS, FieldAction, FieldFlag, FieldPlace, task},
    value::{FieldValue, ValueKind},
};
use crate::{
    cli::failure::Failure,
    proto::run::v2::{Container, Job},
};

const CONTAINER: &str = "container";

/// The flags of a verb that define a job, as typed.
#[derive(Debug, Clone)]
pub(in crate::cli) struct JobFlags<const VERB: u8>(Vec<TypedFlag>);

/// A flag, and what it was given.
#[derive(Debug, Clone)]
struct TypedFlag {
    flag: &'static FieldFlag,
    container: Option<String>,
    /// As often as it was typed.
    texts: Vec<String>,
}

/// What the flags change about a job.
#[derive(Debug)]
pub(in crate::cli) struct JobChanges(Vec<FieldChange>);

#[derive(Debug)]
struct FieldChange {
    flag: &'static FieldFlag,
    container: Option<String>,
    value: FieldValue,
}

impl<const VERB: u8> clap::Args for JobFlags<VERB> {
    fn augment_args(command: Command) -> Command {
        let container = Arg::new(CONTAINER).long(CONTAINER).value_name("NAME").action(ArgAction::Append).num_args(1).help(
            "The flags about a container that follow are for this one, of a job that has several; it is added where the \
             job lacks it",
        );
        FLAGS
            .iter()
            .filter(|flag| flag.is_of(VERB))
            .fold(command.arg(container), |command, flag| command.arg(arg(flag)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn arg(flag: &FieldFlag) -> Arg {
    let arg = Arg::new(flag.name).long(flag.name).help(flag.help).action(ArgAction::Append);
    if flag.kind == ValueKind::Switch {
        // A flag with an unseen value, because clap keeps the place of a value and not that of a bare flag.
        return arg.num_args(0).default_missing_value("");
    }
    let is_free = matches!(flag.kind, ValueKind::List | ValueKind::Arguments);
    arg.value_name(flag.value).num_args(1).allow_hyphen_values(is_free).allow_negative_numbers(!is_free)
}

impl<const VERB: u8> FromArgMatches for JobFlags<VERB> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let (mut typed, mut names) = (Vec::<TypedFlag>::new(), Vec::new());
        for (flag, text) in in_order::<VERB>(matches) {
            match flag {
                Some(flag) => add(&mut typed, flag, names.last(), text)?,
                None if names.contains(&text) => {
                    return Err(conflict(format!("container '{text}' is named by more than one '--{CONTAINER}'")));
                }
                None => names.push(text),
            }
        }
        let is_used = |name: &String| typed.iter().any(|typed| typed.container.as_ref() == Some(name));
        if let Some(idle) = names.iter().find(|name| !is_used(name)) {
            return Err(conflict(format!("no flag about a container follows '--{CONTAINER}={idle}'")));
        }
        let early = typed.iter().find(|typed| typed.flag.is_of_container() && typed.container.is_none());
        match early {
            Some(early) if !names.is_empty() => {
                let message = format!("with --{CONTAINER}, '--{}' stands after the one it is for", early.flag.name);
                Err(conflict(message))
            }
            _ => Ok(Self(typed)),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Every flag that was typed, with its value, in the order typed; `--container` without a row of the table.
fn in_order<const VERB: u8>(matches: &ArgMatches) -> Vec<(Option<&'static FieldFlag>, String)> {
    let flags = FLAGS.iter().filter(|flag| flag.is_of(VERB)).map(|flag| (flag.name, Some(flag)));
    let mut typed = Vec::new();
    for (name, flag) in flags.chain([(CONTAINER, None)]) {
        let places = matches.indices_of(name).into_iter().flatten();
        let values = matches.get_many::<String>(name).into_iter().flatten();
        typed.extend(places.zip(values).map(|(place, value)| (place, flag, value.clone())));
    }
    typed.sort_by_key(|(place, ..)| *place);
    typed.into_iter().map(|(_, flag, value)| (flag, value)).collect()
}

fn add(
    typed: &mut Vec<TypedFlag>,
    flag: &'static FieldFlag,
    container: Option<&String>,
    text: String,
) -> Result<(), Error> {
    let container = container.filter(|_| flag.is_of_container()).cloned();
    let same = |typed: &&mut TypedFlag| typed.flag.path == flag.path && typed.container == container;
    let mut again = false;
    for earlier in typed.iter_mut().filter(|earlier| same(earlier)) {
        if earlier.flag.name == flag.name {
            if !flag.kind.is_list() {
                return Err(conflict(format!("the argument '--{}' cannot be used multiple times", flag.name)));
            }
            earlier.texts.push(text.clone());
            again = true;
        } else if excludes(earlier.flag.action, flag.action) {
            let message = format!("the argument '--{}' cannot be used with '--{}'", flag.name, earlier.flag.name);
            return Err(conflict(message));
        }
    }
    if !again {
        typed.push(TypedFlag { flag, container, texts: vec![text] });
    }
    Ok(())
}

/// Whether it makes no sense to do both to one field.
fn excludes(one: FieldAction, other: FieldAction) -> bool {
    use FieldAction::{Clear, Remove, Set};
    one == Set || other == Set || matches!((one, other), (Clear, Remove) | (Remove, Clear))
}

fn conflict(message: String) -> Error {
    Error::raw(ErrorKind::ArgumentConflict, message + "\n")
}

impl<const VERB: u8> JobFlags<VERB> {
    /// What the flags change, for the command of this name, which is to change something.
    pub(in crate::cli) fn some_changes(&self, command: &str) -> Result<JobChanges, Failure> {
        let changes = self.changes()?;
        if changes.is_empty() {
            return Err(Failure::usage("no flag says what to change")
                .hint(format!("`runjob jobs {command} --help` lists them")));
        }
        Ok(changes)
    }

    /// What the flags change.
    pub(in crate::cli) fn changes(&self) -> Result<JobChanges, Failure> {
        let read = |typed: &TypedFlag| {
            let value = typed.flag.kind.read(typed.flag.name, &typed.texts)?;
            Ok(FieldChange { flag: typed.flag, container: typed.container.clone(), value })
        };
        let mut changes = self.0.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
        // Containers first, so that what is about all of them finds the new ones.
        changes.sort_by_key(|change| (change.flag.action, !change.flag.is_of_container()));
        Ok(JobChanges(changes))
    }
}

impl JobChanges {
    /// Whether there is nothing to change.
    pub(in crate::cli) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Changes the job, or says why it does not take the changes; then it is not to be used.
    pub(in crate::cli) fn apply(&self, job: &mut Job) -> Result<(), Failure> {
        self.0.iter().try_for_each(|change| change.apply(job))?;
        let without_image = |container: &&Container| container.image.is_empty() && container.source_code.is_none();
        let containers = &task(job).containers;
        match containers.iter().find(without_image) {
            Some(container) if !container.name.is_empty() => {
                let name = &container.name;
                Err(Failure::usage(format!("container '{name}' is not in the job, and a new one needs an image"))
                    .hint(format!("--{CONTAINER}={name} --image=IMAGE adds it")))
            }
            None if !containers.is_empty() => Ok(()),
            _ => Err(Failure::usage("the job has no image").hint("add --image=IMAGE")),
        }
    }
}

impl FieldChange {
    fn apply(&self, job: &mut Job) -> Result<(), Failure> {
        match self.flag.place {
            FieldPlace::Job(write) => write(job, &self.value),
            FieldPlace::Container(write) => write(container(job, self)?, &self.value),
            FieldPlace::Variables(write) => write(container(job, self)?, &self.value)
                .map_err(|reason| Failure::usage(format!("--{}: {reason}", self.flag.name)))?,
        }
        Ok(())
    }
}

/// The container that a change is for: the one that it names, a new one of that name, or the job's only one.
fn container<'a>(job: &'a mut Job, change: &FieldChange) -> Result<&'a mut Container, Failure> {
    let containers = &mut task(job).containers;
    let index = match &change.container {
        Some(name) => containers.iter().position(|container| container.name == *name).unwrap_or(containers.len()),
        None if containers.len() > 1 => {
            let names: Vec<_> = containers.iter().map(|container| container.name.as_str()).collect();
            let message =
                format!("--{}: the job has {} containers: {}", change.flag.name, names.len(), names.join(", "));
            return Err(Failure::usage(message).hint(format!("say which before it: --{CONTAINER}=NAME")));
        }
        None => 0,
    };
    if index == containers.len() {
        let name = change.container.clone().unwrap_or_default();
        containers.push(Container { name, ..Container::default() });
    }
    Ok(&mut containers[index])
}

#[cfg(test)]
mod tests;
