//! `runjob man`: manual pages, made of the same tree of commands as the help.

use std::{fs, path::PathBuf};

use clap::Command;

use crate::cli::{exit::Exit, failure::Failure, printer::Printer};

/// `runjob man`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Man {
    /// Directory to write a page for each command to; it is made where it is not there. Without it the program's own page
    /// goes to stdout.
    directory: Option<PathBuf>,
}

impl Man {
    /// Writes the pages of this program.
    pub(in crate::cli) fn run(&self, program: Command, printer: &Printer) -> Result<Exit, Failure> {
        match &self.directory {
            Some(directory) => {
                let unwritten = |error| Failure::usage(format!("{}: {error}", directory.display()));
                fs::create_dir_all(directory).map_err(unwritten)?;
                clap_mangen::generate_to(program, directory).map_err(unwritten)?;
                printer.note(&format!("note: the pages are in {}", directory.display()));
            }
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(program).render(&mut page)?;
                printer.text(String::from_utf8_lossy(&page).trim_end())?;
            }
        }
        Ok(Exit::Done)
    }
}
