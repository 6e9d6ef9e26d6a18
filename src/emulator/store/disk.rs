//! The directory and the database in it. Knows rows, not what they mean.
//!
//! redb because what is asked of it is to survive a kill at any moment: a commit is one switch of a root page after a
//! sync, so there is no log to replay, and nothing of ours has to be right for it.

use std::{
    error::Error as StdError,
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use redb::{Builder, Database, DatabaseError, ReadableTable as _, TableDefinition, TableError};

use crate::emulator::{
    EmulatorError,
    state::{Change, Machine, Restoration, Table},
};

/// The database in the directory.
const FILE: &str = "state.redb";
/// Counted up when rows of before cannot be read any more.
const FORMAT: u64 = 2;
/// Of the database's pages in memory; the machine is in memory anyway.
const CACHE: usize = 16 * 1024 * 1024;

/// How long an emulator that was killed may hold on to it: until the last process that it was just starting is one.
const LETTING_GO: Duration = Duration::from_secs(1);

/// Rows by serial number and index.
type Rows = TableDefinition<'static, (u64, u32), &'static [u8]>;
const ABOUT: TableDefinition<'static, &str, u64> = TableDefinition::new("about");

type Failure = Box<dyn StdError + Send + Sync>;

#[derive(Debug)]
pub(super) struct Disk {
    dir: PathBuf,
    database: Database,
}

impl Disk {
    pub(super) fn open(dir: &Path, fresh: Machine) -> Result<(Self, Machine), EmulatorError> {
        make_private(dir)?;
        let database = claim(dir)?;
        let disk = Self { dir: dir.to_owned(), database };
        disk.check_format()?;
        let machine = disk.read(fresh).map_err(|error| EmulatorError::unreadable(dir, error))?;
        Ok((disk, machine))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// All of the changes, or none of them; they are on disk when this returns.
    pub(super) fn commit(&self, changes: impl Iterator<Item = Change>) -> Result<(), Failure> {
        let mut changes = changes.peekable();
        if changes.peek().is_none() {
            return Ok(());
        }
        let transaction = self.database.begin_write()?;
        for change in changes {
            match change {
                Change::Put { table, serial, index, value } => {
                    transaction.open_table(rows(table))?.insert((serial, index), value.as_slice())?;
                }
                Change::Remove { table, serial } => {
                    transaction.open_table(rows(table))?.retain_in((serial, 0)..=(serial, u32::MAX), |_, _| false)?;
                }
                Change::Clear => {
                    for table in Table::ALL {
                        transaction.delete_table(rows(table))?;
                    }
                }
            }
        }
        Ok(transaction.commit()?)
    }

    /// Says in a new database how it is written, and refuses one that is written otherwise.
    fn check_format(&self) -> Result<(), EmulatorError> {
        let format = || -> Result<u64, Failure> {
            let transaction = self.database.begin_write()?;
            let format = {
                let mut about = transaction.open_table(ABOUT)?;
                let present = about.get("format")?.map(|format| format.value());
                if present.is_none() {
                    about.insert("format", FORMAT)?;
                }
                present.unwrap_or(FORMAT)
            };
            transaction.commit()?;
            Ok(format)
        };
        match format().map_err(|error| EmulatorError::unwritable(&self.dir, error))? {
            FORMAT => Ok(()),
            _ => Err(EmulatorError::unreadable(&self.dir, "another version of runjob wrote it")),
        }
    }

    fn read(&self, fresh: Machine) -> Result<Machine, Failure> {
        let transaction = self.database.begin_read()?;
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
}

fn rows(table: Table) -> Rows {
    TableDefinition::new(table.name())
}

/// The database, for this emulator alone.
fn claim(dir: &Path) -> Result<Database, EmulatorError> {
    let opened = || -> Result<Database, DatabaseError> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(dir.join(FILE))?;
        Builder::new().set_cache_size(CACHE).create_file(file)
    };
    let give_up = Instant::now() + LETTING_GO;
    loop {
        match opened() {
            Err(DatabaseError::DatabaseAlreadyOpen) if Instant::now() < give_up => thread::sleep(LETTING_GO / 20),
            Err(DatabaseError::DatabaseAlreadyOpen) => return Err(EmulatorError::in_use(dir)),
            opened => return opened.map_err(|error| EmulatorError::unwritable(dir, error)),
        }
    }
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
