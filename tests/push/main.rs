//! Push: server-sent events, long polls, presence and history.

#[path = "../support/mod.rs"]
mod support;

mod cursors;
mod directory;
mod history;
mod presence;
mod presences;
mod streams;
mod unrenderable;
mod waiting;
mod watch;

use std::time::Duration;

/// The timeout for what should happen at once. A sweep runs each second.
const SOON: Duration = Duration::from_secs(10);
