//! The REST API, on a real socket and a real file.

#[path = "../support/mod.rs"]
mod support;

mod two_people;
