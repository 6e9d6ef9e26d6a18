//! The row of the terminal that a progress line is drawn on and taken from again.
//!
//! The cursor rests at its beginning. When the terminal is made narrower, it breaks the row into several or cuts it off, as
//! is its way; either way everything drawn is behind the cursor, and so is what the terminal shows of a typed Ctrl-C.

use std::{
    io::{self, Write as _},
    sync::{Mutex, PoisonError},
};

use indicatif::{ProgressDrawTarget, TermLike};

use super::width_of;

/// How often it is drawn in a second, at most.
const DRAWS: u8 = 20;

/// As wide as a terminal that does not say.
const UNKNOWN_WIDTH: usize = 80;

/// Back to the beginning, and nothing from there to the end of the screen.
const ERASE: &str = "\r\u{1b}[J";

/// Stderr as a terminal with one row, drawn as a whole. Moves of the cursor are nothing to it.
#[derive(Debug, Default)]
struct LiveLine(Mutex<Drawing>);

#[derive(Debug, Default)]
struct Drawing {
    next: String,
    is_shown: bool,
}

/// Where progress is drawn on a terminal.
pub(super) fn target() -> ProgressDrawTarget {
    ProgressDrawTarget::term_like_with_hz(Box::<LiveLine>::default(), DRAWS)
}

impl LiveLine {
    fn with<T>(&self, change: impl FnOnce(&mut Drawing) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drawing {
    /// What to write so that the row shows what was put together, and nothing wider than the terminal.
    fn draw(&mut self, width: usize) -> Option<String> {
        let cut: String = self.next.chars().take(width).collect();
        let (text, was_shown) = (cut.trim_end(), self.is_shown);
        self.is_shown = !text.is_empty();
        match (was_shown, self.is_shown) {
            (false, false) => None,
            (_, false) => Some(ERASE.to_owned()),
            (_, true) => Some(format!("{ERASE}{text}\r")),
        }
    }
}

impl TermLike for LiveLine {
    /// A cell less than there are: what fills a row to its end may count as going on in the next.
    fn width(&self) -> u16 {
        let width = width_of(io::stderr()).unwrap_or(UNKNOWN_WIDTH).saturating_sub(1);
        u16::try_from(width).unwrap_or(u16::MAX)
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        match text.strip_prefix('\r') {
            Some(rest) => self.with(|row| rest.clone_into(&mut row.next)),
            None => self.with(|row| row.next.push_str(text)),
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.with(|row| row.next.clear());
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let width = self.width().into();
        let Some(drawn) = self.with(|row| row.draw(width)) else { return Ok(()) };
        let mut stderr = io::stderr().lock();
        stderr.write_all(drawn.as_bytes())?;
        stderr.flush()
    }
}
