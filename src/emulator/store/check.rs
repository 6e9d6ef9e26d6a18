//! Whether a file is a whole database, found out on a copy in memory.
//!
//! redb looks at the checksums of a file only after a crash, trusts what else it finds, and panics where that makes no
//! sense. So a copy is opened as if after a crash, which checks all that is in use; and what would panic even then, the
//! head of the file, is checked here. Knows of redb's format what its design document says of that head, and no rows.

use std::ops::Range;

use redb::{Builder, Database, StorageBackend as _, backends::InMemoryBackend};

use super::DiskError;

/// Of redb's pages, and of the head.
const PAGE: usize = 4096;
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";
const FLAGS: usize = 9;
const SECOND_IS_CURRENT: u8 = 1;
const AFTER_CRASH: u8 = 2;
const LATEST_IS_WHOLE: u8 = 4;
const ALL_FLAGS: u8 = 7;
/// Where the same three numbers are in every file: bytes of a page, and pages of a region's own head and of its data.
const SIZES: [(usize, u128); 3] = [(12, PAGE as u128), (16, REGION_HEAD), (20, REGION_DATA)];
const REGION_HEAD: u128 = 130;
const REGION_DATA: u128 = 1 << 20;
/// How many regions are full, and how many pages of data are in one more.
const FULL_REGIONS: usize = 24;
const MORE_PAGES: usize = 28;
/// The number of the page that says which regions have free pages.
const TRACKER: Range<usize> = 32..40;
/// What [`distrust`] changes.
pub(super) const TRUSTED: Range<usize> = FLAGS..TRACKER.end;
/// Where the last two commits are described, and where in that are their numbers.
const COMMITS: [usize; 2] = [64, 192];
const NUMBER: usize = 104;

/// A copy of the database in these bytes, all of whose checksums are right.
pub(super) fn copy(mut bytes: Vec<u8>) -> Result<Database, DiskError> {
    check_head(&bytes)?;
    if bytes[FLAGS] & AFTER_CRASH == 0 {
        check_latest(&bytes)?;
        // It was closed in order: there is no reason to go back to the commit before.
        bytes[FLAGS] |= LATEST_IS_WHOLE;
    }
    distrust(&mut bytes[TRUSTED]);
    let memory = InMemoryBackend::new();
    memory.set_len(bytes.len() as u64)?;
    memory.write(0, &bytes)?;
    let mut database = Builder::new().create_with_backend(memory)?;
    // To open it goes through the head and the inner pages; this reads every row.
    if !database.check_integrity()? {
        return Err("a checksum is wrong".into());
    }
    Ok(database)
}

/// Lets redb find out again what it would take over without a checksum: which pages are in use, and where that is kept. Page
/// 0, which stands for that place then, is there in every file, and passed over if it is in use.
pub(super) fn distrust(trusted: &mut [u8]) {
    trusted[0] |= AFTER_CRASH;
    trusted[TRACKER.start - FLAGS..].fill(0);
}

fn check_head(bytes: &[u8]) -> Result<(), DiskError> {
    if bytes.is_empty() {
        return Err("it is empty".into());
    }
    if !bytes.starts_with(MAGIC) {
        return Err("it is no database".into());
    }
    if bytes.len() < PAGE || !bytes.len().is_multiple_of(PAGE) {
        return Err(format!("it is cut off after {} bytes", bytes.len()).into());
    }
    if SIZES.iter().any(|(at, usual)| number(bytes, *at) != *usual) || bytes[FLAGS] & !ALL_FLAGS != 0 {
        return Err("its head is damaged".into());
    }
    let (full, more) = (number(bytes, FULL_REGIONS), number(bytes, MORE_PAGES));
    let last = if more > 0 { REGION_HEAD + more } else { 0 };
    let pages = 1 + full * (REGION_HEAD + REGION_DATA) + last;
    if pages == 1 || more >= REGION_DATA {
        return Err("its head is damaged".into());
    }
    if pages * PAGE as u128 > bytes.len() as u128 {
        return Err(format!("it is cut off after {} bytes", bytes.len()).into());
    }
    Ok(())
}

/// The commit that counts is not the older one.
fn check_latest(bytes: &[u8]) -> Result<(), DiskError> {
    let current = usize::from(bytes[FLAGS] & SECOND_IS_CURRENT);
    let [first, second] = COMMITS.map(|at| {
        let number = bytes[at + NUMBER..].first_chunk().copied().unwrap_or_default();
        u64::from_le_bytes(number)
    });
    let [latest, before] = if current == 0 { [first, second] } else { [second, first] };
    if latest < before { Err("its head is damaged".into()) } else { Ok(()) }
}

fn number(bytes: &[u8], at: usize) -> u128 {
    let number = bytes[at..].first_chunk().copied().unwrap_or_default();
    u32::from_le_bytes(number).into()
}
