//! minimost-calls: voice and video calling, screen sharing and WebRTC signalling as one binary and one SQLite file.
//!
//! What may happen in a call is decided by the triggers, views and constraints in `sql/`. This crate is the shell
//! around them: [`database`] reads and writes the file, [`statements`] holds every SQL statement, [`http`] is the REST
//! API, [`push`] sends the event log to clients, [`tls`] has the certificate of HTTPS, and [`commands`] the command
//! line.

#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

pub mod command_line;
pub mod commands;
pub mod database;
pub mod http;
pub mod passwords;
pub mod push;
pub mod statements;
pub mod tls;
pub mod tokens;
