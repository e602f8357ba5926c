//! What can go wrong at the doors, told apart by what a caller can do about it.

use std::fmt;

use rusqlite::ErrorCode;

use super::Rows;

/// Why a read did not answer.
#[derive(Debug)]
pub struct ReadError(pub(super) rusqlite::Error);

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "reading failed: {}", self.0)
    }
}

impl std::error::Error for ReadError {}

/// Why a write was not done. In every case nothing has changed.
#[derive(Clone, Debug)]
pub enum WriteError {
    /// A rule refused: the code that it raised or the name of the CHECK, and the rows of the question that the write came
    /// with.
    Refused { code: String, rows: Rows },
    /// Somebody else held the file's write lock until the deadline; trying again later helps.
    Busy,
    /// The disk is full.
    Full,
    /// The disk failed, or the file is damaged.
    Broken(String),
    /// A statement was refused in a way that no rule accounts for, which is a defect of this program.
    Unexpected(String),
    /// The server is stopping.
    Closed,
}

impl fmt::Display for WriteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, .. } => formatter.write_str(code),
            Self::Busy => formatter.write_str("another program holds the write lock of the file"),
            Self::Full => formatter.write_str("the disk is full"),
            Self::Broken(what) => write!(formatter, "writing failed: {what}"),
            Self::Unexpected(what) => formatter.write_str(what),
            Self::Closed => formatter.write_str("the server is stopping"),
        }
    }
}

impl std::error::Error for WriteError {}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(failure, message) = &error else {
            return Self::Unexpected(error.to_string());
        };
        match (failure.code, message) {
            (ErrorCode::ConstraintViolation, Some(message)) => match refusal_code(failure.extended_code, message) {
                Some(code) => Self::Refused { code: code.to_owned(), rows: Vec::new() },
                None => Self::Unexpected(message.clone()),
            },
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Self::Busy,
            (ErrorCode::DiskFull, _) => Self::Full,
            (
                ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory,
                _,
            ) => Self::Broken(error.to_string()),
            _ => Self::Unexpected(error.to_string()),
        }
    }
}

/// The code in a constraint's message: what a trigger raised, or the name of a CHECK.
/// See <https://sqlite.org/rescode.html#constraint_trigger>.
fn refusal_code(extended_code: i32, message: &str) -> Option<&str> {
    match extended_code {
        rusqlite::ffi::SQLITE_CONSTRAINT_TRIGGER => Some(message),
        rusqlite::ffi::SQLITE_CONSTRAINT_CHECK => message.strip_prefix("CHECK constraint failed: "),
        _ => None,
    }
}

impl ReadError {
    /// Whether the file could be read, but a value in it is not what the query or the program expects: a NULL where there should be
    /// text, or text that is not JSON. Reading the same rows again fails again.
    #[must_use]
    pub fn is_bad_value(&self) -> bool {
        match &self.0 {
            rusqlite::Error::SqliteFailure(failure, _) => {
                matches!(failure.code, ErrorCode::Unknown | ErrorCode::TypeMismatch | ErrorCode::TooBig)
            }
            _ => true,
        }
    }
}
