//! `runjob schema`: the JSON schema of what the program prints for programs.

use crate::cli::{exit::Exit, failure::Failure, printer::Printer};

/// The schema, as it stands in the documentation.
const SCHEMA: &str = include_str!("../../../docs/runjob.schema.json");

/// `runjob schema`
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Schema;

/// Prints the schema.
pub(in crate::cli) fn run(printer: &Printer) -> Result<Exit, Failure> {
    printer.text(SCHEMA.trim_end())?;
    Ok(Exit::Done)
}
