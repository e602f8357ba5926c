//! The command line, the sqlite3 shell on the file, and the documentation.

#[path = "../support/mod.rs"]
mod support;

mod command_line;
mod documented_fixtures;
mod documents;
mod pages;
mod readme;
mod sandbox;
mod shell;
mod tables;
mod tools;
mod tour;
