//! What the program does, a file a command. Each can run while a server runs on the same file.

mod channel;
mod demo;
mod serve;
mod token;
mod user;

use std::fmt;
use std::io::{self, Write as _};

use crate::command_line::{Command, CommandLine};
use crate::database::{Database, OpenError, ReadError, Rows, Value, Write, WriteError};

/// Why a command failed: one line for standard error.
#[derive(Debug)]
pub struct CommandError(String);

impl CommandError {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was typed may span lines; this is one.
        formatter.write_str(&self.0.replace(['\n', '\r'], " "))
    }
}

impl std::error::Error for CommandError {}

impl From<OpenError> for CommandError {
    fn from(error: OpenError) -> Self {
        Self(error.to_string())
    }
}

impl From<ReadError> for CommandError {
    fn from(error: ReadError) -> Self {
        Self(error.to_string())
    }
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Runs the command.
///
/// # Errors
/// One line that says what was wrong; then nothing has changed.
pub fn run(command_line: CommandLine) -> Result<(), CommandError> {
    let path = &command_line.db;
    match command_line.command {
        Command::Serve(options) => serve::run(path, &options),
        Command::User(command) => user::run(&Database::open(path)?, command),
        Command::Token { name, ttl } => token::run(&Database::open(path)?, &name, ttl),
        Command::Channel(command) => channel::run(&Database::open(path)?, command),
        Command::Demo { listen } => demo::run(listen),
    }
}

/// Writes, and says about what a refusal is.
fn write(database: &Database, about: &str, write: Write) -> Result<Vec<Rows>, CommandError> {
    database.write_blocking(write).map_err(|error| {
        let sentence = match &error {
            WriteError::Refused { code, .. } => database.refusal(code).map(|refusal| refusal.sentence.clone()),
            _ => None,
        };
        CommandError(format!("{about}: {}", sentence.unwrap_or_else(|| error.to_string())))
    })
}

/// A parameter that is a text.
fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

/// Prints a line; that nobody reads it any more is an error of whoever ran the command.
fn print_line(line: &str) -> Result<(), CommandError> {
    Ok(writeln!(io::stdout(), "{line}")?)
}
