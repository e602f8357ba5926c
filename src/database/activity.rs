//! What the writer does, for monitors.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A writer without a sign of life for this long hangs. It has one at each housekeeping, twice a second.
const HANGS_AFTER: Duration = Duration::from_secs(2);

/// Counts what the writer does, and notes its signs of life.
#[derive(Debug)]
pub struct WriterActivity {
    started: Instant,
    /// The last sign of life, in milliseconds after `started`.
    alive_ms: AtomicU64,
    commits: AtomicU64,
    writes: AtomicU64,
    queued: AtomicUsize,
}

impl Default for WriterActivity {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            alive_ms: AtomicU64::default(),
            commits: AtomicU64::default(),
            writes: AtomicU64::default(),
            queued: AtomicUsize::default(),
        }
    }
}

impl WriterActivity {
    /// Whether the writer hangs: for two seconds it has neither committed, nor looked for what is due, nor found that
    /// another program holds the file's write lock. A disk that does not answer keeps it in a commit.
    #[must_use]
    pub fn hangs(&self) -> bool {
        self.started.elapsed() > Duration::from_millis(self.alive_ms.load(Relaxed)) + HANGS_AFTER
    }

    /// The commits since the start, those of housekeeping included.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Relaxed)
    }

    /// The writes in these commits, refused ones included. Several share a commit.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes.load(Relaxed)
    }

    /// The writes that have not begun.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.load(Relaxed)
    }

    /// The writer is alive.
    pub(super) fn note_alive(&self) {
        self.alive_ms.store(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn committed(&self) {
        self.commits.fetch_add(1, Relaxed);
        self.note_alive();
    }

    pub(super) fn wrote(&self, writes: usize) {
        self.writes.fetch_add(writes as u64, Relaxed);
    }

    pub(super) fn enqueued(&self) {
        self.queued.fetch_add(1, Relaxed);
    }

    pub(super) fn dequeued(&self, writes: usize) {
        self.queued.fetch_sub(writes, Relaxed);
    }
}
