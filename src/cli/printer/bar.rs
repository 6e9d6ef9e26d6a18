//! How far a measurement is: a bar on a terminal, nothing elsewhere.

use indicatif::{ProgressDrawTarget, ProgressStyle};

use super::{Printer, live_line};

/// The bar of a measurement, shown until dropped. It is drawn only when it is told of progress, because a measurement does
/// not want a thread that draws.
#[derive(Debug)]
pub(in crate::cli) struct Bar(Printer);

impl Bar {
    /// Shows an empty bar.
    pub(in crate::cli) fn begin(printer: &Printer) -> Self {
        if printer.shows_progress() {
            let style = ProgressStyle::with_template("{bar:20} {pos} of {len} rounds, {eta} left: {wide_msg}");
            printer.live.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            printer.live.reset();
            printer.live.set_draw_target(live_line::target());
        }
        Self(printer.clone())
    }

    /// Shows how many rounds are done, and what is being measured.
    pub(in crate::cli) fn show(&self, done: usize, of: usize, what: &str) {
        self.0.live.set_length(of as u64);
        self.0.live.set_message(what.to_owned());
        self.0.live.set_position(done as u64);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.live.finish_and_clear();
        self.0.live.set_draw_target(ProgressDrawTarget::hidden());
    }
}
