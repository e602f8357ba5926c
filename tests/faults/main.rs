//! What the server does when the disk, another program or its clients do not behave. Every test prints its figures, visible
//! with `--nocapture`.

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

/// A test waits at most this long for what should come soon.
const PATIENCE: Duration = Duration::from_secs(20);

/// The tests measure, so each has the machine to itself, as far as it goes.
static MACHINE: Mutex<()> = Mutex::const_new(());

async fn alone() -> MutexGuard<'static, ()> {
    MACHINE.lock().await
}

/// Says that a test could not be made here, and why. Nothing was proved then, so it is said even where output is captured, which
/// only that of `println!` is.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
