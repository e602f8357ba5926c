//! The groups of writes that a cluster agrees on.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::write::Write;

/// Writes that happen at one time, in one transaction on each member.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Group {
    /// In seconds since the epoch, by the leader's clock.
    pub(crate) ts: f64,
    /// By how many seconds the clock of the cluster was set: the leader's was, or a new leader's differs.
    pub(crate) step: Option<f64>,
    /// Nobody could prove presence for a while.
    pub(crate) pause: bool,
    /// Statements that change the schema to that of a newer version.
    pub(crate) schema: Vec<String>,
    pub(crate) writes: Vec<Arc<Write>>,
}

impl Group {
    /// A group that happens at `ts`, in seconds since the epoch.
    #[must_use]
    pub fn at(ts: f64) -> Self {
        Self { ts, ..Self::default() }
    }

    /// Adds writes, at the time of the group.
    #[must_use]
    pub fn then(mut self, writes: impl IntoIterator<Item = Write>) -> Self {
        self.writes.extend(writes.into_iter().map(Arc::new));
        self
    }

    /// When it happens, in seconds since the epoch.
    #[must_use]
    pub fn ts(&self) -> f64 {
        self.ts
    }

    /// A group that sets the clock by `seconds`, to `ts`.
    #[must_use]
    pub fn of_step(ts: f64, seconds: f64) -> Self {
        Self { ts, step: Some(seconds), ..Self::default() }
    }

    /// A group at `ts`, until which presence could not be proven for a while.
    #[must_use]
    pub fn of_pause(ts: f64) -> Self {
        Self { ts, pause: true, ..Self::default() }
    }

    /// When it happens, after a group that happened at `before`. Without a step, time does not go back.
    pub(super) fn time_after(&self, before: f64) -> f64 {
        if self.step.is_some() { self.ts } else { self.ts.max(before) }
    }
}

/// How far a file is.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    /// The id of the newest entry, as JSON.
    pub(crate) log_id: Option<String>,
    /// Who votes, as JSON.
    pub(crate) membership: Option<String>,
}
