//! The `runjob` program. Everything is in [`runjob::cli`].

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    runjob::cli::run(env::args_os(), env::vars_os())
}
