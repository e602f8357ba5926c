//! Copies of files on their way from one member to another.

use std::path::{Path, PathBuf};
use std::{fs, io};

use tempfile::TempDir;

use crate::database::folder_of;

/// A copy in a folder of its own, which is removed when this is dropped: two copies can be under way at a time, and SQLite
/// keeps files beside each.
#[derive(Debug)]
pub(super) struct CopiedFile {
    path: PathBuf,
    _folder: TempDir,
}

impl CopiedFile {
    /// The path of a copy to be, which is of the file at `database` or will replace it. Only the owner can enter its folder.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub(super) fn beside(database: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix(&prefix(database)).tempdir_in(folder_of(database))?;
        Ok(Self { path: folder.path().join("presence.db"), _folder: folder })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes the copies of a member that was killed meanwhile. Those that stay only take room.
pub(super) fn remove_copies(database: &Path) {
    let remove = || -> io::Result<()> {
        for entry in fs::read_dir(folder_of(database))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix(database)) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    };
    if let Err(error) = remove() {
        tracing::warn!(%error, "an old copy of a member's file could not be removed");
    }
}

/// How the names of the folders begin.
fn prefix(database: &Path) -> String {
    format!(".{}-copy-", database.file_name().unwrap_or_default().to_string_lossy())
}
