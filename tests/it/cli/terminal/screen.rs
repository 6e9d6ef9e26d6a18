//! The program on a terminal: what it writes is read as a terminal reads it, and what is on the screen is told.

use std::{
    cmp::Ordering,
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    num::NonZeroU16,
    process::{Child, Command},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::AsFd as _,
    process::{Pid, Signal, WaitOptions, kill_process, waitpid},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use crate::cli::pty::Pty;

/// Far more than a program takes that gets there at all.
const PATIENCE: Duration = Duration::from_secs(120);

/// Rows enough that nothing scrolls.
const ROWS: u16 = 60;

/// A way in which terminals differ when they are made narrower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Narrowed {
    /// What does not fit is cut off, as by xterm.
    CutsOff,
    /// What does not fit goes on in the next row, as in VTE, iTerm2 and kitty.
    Reflows,
}

/// A program on a terminal. It is killed when dropped.
pub(super) struct Terminal {
    child: Child,
    master: File,
    /// The terminal from the program's side, so that its modes can be read; held, it would never end.
    name: String,
    shown: Arc<Shown>,
    reader: Option<JoinHandle<()>>,
}

struct Shown {
    screen: Mutex<vt100::Parser>,
    changed: Condvar,
}

fn size(columns: u16) -> (NonZeroU16, NonZeroU16) {
    (NonZeroU16::new(ROWS).expect("rows"), NonZeroU16::new(columns).expect("columns"))
}

