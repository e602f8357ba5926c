//! The REST API, on a real socket and a real file.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod admin;
mod admin_people;
mod bodies;
mod bounds;
mod by_hand;
mod call_media;
mod call_screen;
mod calls_active;
mod calls_ringing;
mod clients;
mod cookies;
mod description;
mod docs;
mod heads;
mod http2;
mod imported;
mod limits;
mod login;
mod methods;
mod monitoring;
mod own_account;
mod pages;
mod proxies;
mod races;
mod raw;
mod refusals;
mod removals;
mod restarts;
mod scenes;
mod screenshares;
mod sessions;
mod signals;
mod statuses;
mod sweeps;
mod tls;
mod two_people;
