//! The start log: what is about to be sent, written down and synced before it is sent, and what became of it.
//!
//! One JSON object a line, for its owner alone, and bounded. It holds no arguments and no variables, and no hash of
//! them either: a short secret can be guessed from its hash. A file that another account could have put there, or may
//! write to, is refused. Nothing here blocks for longer than [`PATIENCE`]. Knows files, and no service.

use std::{
    fs::{DirBuilder, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use prost_types::Timestamp;
use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, openat, renameat},
    io::Errno,
    process::geteuid,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ExecutionName, JobName, StartKey};

/// The file, and the one before it.
const CURRENT: &str = "journal";
const FORMER: &str = "journal.1";

/// The size from which a new file is begun: about 500 starts, so the two files know the last 500 at least.
const FULL: u64 = 256 * 1024;

/// How long another process may hold the lock.
const PATIENCE: Duration = Duration::from_secs(1);
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// The starts that are sent to one server from this account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StartLog {
    /// None when the environment names no home.
    directory: Option<PathBuf>,
    /// Which server: what was not sent there cannot be looked for there.
    server: String,
}

/// A start that is about to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Intent {
    id: String,
    /// When it was written down, in RFC 3339.
    pub(super) time: String,
    server: String,
    job: String,
    key: Option<String>,
}

/// What became of a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE", tag = "outcome", content = "execution")]
pub(super) enum Settled {
    Started(String),
    NotStarted,
    /// The user no longer asks about it.
    Forgotten,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "line")]
enum LogLine {
    Intent(Intent),
    Outcome {
        id: String,
        #[serde(flatten)]
        settled: Settled,
    },
}

impl Intent {
    /// The job, unless the file was edited.
    pub(super) fn job(&self) -> Option<JobName> {
        self.job.parse().ok()
    }

    /// The key it was started with, if any.
    pub(super) fn key(&self) -> Option<StartKey> {
        self.key.as_ref()?.parse().ok()
    }

    fn is_same_start(&self, other: &Self) -> bool {
        self.key.is_some() && (&self.key, &self.job, &self.server) == (&other.key, &other.job, &other.server)
    }
}

impl Settled {
    /// It runs as this execution.
    pub(super) fn started(execution: &ExecutionName) -> Self {
        Self::Started(execution.to_string())
    }
}

impl StartLog {
    /// The log in this directory, as far as it is about this server. Nothing is read or written yet.
    pub(super) fn new(directory: Option<PathBuf>, server: String) -> Self {
        Self { directory, server }
    }

    /// Writes down that this start is about to be sent. It is on the disk when this returns.
    pub(super) fn intend(&self, job: &JobName, key: Option<&StartKey>) -> io::Result<Intent> {
        let intent = Intent {
            id: Uuid::new_v4().simple().to_string(),
            time: Timestamp::from(SystemTime::now()).to_string(),
            server: self.server.clone(),
            job: job.to_string(),
            key: key.map(ToString::to_string),
        };
        self.append(&LogLine::Intent(intent.clone()))?.sync_data()?;
        Ok(intent)
    }

    /// Writes down what became of a start. A machine that loses its power may lose that again, and then the start is asked
    /// about once more: so only what comes before a start is waited for on the disk.
    pub(super) fn settle(&self, intent: &Intent, settled: Settled) -> io::Result<()> {
        self.append(&LogLine::Outcome { id: intent.id.clone(), settled }).map(drop)
    }

