//! The command line, the sqlite3 shell on the file, and README.

#[path = "../support/mod.rs"]
mod support;

mod command_line;
mod readme;
mod shell;
mod tools;
