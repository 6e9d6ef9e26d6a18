//! Files that flags name, and stdin, read up to a bound. Knows no format.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// What one gRPC message usually may hold.
pub(in crate::cli) const MESSAGE: usize = 4 * 1024 * 1024;

/// The name of stdin where a file is named.
pub(in crate::cli) const STDIN: &str = "-";

/// The text of a regular file of at most `most` bytes.
pub(in crate::cli) fn read(path: &Path, most: usize) -> io::Result<String> {
    bounded(open(path)?, most)
}

/// The text of stdin where the path is `-`, else of the file.
pub(in crate::cli) fn read_or_stdin(path: &str, most: usize) -> io::Result<String> {
    if path == STDIN { bounded(io::stdin().lock(), most) } else { read(Path::new(path), most) }
}

fn bounded(source: impl Read, most: usize) -> io::Result<String> {
    let mut bytes = Vec::new();
    source.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::other(format!("it is larger than {most} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

/// Opens a regular file, and nothing that could keep the reader waiting or never ends.
fn open(path: &Path) -> io::Result<File> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}
