//! The `runjob` program: from a command line to an exit status.
//!
//! In two steps, which are two types: what was typed (`args`) and what it means (`config`). Then a verb is carried out
//! (`commands`), and what it has to say goes through one `printer`. The exit statuses are one table (`exit`).

mod args;
mod commands;
mod config;
mod context;
mod environment;
mod exit;
mod failure;
mod flags;
mod follow;
mod interrupt;
mod printer;
mod session;
mod show;
mod start_log;

use std::{ffi::OsString, process::ExitCode};

use self::{
    args::Args, config::Config, context::Context, environment::Environment, exit::Exit, failure::Failure,
    printer::Printer,
};

/// Runs the program with this command line, the program's own name first, and these environment variables.
///
/// Writes the result to stdout and everything else to stderr. Blocks until the command has ended, and must not be called
/// from within a tokio runtime. The status is the one that `runjob --help` lists.
pub fn run(
    line: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let exit = match Args::read(line) {
        Ok(typed) => {
            let printer = Printer::new(typed.global.format);
            carry_out(typed, &Environment::new(variables), &printer).unwrap_or_else(|failure| {
                printer.failure(&failure);
                failure.exit()
            })
        }
        // Help and the version are no errors, and go to stdout.
        Err(answer) => {
            _ = answer.print();
            if answer.use_stderr() { Exit::Usage } else { Exit::Done }
        }
    };
    ExitCode::from(exit.status())
}

fn carry_out(typed: Args, environment: &Environment, printer: &Printer) -> Result<Exit, Failure> {
    let context = Context::new(&typed.global, environment);
    let config = Config::resolve(typed.command, &context)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(commands::run(config, &context.target, printer));
    // What is left writes to a stream that nobody reads; waiting for it would be for ever.
    runtime.shutdown_background();
    result
}
