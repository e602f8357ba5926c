//! Calls between browsers: Debian's Chromium and Firefox, with fake cameras and microphones, and a server on a file.
//!
//! The tests check the media received, by the browsers' WebRTC statistics.

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "it is a part of the tests of a cluster")]
#[path = "../cluster/cluster.rs"]
mod cluster;

mod accessibility;
mod account;
mod admin;
mod axe;
mod below_a_path;
mod bidi;
mod browser;
mod call_view;
mod calls;
mod devices;
mod driver;
mod embedding;
mod fallback;
mod faults;
mod figures;
mod firefox;
mod guests;
mod history;
mod host;
mod members;
mod network;
mod notifications;
mod people;
mod pictures;
mod presence;
mod relay;
mod screens;
mod search;
mod start;
mod turn;
mod views;
mod worker;

use std::time::Duration;

/// The timeout for what a test of a cluster polls for.
const TIMEOUT: Duration = Duration::from_secs(20);