fn winsize(columns: u16) -> Winsize {
    Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Terminal {
    /// Starts the program on a new terminal of this width.
    pub(super) fn start(command: &Command, columns: u16) -> Self {
        let Pty { master, slave, name } = Pty::open();
        tcsetwinsize(&master, winsize(columns)).expect("a size");
        let of = || slave.try_clone().expect("the terminal");
        // Makes it the controlling terminal, so that what is typed becomes signals.
        let mut program = Command::new("/usr/bin/setsid");
        program.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_clear();
        program.env("TERM", "xterm-256color");
        program.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let child = program.stdin(of()).stdout(of()).stderr(of()).spawn().expect("the program starts");

        let (rows, columns) = size(columns);
        let screen = Mutex::new(vt100::Parser::new(rows, columns, 0));
        let shown = Arc::new(Shown { screen, changed: Condvar::new() });
        let reader = thread::spawn({
            let (shown, master) = (Arc::clone(&shown), master.try_clone().expect("the terminal"));
            move || while shown.read(&master, None) {}
        });
        Self { child, master, name, shown, reader: Some(reader) }
    }

    /// What is on the screen, without what is blank at its end.
    pub(super) fn text(&self) -> String {
        text(&self.shown.lock())
    }

    /// Waits until this is on the screen, which it then gives.
    pub(super) fn shows(&self, wanted: &str) -> String {
        self.until(&format!("{wanted:?}"), |screen| screen.contains(wanted))
    }

    /// Waits until the screen is as it is to be.
    pub(super) fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let waited = self.shown.changed.wait_timeout_while(self.shown.lock(), PATIENCE, |screen| !is_so(&text(screen)));
        let (screen, timeout) = waited.expect("nothing panics");
        assert!(!timeout.timed_out(), "{what} never came: {}", text(&screen));
        text(&screen)
    }

    /// Types this.
    pub(super) fn types(&self, keys: &str) {
        (&self.master).write_all(keys.as_bytes()).expect("the terminal takes it");
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the program is running");
    }

    /// Makes the terminal this wide. The program stands still meanwhile, so that it is known what it had written before.
    pub(super) fn resize(&self, columns: u16, narrowed: Narrowed) {
        self.signal(Signal::STOP);
        waitpid(Some(Pid::from_child(&self.child)), WaitOptions::UNTRACED).expect("the program stops");
        while self.shown.read(&self.master, Some(Timespec { tv_sec: 0, tv_nsec: 0 })) {}
        let mut screen = self.shown.lock();
        tcsetwinsize(&self.master, winsize(columns)).expect("a size");
        match narrowed {
            Narrowed::CutsOff => screen.set_size(size(columns).0, size(columns).1),
            Narrowed::Reflows => *screen = reflowed(screen.screen(), columns),
        }
        drop(screen);
        self.signal(Signal::CONT);
    }

    /// Whether what is typed is shown and read in lines, as a shell wants it.
    pub(super) fn is_as_it_was(&self) -> bool {
        let modes = tcgetattr(self.slave()).expect("its modes").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// The status that it ended with, by itself or by a signal, and the last that was on the screen.
    pub(super) fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("the program ends");
        self.reader.take().expect("it reads").join().expect("nothing panics");
        (status.code(), self.text())
    }

    /// As [`end`](Self::end), with the terminal as it was before.
    pub(super) fn end_restored(mut self) -> (Option<i32>, String) {
        let slave = self.slave();
        self.child.wait().expect("the program ends");
        assert!(self.is_as_it_was(), "the terminal's modes were changed");
        drop(slave);
        self.end()
    }

    /// As [`end`](Self::end), with this line left for the next program to read.
    pub(super) fn end_typed_ahead(mut self, line: &str) -> (Option<i32>, String) {
        let mut slave = self.slave();
        self.child.wait().expect("the program ends");
        let mut typed = vec![0; line.len()];
        slave.read_exact(&mut typed).expect("a line");
        assert_eq!(typed, line.as_bytes());
        drop(slave);
        self.end()
    }

    fn slave(&self) -> File {
        OpenOptions::new().read(true).write(true).open(&self.name).expect("the terminal")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Shown {
    fn lock(&self) -> MutexGuard<'_, vt100::Parser> {
        self.screen.lock().expect("nothing panics")
    }

    /// Takes what the program has written, if it comes in time. Tells whether there was something.
    fn read(&self, mut master: &File, patience: Option<Timespec>) -> bool {
        let mut bytes = [0; 4096];
        let mut ready = [PollFd::from_borrowed_fd(master.as_fd(), PollFlags::IN)];
        if poll(&mut ready, patience.as_ref()).expect("a terminal") == 0 {
            return false;
        }
        let mut screen = self.lock();
        // Another may have read it meanwhile.
        if poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).expect("a terminal") == 0 {
            return patience.is_none();
        }
        // An error is the end: no program has the terminal open.
        let Ok(count @ 1..) = master.read(&mut bytes) else { return false };
        screen.process(&bytes[..count]);
        self.changed.notify_all();
        true
    }
}

fn text(screen: &vt100::Parser) -> String {
    let (_, columns) = screen.screen().size();
    let rows: Vec<_> = screen.screen().rows(0, columns.get()).collect();
    rows.iter().map(|row| row.trim_end()).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// The same lines in rows of another width, and the cursor where it was among them.
fn reflowed(screen: &vt100::Screen, columns: u16) -> vt100::Parser {
    let (row, column) = screen.cursor_position();
    let (_, before) = screen.size();
    let (mut written, mut behind) = (String::new(), String::new());
    for (at, text) in (0..).zip(screen.rows(0, before.get())) {
        let mut cells: Vec<char> = text.chars().collect();
        let kept = match at.cmp(&row) {
            Ordering::Less => cells.len(),
            Ordering::Equal => cells.len().min(column.into()),
            Ordering::Greater => 0,
        };
        let rest = cells.split_off(kept);
        written.extend(cells);
        behind.extend(rest);
        let is_last = text.is_empty() && at > row;
        if !screen.row_wrapped(at) && !is_last {
            if at < row { &mut written } else { &mut behind }.push_str("\r\n");
        }
    }
    let (rows, columns) = size(columns);
    let mut after = vt100::Parser::new(rows, columns, 0);
    after.process(format!("{written}\u{1b}7{behind}\u{1b}8").as_bytes());
    after
}
