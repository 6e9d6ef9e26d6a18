//! A flag where the value of another flag belongs, as in `--args --wait` after an empty variable in a script.
//!
//! clap lets a flag of free text take anything as its value, for the sake of `--args --verbose`. One of our own flags is
//! more likely meant as that flag, so it has to be joined by `=`: `--args=--wait`. Knows the flags from clap alone.

use std::ffi::OsString;

use clap::{Arg, Command, Error, error::ErrorKind};

/// Refuses a flag of the command as the value of another of its flags. The program's own name comes first.
pub(in crate::cli) fn check(program: &Command, line: &[OsString]) -> Result<(), Error> {
    let mut command = program;
    let mut words = line.iter().skip(1).map(|word| word.to_string_lossy()).peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            break;
        }
        if let Some(next) = command.find_subcommand(word.as_ref()) {
            command = next;
        }
        let Some(flag) = word.strip_prefix("--").and_then(|name| long(command, name)) else { continue };
        // A value that is joined by `=` is in this word already.
        if !flag.get_action().takes_values() || flag.is_require_equals_set() {
            continue;
        }
        if let Some(value) = words.next_if(|_| flag.is_allow_hyphen_values_set())
            && let Some(own) = own_flag(command, &value)
        {
            return Err(refusal(&word, own));
        } else if !flag.is_allow_hyphen_values_set() {
            words.next_if(|value| !value.starts_with('-'));
        }
    }
    Ok(())
}

/// The part of a word that is a flag of this command, without its value.
fn own_flag<'a>(command: &Command, word: &'a str) -> Option<&'a str> {
    let flag = word.split_once('=').map_or(word, |(flag, _)| flag);
    let is_own = match flag.strip_prefix("--") {
        Some("") => true,
        Some(name) => long(command, name).is_some(),
        None => flag.strip_prefix('-').is_some_and(|name| {
            let mut name = name.chars();
            let (first, rest) = (name.next(), name.next());
            rest.is_none() && command.get_arguments().any(|arg| first.is_some() && arg.get_short() == first)
        }),
    };
    is_own.then_some(flag)
}

fn long<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| arg.get_long() == Some(name))
}

fn refusal(flag: &str, own: &str) -> Error {
    let message = format!(
        "argument {flag}: one argument expected, and '{own}' is a flag by itself\nhint: join it by '=' where it is meant \
         as the value, {flag}={own}\n"
    );
    Error::raw(ErrorKind::InvalidValue, message)
}
