//! What callers were told. Kept in a file, so that the memory of this process is the client's.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use runjob::ExecutionName;

/// What a caller was told of the start with a marker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Told<'a> {
    Started(&'a ExecutionName),
    NotStarted,
    Unknown,
}

/// A start of which something was told, as it reads in the file.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) executions: BTreeSet<String>,
    pub(crate) is_unknown: bool,
}

#[derive(Debug)]
pub(crate) struct Book {
    path: PathBuf,
    clients: usize,
    pages: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    file: BufWriter<File>,
    counts: BTreeMap<&'static str, u64>,
    longest_wait: Duration,
    server: Option<u32>,
    /// When the emulator came back, and the clients that had no answer since.
    back: Instant,
    silent: BTreeSet<usize>,
    recoveries: Vec<Duration>,
}

impl Book {
    pub(crate) fn new(dir: &Path, clients: usize, server: Option<u32>) -> Self {
        let path = dir.join("told");
        let pages = Pages {
            file: BufWriter::new(File::create(&path).expect("a file")),
            counts: BTreeMap::new(),
            longest_wait: Duration::ZERO,
            server,
            back: Instant::now(),
            silent: BTreeSet::new(),
            recoveries: Vec::new(),
        };
        Self { path, clients, pages: Mutex::new(pages) }
    }

    pub(crate) fn told(&self, marker: &str, told: Told<'_>) {
        let mut pages = self.lock();
        let line = match told {
            Told::Started(execution) => format!("{marker} {execution}"),
            Told::NotStarted => format!("{marker} not-started"),
            Told::Unknown => format!("{marker} unknown"),
        };
        writeln!(pages.file, "{line}").expect("there is room");
    }

    /// One more of these.
    pub(crate) fn count(&self, what: &'static str) {
        *self.lock().counts.entry(what).or_default() += 1;
    }

    pub(crate) fn counted(&self, what: &'static str) -> u64 {
        self.lock().counts.get(what).copied().unwrap_or_default()
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.lock().counts.clone()
    }

    pub(crate) fn waited(&self, time: Duration) {
        let mut pages = self.lock();
        pages.longest_wait = pages.longest_wait.max(time);
    }

    pub(crate) fn longest_wait(&self) -> Duration {
        self.lock().longest_wait
    }

    /// The emulator is this process now, or gone.
    pub(crate) fn server_is(&self, pid: Option<u32>) {
        let mut pages = self.lock();
        pages.server = pid;
        pages.back = Instant::now();
        pages.silent = if pid.is_some() { (0..self.clients).collect() } else { BTreeSet::new() };
    }

    pub(crate) fn server(&self) -> Option<u32> {
        self.lock().server
    }

    /// A call of this client was answered.
    pub(crate) fn answered(&self, client: usize) {
        let mut pages = self.lock();
        if pages.silent.remove(&client) {
            let recovery = pages.back.elapsed();
            pages.recoveries.push(recovery);
        }
    }

    /// How long each client took, after each restart, until a call was answered.
    pub(crate) fn recoveries(&self) -> Vec<Duration> {
        self.lock().recoveries.clone()
    }

    /// All that was told, by marker.
    pub(crate) fn read(&self) -> BTreeMap<String, Story> {
        self.lock().file.flush().expect("there is room");
        let mut stories = BTreeMap::<String, Story>::new();
        for line in fs::read_to_string(&self.path).expect("a file").lines() {
            let (marker, what) = line.split_once(' ').expect("two words");
            let story = stories.entry(marker.to_owned()).or_default();
            match what {
                "not-started" => {}
                "unknown" => story.is_unknown = true,
                execution => _ = story.executions.insert(execution.to_owned()),
            }
        }
        stories
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