    /// The starts at this server of which it is not known what became of them, oldest first.
    pub(super) fn pending(&self) -> io::Result<Vec<Intent>> {
        let Some(folder) = found(Folder::open(self.directory()?))? else { return Ok(Vec::new()) };
        let mut pending: Vec<Intent> = Vec::new();
        for file in [FORMER, CURRENT] {
            for line in folder.lines(file)? {
                match line {
                    LogLine::Intent(intent) if intent.server == self.server => pending.push(intent),
                    LogLine::Intent(_) => {}
                    LogLine::Outcome { id, settled } => {
                        let Some(of) = pending.iter().position(|intent| intent.id == id) else { continue };
                        let intent = pending.remove(of);
                        if matches!(settled, Settled::Started(_)) {
                            // Earlier tries with the same key are answered by it as well.
                            pending.retain(|other| !other.is_same_start(&intent));
                        }
                    }
                }
            }
        }
        Ok(pending)
    }

    /// Writes a line, which is not certain to last before the file is synced.
    fn append(&self, line: &LogLine) -> io::Result<File> {
        let directory = self.directory()?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| about(directory, &error))?;
        let folder = Folder::open(directory)?;
        folder.lock()?;
        let file = folder.write(line)?;
        // Syncing takes long where many write at once, and needs no lock.
        flock(&folder.file, FlockOperation::Unlock)?;
        Ok(file)
    }

    fn directory(&self) -> io::Result<&Path> {
        self.directory
            .as_deref()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "neither XDG_STATE_HOME nor HOME is set"))
    }
}

