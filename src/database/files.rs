//! The database file, its write-ahead log and the log's index: made for their owner alone, and compared with their
//! paths while they are open.
//!
//! Files are compared by stat(2), never by opening them: closing any descriptor of a file drops all POSIX locks that
//! the process holds on it (<https://sqlite.org/howtocorrupt.html>, section 2.2).

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf, absolute};

use thiserror::Error;

/// Read and write for the owner alone: the file holds password hashes.
const OWNER_ONLY: u32 = 0o600;

/// The permissions of everybody but the owner.
const OTHERS: u32 = 0o077;

/// The most symbolic links that a path may lead through, as in Linux.
const LINKS_MAX: usize = 40;

/// The device and inode of a file.
pub(super) type Identity = (u64, u64);

/// The identity of the file that `metadata` describes.
pub(super) fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// A file that is open no longer is the one at its path. What is written to it would be lost.
#[derive(Clone, Debug, Error)]
#[error("{} was {what} while it was open", path.display())]
pub struct Replaced {
    path: PathBuf,
    what: &'static str,
}

/// The files of an open database. While a connection is open, SQLite neither deletes nor replaces any of them.
#[derive(Debug)]
pub(super) struct OpenFiles {
    /// The paths of the database, the log and its index, with the files that were there when they were opened.
    files: [(PathBuf, Identity); 3],
}

impl OpenFiles {
    /// Records the files of the database at `path`, which a connection must have read.
    pub(super) fn record(path: &Path) -> io::Result<Self> {
        let real = real_path(path)?;
        let record = |path: PathBuf| fs::metadata(&path).map(|metadata| (path, identity(&metadata)));
        Ok(Self {
            files: [record(absolute(path)?)?, record(with_suffix(&real, "-wal"))?, record(with_suffix(&real, "-shm"))?],
        })
    }

    /// The identity of the database file.
    pub(super) fn database(&self) -> Identity {
        self.files[0].1
    }

    /// Compares the files with those at their paths now. It takes microseconds.
    ///
    /// # Errors
    /// The first file that was deleted or replaced.
    pub(super) fn check(&self) -> Result<(), Replaced> {
        for (path, opened) in &self.files {
            let what = match fs::metadata(path) {
                Ok(metadata) if identity(&metadata) == *opened => continue,
                Ok(_) => "replaced",
                Err(error) if is_missing(&error) => "moved or deleted",
                // The file may be there: the disk, or the network, does not answer.
                Err(_) => continue,
            };
            return Err(Replaced { path: path.clone(), what });
        }
        Ok(())
    }

    /// Whether no other program can have made a log or an index of its own, whose locks this process would not see.
    pub(super) fn share_no_log(&self) -> bool {
        self.files[1..].iter().all(|(path, opened)| match fs::metadata(path) {
            Ok(metadata) => identity(&metadata) == *opened,
            Err(error) => is_missing(&error),
        })
    }

    /// The files that users other than their owner may read or write, with their permissions.
    pub(super) fn open_to_others(&self) -> Vec<(PathBuf, u32)> {
        let mode = |path: &PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.mode() & 0o777);
        let files = self.files.iter().map(|(path, _)| (path.clone(), mode(path)));
        files.filter(|(_, mode)| mode & OTHERS != 0).collect()
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Creates the empty file `path`, which only its owner can read, whatever the umask. Does nothing if it exists. SQLite
/// gives the log and its index the same permissions.
pub(crate) fn create(path: &Path) -> io::Result<()> {
    let path = real_path(path)?;
    if path.exists() {
        return Ok(());
    }
    match create_new(&path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// [`create`], which fails if there is a file.
pub(crate) fn create_new(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
    // The umask may have taken permissions of the owner, too.
    file.set_permissions(Permissions::from_mode(OWNER_ONLY)).inspect_err(|_| drop(fs::remove_file(path)))
}

/// The folder of the file at `path`.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `path` with a suffix, as SQLite names the files beside a database.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// `path` without symbolic links. Its last part need not exist, so that a link may point to a file to be created.
pub(super) fn real_path(path: &Path) -> io::Result<PathBuf> {
    let mut path = absolute(path)?;
    for _ in 0..LINKS_MAX {
        let folder = path.parent().unwrap_or(Path::new("/")).canonicalize()?;
        path = folder.join(path.file_name().unwrap_or_default());
        match fs::read_link(&path) {
            Ok(target) => path = folder.join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "too many levels of symbolic links"))
}

/// A lock on a path, whatever file is there. It is flock(2)'s on a hidden file beside the path, which the holder deletes
/// at its end. A process that was killed leaves the file, but no lock.
#[derive(Debug)]
pub(super) struct PathLock {
    path: PathBuf,
    file: File,
}

impl PathLock {
    /// Takes the lock. `None` if another process holds it.
    pub(super) fn take(path: &Path) -> io::Result<Option<Self>> {
        let path = real_path(path)?;
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".lock");
        let path = path.with_file_name(name);
        loop {
            create(&path)?;
            let file = match OpenOptions::new().write(true).open(&path) {
                // Its holder has just deleted it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Ok(None),
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
            let lock = Self { path: path.clone(), file };
            // Its last holder may have deleted the file before the lock was taken.
            if lock.is_in_place()? {
                return Ok(Some(lock));
            }
        }
    }

    fn is_in_place(&self) -> io::Result<bool> {
        let own = identity(&self.file.metadata()?);
        Ok(fs::metadata(&self.path).is_ok_and(|metadata| identity(&metadata) == own))
    }
}

impl Drop for PathLock {
    fn drop(&mut self) {
        if self.is_in_place().unwrap_or(false) {
            // A file that stays is not locked.
            let _ = fs::remove_file(&self.path);
        }
    }
}
