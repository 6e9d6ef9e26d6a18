//! The `runjob` program: from a command line to an exit status.
//!
//! A verb is read as it was typed, given its meaning in a `context`, and carried out over a `session`; it is one file below
//! `verbs`. What it has to say goes through one `printer`. The exit statuses are one table (`exit`).

mod calls;
mod complete;
mod context;
mod environment;
mod examples;
mod exit;
mod failure;
mod flags;
mod follow;
mod gcloud;
mod github;
mod inquiry;
mod interrupt;
mod leave_key;
mod listing;
mod printer;
mod process;
mod session;
mod show;
mod start_log;
mod suggest;
mod verb;
mod verbs;

use std::{ffi::OsString, process::ExitCode};

use clap::CommandFactory as _;

use self::{
    calls::CallPrinter, context::Context, environment::Environment, exit::Exit, failure::Failure,
    flags::global::Notation, github::ActionsRunner, printer::Printer, verbs::Args,
};

/// Runs the program with this command line, the program's own name first, and these environment variables.
///
/// Writes the result to stdout and everything else to stderr. Blocks until the command has ended, and must not be called
/// from within a tokio runtime. The status is the one that `runjob --help` lists.
pub fn run(
    line: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let (line, environment) = (line.into_iter().collect::<Vec<_>>(), Environment::new(variables));
    if complete::answer(Args::command, &line, &environment).is_some() {
        return ExitCode::SUCCESS;
    }
    let exit = match Args::read(&line) {
        Ok(typed) => {
            let printer = Printer::new(typed.global.format, typed.global.quiet, ActionsRunner::of(&environment));
            if typed.global.verbose {
                CallPrinter::install(&printer);
            }
            carry_out(typed, &environment, &printer).unwrap_or_else(|failure| {
                printer.failure(&failure);
                failure.exit()
            })
        }
        Err(answer) if answer.use_stderr() && asks_for_json(&line) => {
            Printer::new(Notation::Json, false, ActionsRunner::default()).failure(&unread(&answer));
            Exit::Usage
        }
        // Help and the version are no errors, and go to stdout.
        Err(answer) => {
            _ = answer.print();
            if answer.use_stderr() { Exit::Usage } else { Exit::Done }
        }
    };
    ExitCode::from(exit.status())
}

/// Whether a line that cannot be read asks for JSON all the same.
fn asks_for_json(line: &[OsString]) -> bool {
    line.iter().any(|word| word == "--format=json") || line.windows(2).any(|words| words == ["--format", "json"])
}

/// The failure to read a line, without the usage and the tips below it.
fn unread(answer: &clap::Error) -> Failure {
    let text = answer.to_string();
    let message = text.split("\n\n").next().unwrap_or_default().trim();
    Failure::usage(message.strip_prefix("error: ").unwrap_or(message))
}

fn carry_out(typed: Args, environment: &Environment, printer: &Printer) -> Result<Exit, Failure> {
    let context = Context::new(&typed.global, environment);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(typed.command.run(&context, printer));
    // What is left writes to a stream without a reader; waiting for it might never end.
    runtime.shutdown_background();
    result
}
