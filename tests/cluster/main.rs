//! A cluster of real processes on loopback: each test starts members in temporary folders, and compares their files.
//!
//! The long rounds: `cargo test --test cluster -- --ignored --nocapture`.

#[path = "../faults/fake_clock.rs"]
#[allow(dead_code, reason = "a part of it is for the tests of a single server")]
mod fake_clock;
#[path = "../faults/small_disk.rs"]
#[allow(dead_code, reason = "a part of it is for the tests of a single server")]
mod small_disk;
#[path = "../faults/strace.rs"]
mod strace;
#[path = "../support/mod.rs"]
mod support;

mod basics;
mod cluster;
mod failures;
mod faults;
mod ledger;
mod members;
mod network;
mod partitions;
mod quickstart;
mod streams;
mod upgrade;

use std::io::Write;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// The timeout for an election, a restart, and what a test polls for.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Members mostly wait, so two clusters share two cores. More would take each other's processor time, and elect without need.
static MACHINE: Semaphore = Semaphore::const_new(2);

async fn lock_machine() -> SemaphorePermit<'static> {
    MACHINE.acquire().await.unwrap()
}

/// Reports a skipped test. The test harness captures `println!`, but not this, so that a skipped proof is never silent.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
