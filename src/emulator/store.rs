//! State that lasts: what events have changed goes to disk, and only then does anything follow from it.
//!
//! One thread writes. It takes all that has come up since it last looked into one transaction, so that many events share
//! the cost of one. It knows neither what the rows mean nor what follows from them.

mod check;
mod disk;

use std::{
    error::Error as StdError,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use tokio::{sync::watch, task::spawn_blocking};

use self::disk::Disk;
use crate::emulator::{
    EmulatorError,
    state::{Machine, StateChange},
};

type DiskError = Box<dyn StdError + Send + Sync>;

/// What has to be on disk, and what waits for that.
type Batch<T> = (Vec<StateChange>, T);

/// The way to the disk. `T` is what follows from an event.
#[derive(Debug)]
pub(crate) struct Store<T> {
    queue: Mutex<Queue<T>>,
    progress: watch::Receiver<WriterProgress>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Queue<T> {
    /// `None` once writing has ended.
    batches: Option<mpsc::Sender<Batch<T>>>,
    /// How many there were.
    count: u64,
}

/// How far the writer is.
#[derive(Clone, Debug, Default)]
struct WriterProgress {
    committed: u64,
    failure: Option<Arc<str>>,
}

/// State on disk that was read and is not written to yet.
#[derive(Debug)]
pub(crate) struct StoredState(Disk);

/// Opens the directory for this emulator alone, and reads the machine that was kept there, or gives back the fresh one.
pub(crate) async fn open(dir: &Path, fresh: Machine) -> Result<(StoredState, Machine), EmulatorError> {
    let dir = dir.to_owned();
    // Reading a large state takes a while.
    let opened = spawn_blocking(move || Disk::open(&dir, fresh)).await.map_err(EmulatorError::worker)?;
    opened.map(|(disk, machine)| (StoredState(disk), machine))
}

impl<T> Store<T> {
    /// Starts to write. `release` is given what follows from an event when all of that event is on disk, in the order of
    /// the events.
    pub(crate) fn start(StoredState(disk): StoredState, release: impl Fn(T) + Send + 'static) -> Self
    where
        T: Send + 'static,
    {
        let (batches, queue) = mpsc::channel();
        let (report, progress) = watch::channel(WriterProgress::default());
        let writer = thread::spawn(move || write_all(&disk, &queue, &report, release));
        Self {
            queue: Mutex::new(Queue { batches: Some(batches), count: 0 }),
            progress,
            writer: Mutex::new(Some(writer)),
        }
    }

    /// Takes what an event has changed, and what follows from it. Events come in their order.
    pub(crate) fn write(&self, changes: Vec<StateChange>, then: T) {
        let mut queue = lock(&self.queue);
        queue.count += 1;
        if let Some(batches) = &queue.batches {
            // A writer that has ended has reported why.
            _ = batches.send((changes, then));
        }
    }

    /// Waits until everything is on disk that was given to [`write`](Self::write) before.
    ///
    /// # Errors
    /// When that will not be. Whether it is on disk is then unknown.
    pub(crate) async fn flushed(&self) -> Result<(), Arc<str>> {
        let count = lock(&self.queue).count;
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|progress| progress.committed >= count || progress.failure.is_some()).await;
        match reached {
            Ok(progress) if progress.committed >= count => Ok(()),
            Ok(progress) => Err(progress.failure.clone().unwrap_or_default()),
            Err(_) => Err("the emulator is stopping".into()),
        }
    }

    /// Resolves with the reason once writing fails; never otherwise.
    pub(crate) async fn failed(&self) -> Arc<str> {
        let mut progress = self.progress.clone();
        let failure =
            progress.wait_for(|progress| progress.failure.is_some()).await.map(|failed| failed.failure.clone());
        match failure {
            Ok(Some(failure)) => failure,
            _ => std::future::pending().await,
        }
    }

    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.progress.borrow().failure.clone()
    }

    /// Takes nothing more from now on.
    pub(crate) fn seal(&self) {
        lock(&self.queue).batches = None;
    }

    /// Waits until the rest is on disk, and lets go of the directory.
    pub(crate) fn close(&self) {
        self.seal();
        if let Some(writer) = lock(&self.writer).take() {
            // Its panic was printed, and all its waiters are notified.
            _ = writer.join();
        }
    }
}

impl<T> Drop for Store<T> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Writes until all senders are dropped, or until a write fails.
fn write_all<T>(
    disk: &Disk,
    queue: &mpsc::Receiver<Batch<T>>,
    report: &watch::Sender<WriterProgress>,
    release: impl Fn(T),
) {
    while let Ok(first) = queue.recv() {
        let (changes, follow): (Vec<_>, Vec<_>) = [first].into_iter().chain(queue.try_iter()).unzip();
        if let Err(error) = disk.commit(changes.into_iter().flatten()) {
            let failure = format!("the emulator cannot keep its state in {} any more: {error}", disk.dir().display());
            report.send_modify(|progress| progress.failure = Some(failure.into()));
            return;
        }
        let count = follow.len() as u64;
        follow.into_iter().for_each(&release);
        report.send_modify(|progress| progress.committed += count);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
