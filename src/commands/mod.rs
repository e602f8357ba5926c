//! The commands, a file each. All but `import` can run while a server runs on the same file.

mod call;
mod channel;
#[cfg(feature = "cluster")]
mod cluster;
mod demo;
mod file;
mod history;
mod import;
mod issuer;
mod manual;
mod output;
mod serve;
mod session;
mod setting;
mod sql;
mod token;
mod user;
mod webhook;

use std::io::{self, Read, Write as _};
use std::path::Path;

use thiserror::Error;

use crate::command_line::{Command, CommandLine};
use crate::database::{
    Database, Fatal, OpenError, Originals, ReadError, SchemaError, Value, Write, WriteError, WriteResult, text,
};
use crate::deliveries::ClientError;
use crate::passwords::PASSWORD_LENGTH;
use crate::push::HubError;
use crate::statements;
use crate::tls::TlsError;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The database could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The rules of the file could not be compared.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// `check` has found and printed problems.
    #[error("{0} problems")]
    Problems(usize),
    /// The subject does not exist, or a rule refused the change.
    #[error("{subject}: {sentence}")]
    Refused {
        /// What the sentence is about.
        subject: String,
        /// A sentence for people.
        sentence: String,
    },
    /// The database could not be written.
    #[error("{subject}: {source}")]
    Write {
        /// What was to be written.
        subject: String,
        /// Why it was not.
        source: WriteError,
    },
    /// Standard input or output, or the operating system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The operating system has no randomness for a token.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
    /// The password could not be hashed.
    #[error("the password cannot be hashed: {0}")]
    Hash(#[from] argon2::password_hash::Error),
    /// The two passwords that were typed differ.
    #[error("the two passwords differ")]
    PasswordsDiffer,
    /// No password was given.
    #[error("the password is empty; it is the first line of standard input")]
    NoPassword,
    /// The password is too short or too long.
    #[error("a password has {} to {} characters", PASSWORD_LENGTH.start(), PASSWORD_LENGTH.end())]
    PasswordLength,
    /// The password has bytes that are no text.
    #[error("the password is not UTF-8")]
    PasswordEncoding,
    /// The address is in use, or not of this machine.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address as it was given.
        address: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// There is no usable certificate.
    #[error("no certificate to serve HTTPS with: {0}")]
    Tls(#[from] TlsError),
    /// The event log could not be read.
    #[error("push cannot start: {0}")]
    Push(#[from] HubError),
    /// Nothing can be sent to webhooks and browsers.
    #[error("deliveries cannot start: {0}")]
    Deliveries(#[from] ClientError),
    /// `demo` was given a file.
    #[error("demo makes a temporary database of its own; leave out --db")]
    DemoFile,
    /// The demo's database could not be filled.
    #[error("the demo cannot be filled: {0}")]
    Demo(#[source] rusqlite::Error),
    /// The member cannot start.
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    Member(crate::database::MemberError),
    /// The file of a cluster cannot be used.
    #[cfg(feature = "cluster")]
    #[error(transparent)]
    ClusterFile(#[from] crate::cluster::ClusterFileError),
    /// A member does not answer, or does not do in time what it is asked for.
    #[cfg(feature = "cluster")]
    #[error("{0}")]
    Cluster(String),
    /// A background thread of the server failed.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

#[cfg(feature = "cluster")]
impl From<crate::database::MemberError> for CommandError {
    fn from(error: crate::database::MemberError) -> Self {
        match error {
            crate::database::MemberError::Failed(fatal) => Self::Fatal(fatal),
            error => Self::Member(error),
        }
    }
}

impl CommandError {
    fn refused(subject: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self::Refused { subject: subject.into(), sentence: sentence.into() }
    }

    /// The exit status, as in BSD's sysexits.h: 70 after a panic, 74 after a failed fsync, when a file of the database was
    /// replaced, or when a member of a cluster failed, else 1.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Fatal(Fatal::Panic { .. }) => 70,
            Self::Fatal(Fatal::SyncFailed(_) | Fatal::Replaced(_) | Fatal::MemberFailed(_))
            | Self::Write { source: WriteError::SyncFailed(_) | WriteError::Replaced(_), .. } => 74,
            _ => 1,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// Why the command failed. Nothing has changed then, except perhaps after a failed fsync.
pub fn run(command_line: CommandLine) -> Result<(), CommandError> {
    if matches!(command_line.command, Command::Demo { .. }) && command_line.db.is_some() {
        return Err(CommandError::DemoFile);
    }
    let path = &command_line.database_path();
    match command_line.command {
        Command::Serve(options) => serve::run(path, &options),
        Command::User(command) => user::run(path, command),
        Command::Token(options) => token::run(&Database::open_existing(path)?, options),
        Command::Issuer(command) => issuer::run(&Database::open_existing(path)?, command),
        Command::Session(command) => session::run(&Database::open_existing(path)?, command),
        Command::Call(command) => call::run(&Database::open_existing(path)?, command),
        Command::Setting(command) => setting::run(&Database::open_existing(path)?, command),
        Command::Backup { file } => Ok(Database::open_existing(path)?.back_up(&file)?),
        Command::Check(output) => file::check(&Database::open_existing(path)?, output),
        Command::Stats(output) => file::stats(&Database::open_existing(path)?, output),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { command } => manual::man(&command),
        Command::History(command) => history::run(&Database::open_existing(path)?, &command),
        Command::Channel(command) => channel::run(path, command),
        #[cfg(feature = "cluster")]
        Command::Cluster(command) => cluster::run(path, command),
        Command::Sql { statement } => sql::run(&Database::open_existing(path)?, statement),
        Command::Webhook(command) => webhook::run(&Database::open_existing(path)?, command),
        Command::Import { presence, auth } => import::run(path, &Originals { presence, auth }),
        Command::Demo { listen } => demo::run(listen),
    }
}

/// Opens the file at `path` for `write`, and creates it if it does not exist, unless a rule would refuse the write.
fn open_or_create(path: &Path, subject: &str, write: &Write) -> Result<Database, CommandError> {
    if !path.exists() {
        Database::rehearse(write).map_err(|sentence| CommandError::refused(subject, sentence))?;
    }
    Ok(Database::open(path)?)
}

/// Writes. The error of a refusal is `subject` and the sentence of the refusal code.
fn write(database: &Database, subject: &str, write: Write) -> Result<WriteResult, CommandError> {
    database.write_blocking(write).map_err(|source| {
        let WriteError::Refused { code, rows } = &source else {
            return CommandError::Write { subject: subject.to_owned(), source };
        };
        let unknown: Option<(String,)> = rows.one(&statements::UNKNOWN_USER).ok().flatten();
        let subject = unknown.filter(|_| code == "user_not_found").map_or_else(|| subject.to_owned(), |(name,)| name);
        match database.refusal(code) {
            Some(refusal) => CommandError::refused(subject, &refusal.sentence),
            None => CommandError::Write { subject, source },
        }
    })
}

/// [`write`] for a change that a running server logs. `users` are the names that must be users'.
fn change(
    database: &Database,
    subject: &str,
    change: &str,
    users: &[&str],
    write: Write,
) -> Result<WriteResult, CommandError> {
    let write = write
        .then(&statements::LOG_CHANGE, [text(change), text(subject), Value::Null])
        .on_refusal(&statements::UNKNOWN_USER, [text(serde_json::json!(users).to_string())]);
    self::write(database, subject, write)
}

/// The error about a subject that the database refuses with `code`.
fn refused(database: &Database, subject: &str, code: &str) -> CommandError {
    let sentence = database.refusal(code).map_or_else(|| code.to_owned(), |refusal| refusal.sentence);
    CommandError::refused(subject, sentence)
}

/// More bytes than any setting, key or secret has.
const INPUT_MAX_BYTES: u64 = 1024 * 1024;

/// The text of a file, or of standard input, which other users cannot read as they can a command line. Line breaks at its
/// end are no part of it.
fn read_input(input: impl Read) -> io::Result<String> {
    let text = io::read_to_string(input.take(INPUT_MAX_BYTES))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Prints a line to standard output.
///
/// # Errors
/// When standard output is closed.
fn print_line(line: &str) -> Result<(), CommandError> {
    Ok(writeln!(io::stdout(), "{line}")?)
}
