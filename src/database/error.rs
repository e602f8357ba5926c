//! What can go wrong in reads and writes, by what the caller can do about it.

use std::sync::Arc;

use rusqlite::types::FromSqlError;
use rusqlite::{ErrorCode, ffi};
use thiserror::Error;

use super::WriteResult;
use super::files::Replaced;

/// Why a read failed.
#[derive(Debug, Error)]
pub enum ReadError {
    /// SQLite could not read the file.
    #[error("reading failed: {}", plain_message(.0))]
    Sqlite(#[from] rusqlite::Error),
    /// The file at the path is no longer the one that is open.
    #[error(transparent)]
    Replaced(#[from] Replaced),
    /// A column does not have the type that the program expects, which is a defect.
    #[error("unexpected column: {0}")]
    Column(#[from] FromSqlError),
    /// The wall clock was set, and the times in the file have not moved yet.
    #[error("the wall clock was set")]
    ClockSet,
    /// The server is stopping.
    #[error("the server is stopping")]
    Closed,
}

impl ReadError {
    /// Whether the file could be read, but a value in it is not what the query or the program expects: a NULL where
    /// there should be text, or text that is not JSON. A retry fails, too.
    #[must_use]
    pub fn is_bad_value(&self) -> bool {
        match self {
            Self::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) => {
                matches!(failure.code, ErrorCode::Unknown | ErrorCode::TypeMismatch | ErrorCode::TooBig)
            }
            Self::Sqlite(_) | Self::Column(_) => true,
            Self::ClockSet | Self::Closed | Self::Replaced(_) => false,
        }
    }
}

/// Why a write failed. Nothing has changed, except perhaps after [`WriteError::SyncFailed`], [`WriteError::Replaced`] and
/// [`WriteError::OutcomeUnknown`].
#[derive(Clone, Debug, Error)]
pub enum WriteError {
    /// A rule refused the write.
    #[error("{code}")]
    Refused {
        /// The code that a trigger raised, or the name of the CHECK.
        code: String,
        /// The rows of the query in [`Write::on_refusal`](super::Write::on_refusal).
        rows: WriteResult,
    },
    /// A rule refused the write while another refused the sweep before it, which is a defect. The write may be refused
    /// because of a row that the sweep should have changed.
    #[error("a rule refused to apply the time limits")]
    Unswept,
    /// The write did not begin before its deadline.
    #[error("another program holds the write lock of the file")]
    Busy,
    /// No majority of the cluster followed a leader before the deadline.
    #[error("the cluster has no leader")]
    NoLeader,
    /// The leader, or the way to it, was lost while the write was under way: it may be done, or be so soon.
    #[error("the leader of the cluster was lost, so the outcome is unknown")]
    OutcomeUnknown,
    /// The file is a member's, and no member runs on it.
    #[error("the file of a cluster's member, which is not running: its writes go through the log of the cluster")]
    NoMember,
    /// The disk is full.
    #[error("the disk is full")]
    Full,
    /// The disk failed, or the file is damaged.
    #[error("writing failed: {}", plain_message(.0))]
    Broken(#[source] Arc<rusqlite::Error>),
    /// The disk failed while it synced a commit: a restart may find the write done or not. The process must end.
    #[error("the disk could not sync the database file: {}", plain_message(.0))]
    SyncFailed(#[source] Arc<rusqlite::Error>),
    /// Another file was put in place of the one that is open, perhaps before this write. The process must end.
    #[error(transparent)]
    Replaced(#[from] Replaced),
    /// SQLite refused a statement for a reason that is no rule, which is a defect of this program.
    #[error("{0}")]
    Unexpected(String),
    /// The server is stopping.
    #[error("the server is stopping")]
    Closed,
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        if is_failed_sync(&error) {
            return Self::SyncFailed(Arc::new(error));
        }
        if is_of_statement(&error) {
            return Self::Unexpected(plain_message(&error));
        }
        match error.sqlite_error_code() {
            _ if is_busy(&error) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full,
            _ => Self::Broken(Arc::new(error)),
        }
    }
}

/// What went wrong, in words and on one line, without SQLite's number and the path that rusqlite adds.
pub(crate) fn plain_message(error: &rusqlite::Error) -> String {
    let message = match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen) => {
            "the file, or the write-ahead log beside it, cannot be opened: this user needs to read and write the file \
             and its folder"
        }
        Some(ErrorCode::ReadOnly) => {
            "the file cannot be written: it, its folder or its disk is read-only for this user"
        }
        Some(ErrorCode::PermissionDenied) => "this user may not read and write the file",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "another program holds a lock on the file",
        Some(ErrorCode::DiskFull) => "the disk is full",
        Some(ErrorCode::SystemIoFailure) => "the disk failed",
        Some(ErrorCode::DatabaseCorrupt) => "the file is damaged (database disk image is malformed)",
        Some(ErrorCode::NotADatabase) => "not a SQLite database",
        Some(ErrorCode::OutOfMemory) => "there is not enough memory",
        _ => return one_line(error),
    };
    message.to_owned()
}

/// SQLite's own message on one line.
fn one_line(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.replace('\n', " "),
        other => other.to_string().replace('\n', " "),
    }
}

/// Whether fsync(2) failed, of a file or of its folder.
pub(super) fn is_failed_sync(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC))
}

/// Whether the statement and the rows of the file alone bring the error about: a constraint, or SQL that is wrong. Then it
/// is the same on every machine.
pub(super) fn is_of_statement(error: &rusqlite::Error) -> bool {
    let Some(failure) = error.sqlite_error() else { return true };
    matches!(
        failure.code,
        ErrorCode::ConstraintViolation
            | ErrorCode::TypeMismatch
            | ErrorCode::TooBig
            | ErrorCode::ParameterOutOfRange
            | ErrorCode::AuthorizationForStatementDenied
    ) || failure.extended_code & 0xff == ffi::SQLITE_ERROR
}

/// Whether another program holds a lock.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether a rule or a constraint of a table refused a statement.
pub(super) fn is_constraint(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// The code in a constraint's message: the text that a trigger raised, or the name of a CHECK.
/// See <https://sqlite.org/rescode.html#constraint_trigger>.
pub(super) fn refusal_code(error: &rusqlite::Error) -> Option<&str> {
    let rusqlite::Error::SqliteFailure(failure, Some(message)) = error else { return None };
    match failure.extended_code {
        ffi::SQLITE_CONSTRAINT_TRIGGER => Some(message),
        ffi::SQLITE_CONSTRAINT_CHECK => message.strip_prefix("CHECK constraint failed: "),
        _ => None,
    }
}
