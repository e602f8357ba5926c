//! The server with failing disks, other programs' locks and slow clients. Every test prints its figures with
//! `--nocapture`.

#[path = "../bench/measure.rs"]
mod measure;
#[path = "../support/mod.rs"]
mod support;

mod broken_disk;
mod full_disk;
mod long_reader;
mod outside_writer;
mod scenes;
mod shell;
mod slow_clients;
mod stopping;
mod strace;

use std::io::Write;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

/// The longest that a test waits for an event.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The tests measure, so they run one at a time.
static MACHINE: Mutex<()> = Mutex::const_new(());

async fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().await
}

/// Reports a skipped test. The test harness captures `println!`, but not this, so that a skipped proof is never silent.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
