//! Backup: a copy of the database at one moment, while programs write to it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::Backup;
#[cfg(feature = "cluster")]
use rusqlite::backup::StepResult;

use super::files;
use super::open::{OpenError, OpenProblem, open_connection};

/// All pages in one step: the copy reads one snapshot, so no write can make it begin again.
const ALL_PAGES: i32 = -1;

/// Copies the database at `from` into the new file `to`, which only its owner can read. Writers do not wait for the copy, but
/// the write-ahead log grows until it ends.
///
/// # Errors
/// There is a file `to`, or one of both cannot be read or written. Then there is no copy.
pub(crate) fn back_up(from: &Path, to: &Path) -> Result<(), OpenError> {
    files::create_new(to).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => OpenProblem::Exists.at(to),
        io::ErrorKind::NotFound => OpenProblem::NoFolder.at(to),
        _ => OpenProblem::Io(error).at(to),
    })?;
    copy(from, to).map_err(|problem| {
        // Half a copy must not look like one. It cannot be removed if its folder is gone, too.
        let _ = fs::remove_file(to);
        problem.at(to)
    })
}

/// Replaces the content of the file of `connection` by that of `from`, in one transaction. Returns false, and
/// changes nothing, if another program holds the write lock.
///
/// # Errors
/// If one of both cannot be read or written. Then nothing has changed.
#[cfg(feature = "cluster")]
pub(super) fn restore(from: &Connection, connection: &mut Connection) -> rusqlite::Result<bool> {
    Ok(Backup::new(from, connection)?.step(ALL_PAGES)? == StepResult::Done)
}

fn copy(from: &Path, to: &Path) -> Result<(), OpenProblem> {
    let source = open_connection(from)?;
    let mut copy: Connection = open_connection(to)?;
    Backup::new(&source, &mut copy)?.step(ALL_PAGES)?;
    copy.close().map_err(|(_, error)| error)?;
    // The name is on the disk once its folder is.
    Ok(File::open(files::folder_of(to))?.sync_all()?)
}
