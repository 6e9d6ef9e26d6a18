//! How far an execution is: one live line on a terminal; elsewhere a line whenever something changes, and each minute.

use std::time::Duration;

use indicatif::{ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::{Printer, live_line};
use crate::{
    Progress,
    cli::{leave_key::LeaveKey, show::safe},
};

/// How often the live line shows the elapsed time anew.
const REDRAW: Duration = Duration::from_millis(250);

/// The longest silence without a terminal: CI systems end a step that says nothing for ten minutes.
const SILENCE: Duration = Duration::from_secs(60);

/// The progress of one execution, shown until dropped.
#[derive(Debug)]
pub(in crate::cli) struct ProgressLine<'a> {
    printer: &'a Printer,
    begun: Instant,
    /// What is said after the state, on a terminal.
    hint: &'static str,
    /// The latest state in words, and when it was last shown.
    state: String,
    shown: Instant,
}

impl<'a> ProgressLine<'a> {
    /// Shows the progress of the execution with this id from now on.
    pub(in crate::cli) fn begin(printer: &'a Printer, id: &str) -> Self {
        let state = format!("{id}: waiting");
        if printer.shows_progress() {
            let style = ProgressStyle::with_template("[{elapsed}] {wide_msg}");
            printer.live.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            printer.live.reset();
            printer.live.set_message(safe::line(&state).into_owned());
            printer.live.set_draw_target(live_line::target());
            printer.live.enable_steady_tick(REDRAW);
        }
        Self { printer, begun: Instant::now(), hint: "", state, shown: Instant::now() }
    }

    /// The same, which says by which key the wait can be left.
    pub(in crate::cli) fn with_key(mut self, key: &LeaveKey) -> Self {
        if key.is_there() {
            self.hint = " (Ctrl-D detaches)";
            self.write();
        }
        self
    }

    /// Shows how far the execution with this id is, unless it is as it was.
    pub(in crate::cli) fn show(&mut self, id: &str, now: &Progress) {
        self.say(format!("{id}: {now}"));
    }

    /// Shows this state, unless it is as it was.
    pub(in crate::cli) fn say(&mut self, state: String) {
        if state != self.state {
            self.state = state;
            self.write();
        }
    }

    /// Shows this state on a terminal, and elsewhere when it is shown again anyway.
    pub(in crate::cli) fn keep(&mut self, state: String) {
        self.state = state;
        if self.printer.is_watched {
            self.write();
        }
    }

    /// When the state is shown again although it is as it was.
    pub(in crate::cli) fn next_heartbeat(&self) -> Instant {
        self.shown + SILENCE
    }

    /// Shows that the wait goes on.
    pub(in crate::cli) fn heartbeat(&mut self) {
        self.write();
    }

    fn write(&mut self) {
        self.shown = Instant::now();
        if self.printer.is_watched {
            self.printer.live.set_message(safe::line(&self.state).into_owned() + self.hint);
        } else {
            self.printer.note(&format!("{}, {}s", self.state, self.begun.elapsed().as_secs()));
        }
    }
}

impl Drop for ProgressLine<'_> {
    fn drop(&mut self) {
        self.printer.live.disable_steady_tick();
        self.printer.live.finish_and_clear();
        self.printer.live.set_draw_target(ProgressDrawTarget::hidden());
    }
}
