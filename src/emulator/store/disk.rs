//! The directory and the database in it. Knows rows, not what they mean.
//!
//! A database that is there is read on a checked copy in memory first, so that one that cannot be read is not touched. A
//! new one gets its name when it is whole.
//!
//! redb because what is asked of it is to survive a kill at any moment: a commit is one switch of a root page after a
//! sync, so there is no log to replay, and nothing of ours has to be right for it.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use redb::{
    Builder, Database, DatabaseError, ReadableTable as _, StorageBackend as _, TableDefinition, TableError,
    backends::FileBackend,
};

use super::{DiskError, check};
use crate::emulator::{
    EmulatorError,
    state::{Machine, Restoration, StateChange, Table},
};

/// The database in the directory.
const FILE: &str = "state.redb";
/// What it is called until it is whole.
const NEW_FILE: &str = "state.redb.new";
/// Incremented when older rows can no longer be read.
const FORMAT: u64 = 2;
const FORMAT_KEY: &str = "format";
/// Of the database's pages in memory; the machine is in memory anyway.
const CACHE: usize = 16 * 1024 * 1024;

/// How long an emulator that was killed may hold on to it: until the last process that it was just starting is one.
const LETTING_GO: Duration = Duration::from_secs(1);

/// Rows by serial number and index.
type Rows = TableDefinition<'static, (u64, u32), &'static [u8]>;
const ABOUT: TableDefinition<'static, &str, u64> = TableDefinition::new("about");

#[derive(Debug)]
pub(super) struct Disk {
    dir: PathBuf,
    database: Database,
}

impl Disk {
    pub(super) fn open(dir: &Path, fresh: Machine) -> Result<(Self, Machine), EmulatorError> {
        make_private(dir)?;
        let (database, machine) = match claim(dir)? {
            Claimed::New(file) => (make(dir, file).map_err(|error| EmulatorError::unwritable(dir, error))?, fresh),
            Claimed::Old(file) => {
                let machine = read(&file, fresh).map_err(|error| EmulatorError::unreadable(&dir.join(FILE), error))?;
                (reopen(file).map_err(|error| EmulatorError::unwritable(dir, error))?, machine)
            }
        };
        Ok((Self { dir: dir.to_owned(), database }, machine))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// All of the changes, or none of them; they are on disk when this returns.
    pub(super) fn commit(&self, changes: impl Iterator<Item = StateChange>) -> Result<(), DiskError> {
        let mut changes = changes.peekable();
        if changes.peek().is_none() {
            return Ok(());
        }
        let transaction = self.database.begin_write()?;
        for change in changes {
            match change {
                StateChange::Put { table, serial, index, value } => {
                    transaction.open_table(rows(table))?.insert((serial, index), value.as_slice())?;
                }
                StateChange::Remove { table, serial } => {
                    transaction.open_table(rows(table))?.retain_in((serial, 0)..=(serial, u32::MAX), |_, _| false)?;
                }
                StateChange::Clear => {
                    for table in Table::ALL {
                        transaction.delete_table(rows(table))?;
                    }
                }
            }
        }
        Ok(transaction.commit()?)
    }
}

/// The file of the database, which no other emulator has.
#[derive(Debug)]
enum Claimed {
    New(FileBackend),
    Old(FileBackend),
}

/// Makes an empty database, which says how it is written.
fn make(dir: &Path, file: FileBackend) -> Result<Database, DiskError> {
    // Of an emulator that was killed here.
    file.set_len(0)?;
    let database = builder().create_with_backend(file)?;
    let transaction = database.begin_write()?;
    transaction.open_table(ABOUT)?.insert(FORMAT_KEY, FORMAT)?;
    transaction.commit()?;
    fs::rename(dir.join(NEW_FILE), dir.join(FILE))?;
    fs::File::open(dir)?.sync_all()?;
    Ok(database)
}

/// What a file holds that is whole and that this version can read. The file stays as it is.
fn read(file: &FileBackend, fresh: Machine) -> Result<Machine, DiskError> {
    let length = file.len()?;
    let bytes = file.read(0, usize::try_from(length)?)?;
    let copy = check::copy(bytes)?;
    let transaction = copy.begin_read()?;
    let format = match transaction.open_table(ABOUT) {
        Err(TableError::TableDoesNotExist(_)) => None,
        about => about?.get(FORMAT_KEY)?.map(|format| format.value()),
    };
    if format != Some(FORMAT) {
        return Err("another version of runjob wrote it".into());
    }
    let mut restoration = Restoration::new(fresh);
    for table in Table::ALL {
        let rows = match transaction.open_table(rows(table)) {
            Err(TableError::TableDoesNotExist(_)) => continue,
            rows => rows?,
        };
        for row in rows.iter()? {
            let (key, value) = row?;
            let (serial, index) = key.value();
            let added = restoration.add(table, serial, value.value());
            added.map_err(|error| format!("row {serial}.{index} of {}: {error}", table.name()))?;
        }
    }
    restoration.finish()
}

/// The database in a file that was read before.
fn reopen(file: FileBackend) -> Result<Database, DiskError> {
    let mut trusted = file.read(check::TRUSTED.start as u64, check::TRUSTED.len())?;
    check::distrust(&mut trusted);
    file.write(check::TRUSTED.start as u64, &trusted)?;
    Ok(builder().create_with_backend(file)?)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    builder
}

fn rows(table: Table) -> Rows {
    TableDefinition::new(table.name())
}

/// The file, for this emulator alone.
fn claim(dir: &Path) -> Result<Claimed, EmulatorError> {
    let give_up = Instant::now() + LETTING_GO;
    loop {
        match try_claim(dir) {
            Err(DatabaseError::DatabaseAlreadyOpen) if Instant::now() < give_up => thread::sleep(LETTING_GO / 20),
            Err(DatabaseError::DatabaseAlreadyOpen) => return Err(EmulatorError::in_use(dir)),
            Err(error) if exists(&dir.join(FILE)) => return Err(EmulatorError::unreadable(&dir.join(FILE), error)),
            claimed => return claimed.map_err(|error| EmulatorError::unwritable(dir, error)),
        }
    }
}

fn try_claim(dir: &Path) -> Result<Claimed, DatabaseError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    let (file, new) = (dir.join(FILE), dir.join(NEW_FILE));
    if !exists(&file) {
        let claimed = FileBackend::new(options.clone().create(true).truncate(false).open(new)?)?;
        // Another emulator may have been faster, and then this is a file that it does not know.
        return if exists(&file) { Err(DatabaseError::DatabaseAlreadyOpen) } else { Ok(Claimed::New(claimed)) };
    }
    if !fs::metadata(&file)?.is_file() {
        return Err(io::Error::other("it is no file").into());
    }
    Ok(Claimed::Old(FileBackend::new(options.open(file)?)?))
}

/// Also a link to nowhere, in whose place nothing may be made.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Makes the directory, for this user alone. One that is there is made private if it is ours or empty, and refused if
/// others can look into it and it holds something else.
fn make_private(dir: &Path) -> Result<(), EmulatorError> {
    let unwritable = |error| EmulatorError::unwritable(dir, error);
    match DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unwritable(error)),
        _ => {}
    }
    if fs::metadata(dir).map_err(unwritable)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    let empty = fs::read_dir(dir).map_err(unwritable)?.next().is_none();
    if !empty && !dir.join(FILE).exists() {
        return Err(EmulatorError::open_to_others(dir));
    }
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(unwritable)
}
