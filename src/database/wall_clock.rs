//! The wall clock, compared with the time since boot: how readers learn that it was set.
//!
//! `CLOCK_BOOTTIME` counts suspension, and nobody can set it. NTP slews both clocks by the same amount
//! (`clock_gettime(2)`), so their difference changes only when the wall clock is set.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use super::job::Job;
use super::write::Write;
use super::writer::Writer;
use super::{ReadError, WriteError};

/// In seconds: a larger change of the difference is a step. ntpd slews the clock up to 0.128 s and steps it beyond, others
/// slew further.
pub(crate) const TOLERANCE: f64 = 0.1;

/// How long reads wait for the writer after the first of them noticed a step.
const STEP_TIMEOUT: Duration = Duration::from_secs(1);

/// Both clocks at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// Since the epoch.
    wall: Duration,
    /// Since boot, with the time of suspension.
    uptime: Duration,
}

impl Reading {
    /// Reads each clock once. If the thread is interrupted in between, the difference is wrong.
    fn quick() -> Self {
        Self { uptime: uptime(), wall: wall() }
    }

    /// Reads the clocks until there is no interruption of a millisecond, or returns the best of some readings.
    pub(crate) fn take() -> Self {
        let readings = (0..10).map(|_| {
            let reading = Self::quick();
            (uptime().saturating_sub(reading.uptime), reading)
        });
        let mut best: Option<(Duration, Self)> = None;
        for reading in readings {
            if best.is_none_or(|best| reading.0 < best.0) {
                best = Some(reading);
            }
            if reading.0 < Duration::from_millis(1) {
                break;
            }
        }
        best.map_or_else(Self::quick, |(_, reading)| reading)
    }

    /// The wall clock in seconds since the epoch, to the millisecond, as the view `now` gives it.
    pub(crate) fn ts(self) -> f64 {
        self.wall.as_millis() as f64 / 1000.0
    }

    /// When the machine booted by the wall clock, in seconds since the epoch.
    pub(crate) fn booted(self) -> f64 {
        self.wall.as_secs_f64() - self.uptime.as_secs_f64()
    }

    /// The seconds since boot.
    pub(crate) fn uptime(self) -> f64 {
        self.uptime.as_secs_f64()
    }
}

#[expect(clippy::disallowed_methods, reason = "the one clock: each transaction pins it")]
fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn uptime() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

/// The wall clock for which the times in the file hold: shared by the writer of a server, which moves them, and the
/// readers.
pub(super) struct WallClock {
    /// [`Reading::booted`] in the writer's last comparison, as bits.
    booted: AtomicU64,
    /// When a reader noticed the step that the writer has not yet applied.
    noticed: Mutex<Option<Instant>>,
    applied: Condvar,
    writer: OnceLock<Weak<Writer>>,
}

impl WallClock {
    pub(super) fn new() -> Self {
        Self {
            booted: AtomicU64::new(Reading::take().booted().to_bits()),
            noticed: Mutex::default(),
            applied: Condvar::new(),
            writer: OnceLock::new(),
        }
    }

    /// Sets the writer that applies steps.
    pub(super) fn set_writer(&self, writer: Weak<Writer>) {
        // It is called once.
        let _ = self.writer.set(writer);
    }

    /// The times in the file hold for a wall clock by which the machine booted at `booted`.
    pub(super) fn apply(&self, booted: f64) {
        self.booted.store(booted.to_bits(), Ordering::Release);
        *self.noticed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.applied.notify_all();
    }

    fn is_applied(&self, booted: f64) -> bool {
        (booted - f64::from_bits(self.booted.load(Ordering::Acquire))).abs() <= TOLERANCE
    }

    /// Before a read: waits while the wall clock was set and the times in the file have not moved. Returns what
    /// [`check_unchanged`] needs.
    ///
    /// # Errors
    /// [`ReadError::ClockSet`] if the writer takes longer than [`STEP_TIMEOUT`].
    pub(super) fn wait_until_applied(&self) -> Result<f64, ReadError> {
        let booted = Reading::quick().booted();
        if self.is_applied(booted) { Ok(booted) } else { self.wait() }
    }

    fn wait(&self) -> Result<f64, ReadError> {
        let mut noticed = self.noticed.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let booted = Reading::take().booted();
            if self.is_applied(booted) {
                *noticed = None;
                return Ok(booted);
            }
            if noticed.is_none() {
                self.wake_writer();
            }
            let deadline = *noticed.get_or_insert_with(Instant::now) + STEP_TIMEOUT;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ReadError::ClockSet);
            }
            noticed = self.applied.wait_timeout(noticed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Each transaction of the writer begins with a comparison, so a write without statements is enough.
    fn wake_writer(&self) {
        if let Some(writer) = self.writer.get().and_then(Weak::upgrade) {
            // It fails only if the database is closed.
            let _ = writer.send(Job::new(Write::default(), WriteError::Busy).0);
        }
    }
}

/// After a read: `now` may have been another wall clock's. `before` is what [`WallClock::wait_until_applied`] returned.
///
/// # Errors
/// [`ReadError::ClockSet`] if the wall clock was set since.
pub(super) fn check_unchanged(before: f64) -> Result<(), ReadError> {
    let is_unchanged = |reading: Reading| (reading.booted() - before).abs() <= TOLERANCE;
    if is_unchanged(Reading::quick()) || is_unchanged(Reading::take()) { Ok(()) } else { Err(ReadError::ClockSet) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    use super::{ReadError, Reading, STEP_TIMEOUT, TOLERANCE, WallClock, check_unchanged};

    #[test]
    fn a_read_waits_for_the_step_and_no_longer_than_its_timeout() {
        let clock = Arc::new(WallClock::new());
        assert!(clock.wait_until_applied().is_ok());
        let booted = Reading::take().booted();
        clock.apply(booted - 3600.0);
        let waiting = thread::spawn({
            let clock = Arc::clone(&clock);
            move || clock.wait_until_applied()
        });
        thread::sleep(Duration::from_millis(100));
        assert!(!waiting.is_finished());
        clock.apply(booted);
        assert!(waiting.join().unwrap().is_ok());

        clock.apply(booted + 3600.0);
        assert!(matches!(clock.wait_until_applied(), Err(ReadError::ClockSet)));
        let begun = std::time::Instant::now();
        assert!(matches!(clock.wait_until_applied(), Err(ReadError::ClockSet)));
        assert!(begun.elapsed() < STEP_TIMEOUT / 2, "later reads do not wait again");
        clock.apply(booted);
        assert!(clock.wait_until_applied().is_ok());
    }

    #[test]
    fn a_read_across_a_step_fails() {
        let clock = WallClock::new();
        let before = clock.wait_until_applied().unwrap();
        assert!(check_unchanged(before).is_ok());
        assert!(check_unchanged(before + 2.0 * TOLERANCE).is_err());
    }
}
