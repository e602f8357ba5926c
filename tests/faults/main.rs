//! The server with failing disks, other programs' locks and slow clients. With `--nocapture`, the tests print their
//! measurements.

#[path = "../bench/measure.rs"]
mod measure;
#[path = "../support/mod.rs"]
mod support;

mod active_call;
mod broken_disk;
mod fake_clock;
mod full_disk;
mod health;
mod long_reader;
mod outside_writer;
mod shell;
mod slow_clients;
mod small_disk;
mod stopping;
mod strace;
mod swapped_files;
mod wall_clock;

use std::io::Write;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

/// The timeout for a response, the end of a process, and what a test polls for.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Tests that run at the same time would disturb each other's measurements.
static MACHINE: Mutex<()> = Mutex::const_new(());

async fn lock_machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().await
}

/// Reports a skipped test. The test harness captures `println!`, but not this, so that a skipped proof is never silent.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