/// The directory of the log, open, so that what happens to its path meanwhile does not matter.
struct Folder<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> Folder<'a> {
    fn open(path: &'a Path) -> io::Result<Self> {
        let file = open(rustix::fs::CWD, path, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        check_owner(&file, path)?;
        Ok(Self { path, file })
    }

    /// Keeps other processes from writing, so that no line is torn and no file is moved away under
    /// a writer.
    fn lock(&self) -> io::Result<()> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) if Instant::now() < give_up => thread::sleep(BETWEEN_TRIES),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => {
                    return Err(about(self.path, &io::Error::other("another process holds a lock on it")));
                }
                result => return result.map_err(|error| about(self.path, &error.into())),
            }
        }
    }

    /// Adds a line to the current file, for which the lock is needed.
    fn write(&self, line: &LogLine) -> io::Result<File> {
        let mut file = self.file_to_append_to()?;
        if file.metadata()?.len() == 0 {
            // The name of a new file has to last as well.
            self.file.sync_all()?;
        }
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        if is_torn(&mut file)? {
            text.insert(0, '\n');
        }
        file.write_all(text.as_bytes())?;
        Ok(file)
    }

    /// The current file, after a full one was put aside.
    fn file_to_append_to(&self) -> io::Result<File> {
        let file = self.writable()?;
        if file.metadata()?.len() < FULL {
            return Ok(file);
        }
        renameat(&self.file, CURRENT, &self.file, FORMER)?;
        self.writable()
    }

    fn writable(&self) -> io::Result<File> {
        self.open_file(CURRENT, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE)
    }

    /// The lines of a file that can be read; empty if there is no file.
    fn lines(&self, name: &str) -> io::Result<Vec<LogLine>> {
        let Some(file) = found(self.open_file(name, OFlags::RDONLY))? else { return Ok(Vec::new()) };
        let mut bytes = Vec::new();
        // One line may pass the mark.
        file.take(2 * FULL).read_to_end(&mut bytes)?;
        Ok(bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    fn open_file(&self, name: &str, how: OFlags) -> io::Result<File> {
        let path = self.path.join(name);
        let file = open(&self.file, Path::new(name), &path, how)?;
        if !file.metadata()?.is_file() {
            return Err(refused(&path, "it is not a regular file"));
        }
        check_owner(&file, &path)?;
        Ok(file)
    }
}

/// Opens a file without waiting for the other end of a FIFO, and without following a link.
fn open(at: impl rustix::fd::AsFd, name: &Path, path: &Path, how: OFlags) -> io::Result<File> {
    let how = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match openat(at, name, how, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(file.into()),
        Err(_) if path.is_symlink() => Err(refused(path, "it is a symbolic link, which is not followed")),
        Err(error) => Err(about(path, &error.into())),
    }
}

/// Refuses what another account may have written or may write.
fn check_owner(file: &File, path: &Path) -> io::Result<()> {
    let metadata = file.metadata()?;
    if metadata.uid() != geteuid().as_raw() {
        return Err(refused(path, "it belongs to another account"));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(refused(path, "other accounts may write to it (chmod go-w mends that)"));
    }
    Ok(())
}

fn refused(path: &Path, why: &str) -> io::Error {
    about(path, &io::Error::new(io::ErrorKind::PermissionDenied, why))
}

fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// A file that is not there is no error here.
fn found<T>(opened: io::Result<T>) -> io::Result<Option<T>> {
    match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

/// Whether the file's last line has no end, because the disk was full or the machine lost its power.
fn is_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    const JOB: &str = "projects/p/locations/r/jobs/j";

    fn job() -> JobName {
        JOB.parse().expect("a name")
    }

    fn key(text: &str) -> StartKey {
        text.parse().expect("a key")
    }

    fn started() -> Settled {
        Settled::Started(format!("{JOB}/executions/j-x"))
    }

    /// A log in a directory that is not there yet.
    fn start_log() -> (tempfile::TempDir, StartLog) {
        let home = tempfile::tempdir().expect("temporary directory");
        let log = StartLog::new(Some(home.path().join("state/runjob")), "here".to_owned());
        (home, log)
    }

    fn pending(log: &StartLog) -> Vec<Option<String>> {
        log.pending().expect("read").into_iter().map(|intent| intent.key).collect()
    }

    #[test]
    fn a_start_is_pending_until_its_end_is_written_down() {
        let (_home, log) = start_log();
        assert_eq!(log.pending().expect("no file yet"), []);
        let first = log.intend(&job(), Some(&key("a"))).expect("written");
        let second = log.intend(&job(), None).expect("written");
        assert_eq!(log.pending().expect("read"), [first.clone(), second.clone()]);
        assert_eq!((first.job(), first.key(), second.key()), (Some(job()), Some(key("a")), None));
        log.settle(&first, started()).expect("written");
        assert_eq!(log.pending().expect("read"), std::slice::from_ref(&second));
        log.settle(&second, Settled::NotStarted).expect("written");
        assert_eq!(log.pending().expect("read"), []);
    }

    #[test]
    fn a_start_that_is_found_settles_earlier_tries_with_its_key_and_no_others() {
        let (_home, log) = start_log();
        log.intend(&job(), Some(&key("a"))).expect("written");
        log.intend(&job(), Some(&key("b"))).expect("written");
        log.intend(&job(), None).expect("written");
        let again = log.intend(&job(), Some(&key("a"))).expect("written");
        let unkeyed = log.intend(&job(), None).expect("written");
        log.settle(&again, started()).expect("written");
        log.settle(&unkeyed, started()).expect("written");
        assert_eq!(pending(&log), [Some("b".to_owned()), None]);
    }

    #[test]
    fn what_was_sent_to_another_server_is_not_pending_here() {
        let (home, log) = start_log();
        let other = StartLog::new(Some(home.path().join("state/runjob")), "there".to_owned());
        other.intend(&job(), None).expect("written");
        assert_eq!((pending(&log).len(), pending(&other).len()), (0, 1));
    }

    #[test]
    fn the_files_are_their_owners_alone() {
        let (home, log) = start_log();
        log.intend(&job(), None).expect("written");
        let mode = |path: &str| home.path().join(path).metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!((mode("state/runjob"), mode("state/runjob/journal")), (0o700, 0o600));
    }

    #[test]
    fn a_torn_line_spoils_no_other() {
        let (home, log) = start_log();
        log.intend(&job(), Some(&key("a"))).expect("written");
        let path = home.path().join("state/runjob/journal");
        let mut text = fs::read(&path).expect("there");
        text.extend_from_slice(b"{\"line\":\"inte");
        fs::write(&path, text).expect("there");
        log.intend(&job(), Some(&key("b"))).expect("written");
        assert_eq!(pending(&log), [Some("a".to_owned()), Some("b".to_owned())]);
    }

    #[test]
    fn a_full_file_makes_way_and_the_one_before_it_is_still_read() {
        let (home, log) = start_log();
        let first = log.intend(&job(), Some(&key("a"))).expect("written");
        let path = home.path().join("state/runjob/journal");
        let mut text = fs::read(&path).expect("there");
        text.resize(FULL as usize, b'\n');
        fs::write(&path, text).expect("there");
        log.intend(&job(), Some(&key("b"))).expect("written");
        assert!(path.metadata().expect("there").len() < FULL);
        assert_eq!(pending(&log).len(), 2);
        log.settle(&first, started()).expect("written");
        assert_eq!(pending(&log), [Some("b".to_owned())]);
    }

    #[test]
    fn many_write_at_once_and_no_line_is_lost() {
        let (_home, log) = start_log();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let (log, key) = (&log, key(&format!("writer-{writer}")));
                scope.spawn(move || {
                    for _ in 0..10 {
                        log.intend(&job(), Some(&key)).expect("written");
                    }
                });
            }
        });
        assert_eq!(pending(&log).len(), 80);
    }

    /// The log refuses to write and to read, and names this path.
    fn assert_refused(log: &StartLog, path: &Path, why: &str) {
        for error in [log.intend(&job(), None).map(drop), log.pending().map(drop)] {
            let error = error.expect_err(why).to_string();
            assert!(error.starts_with(&format!("{}: ", path.display())) && error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_file_that_others_control_is_refused_and_named() {
        type Make = fn(&Path);
        let cases: [(Make, &str); 4] = [
            (
                |path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO"),
                "not a regular file",
            ),
            (|path| symlink("elsewhere", path).expect("a link"), "symbolic link"),
            (|path| fs::create_dir(path).expect("a directory"), ""),
            (
                |path| {
                    fs::write(path, "").expect("a file");
                    fs::set_permissions(path, PermissionsExt::from_mode(0o666)).expect("it is ours");
                },
                "other accounts may write",
            ),
        ];
        for (make, why) in cases {
            let (home, log) = start_log();
            log.intend(&job(), None).expect("written");
            let path = home.path().join("state/runjob/journal");
            fs::remove_file(&path).expect("there");
            make(&path);
            assert_refused(&log, &path, why);
            assert!(!home.path().join("state/runjob/elsewhere").exists(), "a link was followed");
        }
    }

    #[test]
    fn a_directory_that_others_control_is_refused_and_named() {
        let (home, log) = start_log();
        log.intend(&job(), None).expect("written");
        let path = home.path().join("state/runjob");
        fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).expect("it is ours");
        assert_refused(&log, &path, "other accounts may write");
        fs::rename(&path, home.path().join("elsewhere")).expect("it is ours");
        symlink(home.path().join("elsewhere"), &path).expect("a link");
        assert_refused(&log, &path, "symbolic link");
    }

    #[test]
    fn a_lock_of_another_process_is_waited_for_and_then_given_up() {
        let (home, log) = start_log();
        log.intend(&job(), None).expect("written");
        let path = home.path().join("state/runjob");
        let folder = File::open(&path).expect("there");
        flock(&folder, FlockOperation::LockExclusive).expect("free");
        let error = log.intend(&job(), None).expect_err("locked").to_string();
        assert_eq!(error, format!("{}: another process holds a lock on it", path.display()));
        drop(folder);
        log.intend(&job(), None).expect("free again");
    }

    #[test]
    fn without_a_home_it_says_what_is_missing() {
        let error = StartLog::new(None, String::new()).intend(&job(), None).expect_err("nowhere");
        assert!(error.to_string().contains("XDG_STATE_HOME"), "{error}");
    }
}
