//! The command line, the sqlite3 shell on the file, the documentation, and the language of comments and commits.

#[path = "../support/mod.rs"]
mod support;

mod administration;
mod command_line;
mod documents;
mod files;
mod history;
mod import;
mod issuers;
mod language;
mod log_lines;
mod pages;
mod readme;
mod sandbox;
mod shell;
mod tables;
mod tools;
mod tour;
