//! How far an execution is: one live line on a terminal, elsewhere a line whenever something changes.

use std::time::{Duration, Instant};

use indicatif::{ProgressDrawTarget, ProgressStyle};

use super::{Printer, safe, watched};
use crate::{cli::phase::Phase, proto::run::v2::Execution};

/// How often the live line shows the elapsed time anew.
const REDRAW: Duration = Duration::from_millis(250);

/// The progress of one execution, shown until dropped.
#[derive(Debug)]
pub(in crate::cli) struct Progress<'a> {
    printer: &'a Printer,
    id: &'a str,
    begun: Instant,
    shown: String,
}

impl<'a> Progress<'a> {
    /// Shows the progress of the execution with this id from now on.
    pub(in crate::cli) fn begin(printer: &'a Printer, id: &'a str) -> Self {
        if watched() {
            let style =
                ProgressStyle::with_template("{msg}, {elapsed}").unwrap_or_else(|_| ProgressStyle::default_bar());
            printer.live.set_style(style);
            printer.live.reset();
            printer.live.set_message(format!("{}: waiting", safe::text(id)));
            printer.live.set_draw_target(ProgressDrawTarget::stderr());
            printer.live.enable_steady_tick(REDRAW);
        }
        Self { printer, id, begun: Instant::now(), shown: String::new() }
    }

    /// Shows this state.
    pub(in crate::cli) fn show(&mut self, execution: &Execution) {
        let done = execution.succeeded_count + execution.failed_count + execution.cancelled_count;
        let phase = Phase::of_execution(execution);
        let line = format!("{}: {phase}, {done} of {} tasks done", self.id, execution.task_count);
        if line == self.shown {
            return;
        }
        if watched() {
            self.printer.live.set_message(safe::text(&line).into_owned());
        } else {
            self.printer.note(&format!("{line}, {}s", self.begun.elapsed().as_secs()));
        }
        self.shown = line;
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.printer.live.disable_steady_tick();
        self.printer.live.finish_and_clear();
        self.printer.live.set_draw_target(ProgressDrawTarget::hidden());
    }
}
