//! The calls that came in, in order: the latest ten thousand, and how many there were of each RPC.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tonic::Code;

use super::rpc::Rpc;

/// Older calls are forgotten first.
const LENGTH: usize = 10_000;

/// A call that the emulator saw, by gRPC or by REST: see [`Emulator::journal`](super::Emulator::journal).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct JournalEntry {
    /// When it came in, on the emulator's clock.
    pub time: SystemTime,
    /// What was called.
    pub rpc: Rpc,
    /// The name in the request, of a resource or of its parent; of a job to be created, the name it would have.
    pub resource: String,
    /// The header `x-goog-request-params`; for a call by REST the one that stands for its path.
    pub routing: Option<String>,
    /// What was answered. `None` as long as nothing was: the call is under way, its caller has left, or a fault ended it
    /// without an answer.
    pub code: Option<Code>,
    /// How long that took, on the emulator's clock.
    pub duration: Duration,
}

#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    calls: VecDeque<JournalEntry>,
    /// How many were forgotten: the number of the first call that is kept.
    forgotten: u64,
    /// All calls since the last [`Journal::clear`], also the forgotten ones.
    counts: HashMap<Rpc, u64>,
}

/// The number of a call, counted from 0, and of the first one since the last [`Journal::clear`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallNumber(u64);

impl Journal {
    /// Notes a call as it comes in.
    pub(crate) fn open(&self, call: JournalEntry) -> CallNumber {
        let mut pages = self.lock();
        *pages.counts.entry(call.rpc).or_default() += 1;
        if pages.calls.len() == LENGTH {
            pages.calls.pop_front();
            pages.forgotten += 1;
        }
        pages.calls.push_back(call);
        CallNumber(pages.forgotten + pages.calls.len() as u64 - 1)
    }

    /// Adds the answer, if the call is still known.
    pub(crate) fn close(&self, entry: CallNumber, code: Code, now: SystemTime) {
        let mut pages = self.lock();
        let index = entry.0.checked_sub(pages.forgotten).and_then(|index| usize::try_from(index).ok());
        if let Some(call) = index.and_then(|index| pages.calls.get_mut(index)) {
            call.code = Some(code);
            call.duration = now.duration_since(call.time).unwrap_or_default();
        }
    }

    pub(crate) fn list(&self) -> Vec<JournalEntry> {
        self.lock().calls.iter().cloned().collect()
    }

    pub(crate) fn count(&self, rpc: Rpc) -> u64 {
        self.lock().counts.get(&rpc).copied().unwrap_or_default()
    }

    pub(crate) fn clear(&self) {
        let mut pages = self.lock();
        // The numbers go on, so that the answer to an old call finds none.
        pages.forgotten += pages.calls.len() as u64;
        pages.calls.clear();
        pages.counts.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(resource: usize) -> JournalEntry {
        JournalEntry {
            time: SystemTime::UNIX_EPOCH,
            rpc: Rpc::GetJob,
            resource: resource.to_string(),
            routing: None,
            code: None,
            duration: Duration::ZERO,
        }
    }

    #[test]
    fn the_oldest_calls_are_forgotten_and_their_answers_with_them() {
        let journal = Journal::default();
        let entries: Vec<_> = (0..=LENGTH).map(|number| journal.open(call(number))).collect();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        journal.close(entries[0], Code::NotFound, now);
        journal.close(entries[1], Code::Ok, now);
        let calls = journal.list();
        assert_eq!((calls.len(), calls[0].resource.as_str()), (LENGTH, "1"));
        assert_eq!((calls[0].code, calls[0].duration), (Some(Code::Ok), Duration::from_secs(1)));
        assert!(calls[1..].iter().all(|call| call.code.is_none()));
        assert_eq!((journal.count(Rpc::GetJob), journal.count(Rpc::RunJob)), (LENGTH as u64 + 1, 0));
        journal.clear();
        assert_eq!(journal.count(Rpc::GetJob), 0);
        journal.open(call(0));
        journal.close(entries[2], Code::Ok, now);
        assert_eq!(journal.list()[0].code, None);
    }
}
