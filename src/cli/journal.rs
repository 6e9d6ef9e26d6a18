//! The journal of starts: what is about to be sent, written down and synced before it is sent, and what became of it.
//!
//! One JSON object a line, for its owner alone, and bounded. It holds no arguments and no variables, and no hash of
//! them either: a short secret can be guessed from its hash. Knows files, and no service.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

use prost_types::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ExecutionName, JobName, StartKey};

/// The file, and the one before it.
const CURRENT: &str = "journal";
const FORMER: &str = "journal.1";

/// The size from which a new file is begun: about 500 starts, so the two files know the last 500 at least.
const FULL: u64 = 256 * 1024;

/// The starts that are sent to one server from this account.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Journal {
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
    /// Nobody wants to know any more.
    Forgotten,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "line")]
enum Line {
    Intent(Intent),
    Outcome {
        id: String,
        #[serde(flatten)]
        settled: Settled,
    },
}

impl Intent {
    /// The job, unless somebody has edited the file.
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

impl Journal {
    /// The journal in this directory, as far as it is about this server. Nothing is read or written yet.
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
        self.append(&Line::Intent(intent.clone()))?;
        Ok(intent)
    }

    /// Writes down what became of a start.
    pub(super) fn settle(&self, intent: &Intent, settled: Settled) -> io::Result<()> {
        self.append(&Line::Outcome { id: intent.id.clone(), settled })
    }

    /// The starts at this server of which it is not known what became of them, oldest first.
    pub(super) fn pending(&self) -> io::Result<Vec<Intent>> {
        let directory = self.directory()?;
        let mut pending: Vec<Intent> = Vec::new();
        for file in [FORMER, CURRENT] {
            for line in lines(&directory.join(file))? {
                match line {
                    Line::Intent(intent) if intent.server == self.server => pending.push(intent),
                    Line::Intent(_) => {}
                    Line::Outcome { id, settled } => {
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

    fn append(&self, line: &Line) -> io::Result<()> {
        let directory = self.directory()?;
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let folder = File::open(directory)?;
        // Others wait for the lock, so that no line is torn and no file is moved away under a writer.
        flock(&folder, FlockOperation::LockExclusive)?;
        let path = directory.join(CURRENT);
        if fs::metadata(&path).is_ok_and(|file| file.len() >= FULL) {
            fs::rename(&path, directory.join(FORMER))?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        if is_torn(&mut file)? {
            text.insert(0, '\n');
        }
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        // The name of a new file has to last as well.
        folder.sync_all()
    }

    fn directory(&self) -> io::Result<&Path> {
        self.directory
            .as_deref()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "neither XDG_STATE_HOME nor HOME is set"))
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

/// The lines of a file that can be read; none if there is no file.
fn lines(path: &Path) -> io::Result<Vec<Line>> {
    match fs::read(path) {
        Ok(bytes) => {
            Ok(bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

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

    /// A journal in a directory that is not there yet.
    fn journal() -> (tempfile::TempDir, Journal) {
        let home = tempfile::tempdir().expect("temporary directory");
        let journal = Journal::new(Some(home.path().join("state/runjob")), "here".to_owned());
        (home, journal)
    }

    fn pending(journal: &Journal) -> Vec<Option<String>> {
        journal.pending().expect("read").into_iter().map(|intent| intent.key).collect()
    }

    #[test]
    fn a_start_is_pending_until_its_end_is_written_down() {
        let (_home, journal) = journal();
        assert_eq!(journal.pending().expect("no file yet"), []);
        let first = journal.intend(&job(), Some(&key("a"))).expect("written");
        let second = journal.intend(&job(), None).expect("written");
        assert_eq!(journal.pending().expect("read"), [first.clone(), second.clone()]);
        assert_eq!((first.job(), first.key(), second.key()), (Some(job()), Some(key("a")), None));
        journal.settle(&first, started()).expect("written");
        assert_eq!(journal.pending().expect("read"), std::slice::from_ref(&second));
        journal.settle(&second, Settled::NotStarted).expect("written");
        assert_eq!(journal.pending().expect("read"), []);
    }

    #[test]
    fn a_start_that_is_found_settles_earlier_tries_with_its_key_and_no_others() {
        let (_home, journal) = journal();
        journal.intend(&job(), Some(&key("a"))).expect("written");
        journal.intend(&job(), Some(&key("b"))).expect("written");
        journal.intend(&job(), None).expect("written");
        let again = journal.intend(&job(), Some(&key("a"))).expect("written");
        let unkeyed = journal.intend(&job(), None).expect("written");
        journal.settle(&again, started()).expect("written");
        journal.settle(&unkeyed, started()).expect("written");
        assert_eq!(pending(&journal), [Some("b".to_owned()), None]);
    }

    #[test]
    fn what_was_sent_to_another_server_is_not_pending_here() {
        let (home, journal) = journal();
        let other = Journal::new(Some(home.path().join("state/runjob")), "there".to_owned());
        other.intend(&job(), None).expect("written");
        assert_eq!((pending(&journal).len(), pending(&other).len()), (0, 1));
    }

    #[test]
    fn the_files_are_their_owners_alone() {
        let (home, journal) = journal();
        journal.intend(&job(), None).expect("written");
        let mode = |path: &str| home.path().join(path).metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!((mode("state/runjob"), mode("state/runjob/journal")), (0o700, 0o600));
    }

    #[test]
    fn a_torn_line_spoils_no_other() {
        let (home, journal) = journal();
        journal.intend(&job(), Some(&key("a"))).expect("written");
        let path = home.path().join("state/runjob/journal");
        let mut text = fs::read(&path).expect("there");
        text.extend_from_slice(b"{\"line\":\"inte");
        fs::write(&path, text).expect("there");
        journal.intend(&job(), Some(&key("b"))).expect("written");
        assert_eq!(pending(&journal), [Some("a".to_owned()), Some("b".to_owned())]);
    }

    #[test]
    fn a_full_file_makes_way_and_the_one_before_it_is_still_read() {
        let (home, journal) = journal();
        let first = journal.intend(&job(), Some(&key("a"))).expect("written");
        let path = home.path().join("state/runjob/journal");
        let mut text = fs::read(&path).expect("there");
        text.resize(FULL as usize, b'\n');
        fs::write(&path, text).expect("there");
        journal.intend(&job(), Some(&key("b"))).expect("written");
        assert!(path.metadata().expect("there").len() < FULL);
        assert_eq!(pending(&journal).len(), 2);
        journal.settle(&first, started()).expect("written");
        assert_eq!(pending(&journal), [Some("b".to_owned())]);
    }

    #[test]
    fn many_write_at_once_and_no_line_is_lost() {
        let (_home, journal) = journal();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let (journal, key) = (&journal, key(&format!("writer-{writer}")));
                scope.spawn(move || {
                    for _ in 0..10 {
                        journal.intend(&job(), Some(&key)).expect("written");
                    }
                });
            }
        });
        assert_eq!(pending(&journal).len(), 80);
    }

    #[test]
    fn without_a_home_it_says_what_is_missing() {
        let error = Journal::new(None, String::new()).intend(&job(), None).expect_err("nowhere");
        assert!(error.to_string().contains("XDG_STATE_HOME"), "{error}");
    }
}
