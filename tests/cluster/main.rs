//! A cluster of real processes on loopback: each test starts members in temporary folders, and compares their files.
//!
//! The long rounds: `cargo test --test cluster -- --ignored --nocapture`.

#[path = "../support/mod.rs"]
mod support;

mod basics;
mod cluster;
mod failures;
mod ledger;
mod members;

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

/// The timeout for an election, a restart, and what a test polls for.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Several clusters at a time would take each other's processor time, and elect without need.
static MACHINE: Mutex<()> = Mutex::const_new(());

async fn lock_machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().await
}
