//! minimost-calls: voice and video calling, screen sharing and WebRTC signalling as one binary and one SQLite file.
//!
//! The triggers, views and constraints in `sql/` decide what may happen in a call. This crate is the shell around them:
//! [`database`] reads and writes the file, [`statements`] holds every SQL statement, `http` is the REST API, `push`
//! sends the event log to clients, `webhooks` to other programs and `web_push` to browsers in which the page is closed,
//! both by the loop of `deliveries`, `issuers` verifies the tokens of host applications,
//! `pruning` deletes old history, [`cluster`] replicates the file to other machines, `tls` has the certificate of HTTPS, `subjects` names what admins change, [`openapi`]
//! describes the API, and [`commands`] has the command line. The public modules are those that the program and its tests
//! use.

#![warn(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[cfg(feature = "cluster")]
pub mod cluster;
pub mod command_line;
pub mod commands;
pub mod database;
mod deliveries;
mod http;
mod issuers;
mod last_error;
pub mod openapi;
mod passwords;
mod pruning;
mod push;
pub mod statements;
mod subjects;
mod tls;
pub mod tokens;
mod web_push;
mod webhooks;
