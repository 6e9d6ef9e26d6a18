//! What the tasks of an emulator write, as lines to show.

use crate::emulator::{AttemptId, Output};

/// The line to show, with whose it is before it.
pub(in crate::cli) fn line(output: &Output, whose: impl FnOnce(&AttemptId) -> String) -> String {
    match output {
        Output::Line(line) => format!("{}{}", whose(&line.attempt), line.line),
        Output::Lost(lines) => format!("note: {lines} lines of output came too fast and were left out"),
    }
}
