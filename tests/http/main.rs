//! The REST API, on a real socket and a real file.

#[path = "../support/mod.rs"]
mod support;

mod call_media;
mod call_screen;
mod calls_going_on;
mod calls_ringing;
mod login;
mod scenes;
mod screenshares;
mod sessions;
mod signals;
mod two_people;
