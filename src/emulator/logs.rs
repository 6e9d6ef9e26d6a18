//! What the tasks have printed, for those who ask later: the latest ten thousand lines. Knows no service.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::{
    engine::Engine,
    runtime::output::{Output, OutputLine, OutputReader},
};

/// Older lines are forgotten first.
const LENGTH: usize = 10_000;

/// A line, and when it was printed on the emulator's clock.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) time: SystemTime,
    /// Counted from 0.
    pub(crate) number: u64,
    pub(crate) line: OutputLine,
}

#[derive(Debug, Default)]
pub(crate) struct Logs(Mutex<VecDeque<Entry>>);

impl Logs {
    /// Keeps every line until the output ends.
    pub(crate) async fn record(self: Arc<Self>, mut output: OutputReader, engine: Arc<Engine>) {
        let mut number = 0;
        while let Some(next) = output.recv().await {
            let Output::Line(line) = next else { continue };
            let mut entries = self.lock();
            if entries.len() == LENGTH {
                entries.pop_front();
            }
            entries.push_back(Entry { time: engine.now(), number, line });
            number += 1;
        }
    }

    /// The lines that are wanted, oldest first.
    pub(crate) fn list(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        self.lock().iter().filter(|entry| wanted(entry)).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
