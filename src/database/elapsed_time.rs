//! Steps of the wall clock and pauses of the server, as the writer finds them at the start of a transaction.

use std::fs;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::error::is_constraint;
use super::wall_clock::{Reading, TOLERANCE, WallClock};
use crate::statements;

/// In seconds. The writer compares the clocks at least twice a second. If it could not store anything for longer than
/// this, the process or its machine was stopped, another program held the write lock, or the disk hung.
const PAUSE_MIN: f64 = 1.0;

/// In seconds: a smaller change of the clocks' difference is not stored.
const DRIFT_MIN: f64 = 0.02;

/// What the writer knows of the time that has passed.
pub(super) struct ElapsedTime {
    /// A server's. A command moves times with a step, too, but measures no pause.
    clock: Option<Arc<WallClock>>,
    /// The kernel's id of this boot.
    boot_id: Option<String>,
    /// [`Reading::booted`] as the server has stored it.
    booted: Option<f64>,
    /// The uptime until which the server was able to store what it heard.
    stored_until: f64,
    /// A transaction could not begin, and none has been committed since.
    is_blocked: bool,
}

/// The start of a transaction.
#[must_use]
pub(super) struct Began {
    reading: Reading,
    step: Option<f64>,
    pause: Option<f64>,
    has_written: bool,
}

impl Began {
    /// The present in seconds since the epoch, to which the transaction pins the clock.
    pub(super) fn ts(&self) -> f64 {
        self.reading.ts()
    }

    /// Whether the transaction has written what the comparison found.
    pub(super) fn has_written(&self) -> bool {
        self.has_written
    }
}

impl ElapsedTime {
    /// For a server with its `clock`, or for a command without one.
    pub(super) fn new(clock: Option<Arc<WallClock>>) -> Self {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        Self {
            clock,
            boot_id: boot_id.map(|id| id.trim().to_owned()),
            booted: None,
            stored_until: Reading::take().uptime(),
            is_blocked: false,
        }
    }

    /// Compares the clocks at the start of a transaction, before the clock is pinned and anything is swept. Moves the
    /// times in the file if the wall clock was set, and renews presence after a pause of the server.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub(super) fn begin(&self, connection: &Connection) -> rusqlite::Result<Began> {
        let reading = Reading::take();
        let is_server = self.clock.is_some();
        let is_changed = self.is_changed(reading);
        let mut step = None;
        if is_changed {
            let stored: Option<f64> = connection
                .prepare_cached(statements::NOTED_BOOT.sql())?
                .query_row([&self.boot_id], |row| row.get(0))
                .optional()?;
            // A command that ran in between has moved the times already.
            if let Some(seconds) = stored.or(self.booted).and_then(|before| step_between(before, reading.booted())) {
                run(connection, statements::STEP_CLOCK.sql(), [seconds])?;
            }
            step = self.booted.or(stored).and_then(|before| step_between(before, reading.booted()));
            if is_server || step.is_some() {
                run(connection, statements::NOTE_BOOT.sql(), (&self.boot_id, reading.booted()))?;
            }
        }
        let pause = Some(reading.uptime() - self.stored_until).filter(|pause| is_server && *pause > PAUSE_MIN);
        // Nobody could prove presence while no server ran, either.
        let is_first = is_server && self.booted.is_none();
        let renews_presence = pause.is_some() || is_first;
        if renews_presence {
            run(connection, statements::PAUSE_CLOCK.sql(), [])?;
        }
        Ok(Began { reading, step, pause, has_written: is_changed || renews_presence })
    }

    /// Whether this is a server, which pins the clock and sweeps. A command does not.
    pub(super) fn is_server(&self) -> bool {
        self.clock.is_some()
    }

    /// The transaction was committed.
    pub(super) fn committed(&mut self, began: &Began) {
        if let Some(seconds) = began.step {
            tracing::warn!(seconds, "the wall clock was set; the times of what is live moved along");
        }
        if let Some(seconds) = began.pause {
            tracing::warn!(seconds, "the server was unable to work; everybody on a call has the full presence_timeout");
        }
        // Not the time of the commit: a disk that hung in it has kept other writes waiting.
        self.stored_until = began.reading.uptime();
        self.is_blocked = false;
        if let Some(clock) = self.clock.as_ref().filter(|_| self.is_changed(began.reading)) {
            clock.apply(began.reading.booted());
            self.booted = Some(began.reading.booted());
        }
    }

    /// A transaction could not begin: what the server hears is not stored.
    pub(super) fn blocked(&mut self) {
        self.is_blocked = true;
    }

    /// While nothing is to be written, twice a second: whether a transaction has to apply a step or a pause.
    pub(super) fn is_due(&mut self) -> bool {
        let reading = Reading::take();
        let is_paused = self.is_blocked || reading.uptime() - self.stored_until > PAUSE_MIN;
        if !is_paused {
            self.stored_until = reading.uptime();
        }
        self.clock.is_some() && (is_paused || self.is_changed(reading))
    }

    /// Whether the difference of the clocks is not the stored one. A command has not read that.
    fn is_changed(&self, reading: Reading) -> bool {
        self.booted.is_none_or(|booted| (reading.booted() - booted).abs() > DRIFT_MIN)
    }
}

/// The seconds by which the wall clock was set, if it was, to the millisecond. A drift is none, however large it becomes.
fn step_between(stored: f64, booted: f64) -> Option<f64> {
    Some(booted - stored).filter(|step| step.abs() > TOLERANCE).map(|step| (step * 1000.0).round() / 1000.0)
}

/// Runs a statement. The refusal of a rule is a defect, and must not keep the server from writing.
fn run(connection: &Connection, sql: &str, parameters: impl rusqlite::Params) -> rusqlite::Result<()> {
    match connection.prepare_cached(sql)?.execute(parameters) {
        Err(error) if is_constraint(&error) && !connection.is_autocommit() => {
            tracing::error!(%error, "a rule refused to move the times of what is live");
            Ok(())
        }
        result => result.map(drop),
    }
}
