//! State files that are damaged, of another version, or no files: refused with exit status 8, with what to do, and left as
//! they are byte for byte (case 3.9).

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use redb::{Database, TableDefinition};
use runjob::{
    Client, JobName,
    emulator::{Emulator, Runtime, Simulation},
};
use tempfile::TempDir;

use crate::cli::{JOBS, ran};

/// How often a bit is turned, unless RUNJOB_DAMAGES says otherwise.
const DAMAGES: usize = 60;

/// A data directory, what its file holds, and what that means.
struct Kept {
    dir: TempDir,
    bytes: Vec<u8>,
    snapshot: String,
}

impl Kept {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a place");
        let emulator = open(dir.path()).await.expect("a new one");
        let client = Client::builder().connector(emulator.connector()).build().await.expect("a client");
        let job: JobName = format!("{JOBS}/echo").parse().expect("a name");
        for _ in 0..20 {
            client.run(&job).start().await.expect("it starts").wait().await.expect("it ends");
        }
        let snapshot = emulator.snapshot();
        drop(client);
        emulator.stop().await.expect("it did not panic");
        let bytes = fs::read(file(dir.path())).expect("it is there");
        Self { dir, bytes, snapshot }
    }

    fn file(&self) -> PathBuf {
        file(self.dir.path())
    }

    fn flipped(&self, at: usize, mask: u8) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[at] ^= mask;
        bytes
    }
}

fn file(dir: &Path) -> PathBuf {
    dir.join("state.redb")
}

async fn open(dir: &Path) -> Result<Emulator, String> {
    let builder = Emulator::builder().data_dir(dir).runtime(Runtime::Simulated(Simulation::default()));
    let error = |error: runjob::emulator::EmulatorError| error.to_string();
    builder.no_listener().start().await.map_err(error)
}

fn refused(dir: &Path) -> String {
    let ended = ran(&format!("emulator --listen=127.0.0.1:0 --data-dir={}", dir.display()));
    assert_eq!((ended.status, ended.stdout.as_str()), (8, ""), "{ended:#?}");
    for part in ["state.redb", "left as it is", "put back a copy", "use another directory"] {
        assert!(ended.stderr.contains(part), "{part}: {ended:#?}");
    }
    ended.stderr
}

#[tokio::test]
async fn a_damaged_state_file_is_refused_and_left_alone() {
    let kept = Kept::new().await;
    let half = kept.bytes.len() / 2;
    let damages: [(&str, Vec<u8>); 8] = [
        ("it is empty", Vec::new()),
        ("it is cut off", kept.bytes[..half].to_vec()),
        ("it is cut off", kept.bytes[..kept.bytes.len() - 1].to_vec()),
        ("it is cut off", kept.bytes[..100].to_vec()),
        ("it is no database", b"PK\x03\x04".repeat(2000)),
        ("it is no database", vec![0; kept.bytes.len()]),
        ("its head is damaged", kept.flipped(13, 1)),
        ("its head is damaged", kept.flipped(9, 0x80)),
    ];
    for (said, bytes) in damages {
        fs::write(kept.file(), &bytes).expect("it is ours");
        let message = refused(kept.dir.path());
        assert!(message.contains(said), "{said}: {message}");
        assert!(fs::read(kept.file()).expect("it is there") == bytes, "{said}: it was changed");
    }
}

#[tokio::test]
async fn a_state_file_that_is_cut_off_anywhere_is_refused() {
    let kept = Kept::new().await;
    let pages = (0..kept.bytes.len()).step_by(4096);
    for length in [1, 8, 9, 63, 64, 319, 320, 4095, 4097].into_iter().chain(pages) {
        fs::write(kept.file(), &kept.bytes[..length]).expect("it is ours");
        let message = open(kept.dir.path()).await.expect_err("it is not whole");
        assert!(message.contains("cannot be used"), "{length}: {message}");
        assert_eq!(fs::read(kept.file()).expect("it is there").len(), length);
    }
}

/// What is not in use can be damaged without harm. `RUNJOB_DAMAGES=1000 cargo test bit_turned` does it as often as that.
#[tokio::test]
async fn a_state_file_with_a_bit_turned_anywhere_is_refused_or_holds_the_same() {
    let kept = Kept::new().await;
    let mut random = fastrand::Rng::with_seed(9);
    let used: Vec<_> = (0..kept.bytes.len()).filter(|at| kept.bytes[*at] != 0).collect();
    let damages = env::var("RUNJOB_DAMAGES").map_or(DAMAGES, |count| count.parse().expect("a number"));
    // Half of them in the head, where little is under a checksum.
    let damages = (0..damages).map(|number| match number % 2 {
        0 => (random.usize(..320), 1 << random.u8(..8)),
        _ => (used[random.usize(..used.len())], random.u8(1..)),
    });
    let damages: Vec<_> = damages.collect();
    let mut found = 0;
    for &(at, mask) in &damages {
        let bytes = kept.flipped(at, mask);
        fs::write(kept.file(), &bytes).expect("it is ours");
        match open(kept.dir.path()).await {
            Ok(emulator) => assert!(emulator.snapshot() == kept.snapshot, "{at} ^ {mask}: another state"),
            Err(message) => {
                found += 1;
                assert!(message.contains("cannot be used"), "{at} ^ {mask}: {message}");
                assert!(fs::read(kept.file()).expect("it is there") == bytes, "{at} ^ {mask}: it was changed");
            }
        }
    }
    assert!(found * 10 > damages.len(), "{found} were found");
}

#[tokio::test]
async fn a_state_file_of_another_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a place");
    let database = Database::create(file(dir.path())).expect("a database");
    let transaction = database.begin_write().expect("the first one");
    let about = TableDefinition::<&str, u64>::new("about");
    transaction.open_table(about).expect("a table").insert("format", 99).expect("a row");
    transaction.commit().expect("it is kept");
    drop(database);
    let bytes = fs::read(file(dir.path())).expect("it is there");
    let message = refused(dir.path());
    assert!(message.contains("another version of runjob"), "{message}");
    assert!(fs::read(file(dir.path())).expect("it is there") == bytes);
}

#[test]
fn what_is_no_file_in_the_place_of_the_state_is_refused() {
    let dir = tempfile::tempdir().expect("a place");
    fs::create_dir(file(dir.path())).expect("a directory");
    assert!(refused(dir.path()).contains("it is no file"));
    fs::remove_dir(file(dir.path())).expect("it is empty");
    symlink("nowhere", file(dir.path())).expect("a link");
    refused(dir.path());
    assert!(!dir.path().join("nowhere").exists());
}

#[tokio::test]
async fn a_state_file_that_was_not_finished_is_made_anew() {
    let dir = tempfile::tempdir().expect("a place");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).expect("it is ours");
    fs::write(dir.path().join("state.redb.new"), b"half of it").expect("it is ours");
    let emulator = open(dir.path()).await.expect("there is no state yet");
    emulator.stop().await.expect("it did not panic");
    assert!(file(dir.path()).exists() && !dir.path().join("state.redb.new").exists());
}
