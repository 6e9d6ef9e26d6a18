//! What the tasks of an emulator write, on stderr.

use crate::{
    cli::printer::Printer,
    emulator::{AttemptId, Output},
};

/// Shows a line, with whose it is before it.
pub(super) fn show(printer: &Printer, output: &Output, whose: impl FnOnce(&AttemptId) -> String) {
    match output {
        Output::Line(line) => printer.note(&format!("{}{}", whose(&line.attempt), line.line)),
        Output::Lost(lines) => printer.note(&format!("note: {lines} lines of output came too fast and were left out")),
    }
}
