//! The time of the cluster: the leader's. Followers learn it with each message of the leader, so that their reads agree with
//! its writes, however wrong their own clocks are.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::database::{Reading, TOLERANCE};

/// A clock that counts this machine's time since boot, which nobody can set, from where the leader's wall clock is.
#[derive(Debug)]
pub(crate) struct ClusterClock {
    /// When this machine booted by the clock of the cluster, in seconds since the epoch, as bits.
    booted: AtomicU64,
}

impl Default for ClusterClock {
    /// Until a leader is heard, the machine's own wall clock counts.
    fn default() -> Self {
        Self { booted: AtomicU64::new(Reading::take().booted().to_bits()) }
    }
}

impl ClusterClock {
    /// The present, in seconds since the epoch, to the millisecond.
    pub(crate) fn now(&self) -> f64 {
        ((Reading::take().uptime() + self.booted()) * 1000.0).round() / 1000.0
    }

    /// The leader's clock shows `now`.
    pub(super) fn hear(&self, now: f64) {
        self.booted.store((now - Reading::take().uptime()).to_bits(), Relaxed);
    }

    /// The leader's comparison at the start of a group: the present by its wall clock, and by how many seconds that differs
    /// from the clock of the cluster, if it was set or is a new leader's. A drift is none. `led` is when this machine booted
    /// by the newest group that it led in this term: its step may not be applied yet.
    pub(super) fn lead(&self, led: Option<f64>) -> (Reading, Option<f64>) {
        let reading = Reading::take();
        let step = reading.booted() - led.unwrap_or_else(|| self.booted());
        (reading, (step.abs() > TOLERANCE).then(|| (step * 1000.0).round() / 1000.0))
    }

    /// Whether the wall clock of this machine, which leads, was set.
    pub(super) fn is_off(&self) -> bool {
        self.lead(None).1.is_some()
    }

    fn booted(&self) -> f64 {
        f64::from_bits(self.booted.load(Relaxed))
    }

    /// The clock of the cluster is this machine's wall clock.
    pub(super) fn follow(&self, reading: Reading) {
        self.booted.store(reading.booted().to_bits(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::ClusterClock;

    #[test]
    fn a_new_leader_steps_by_the_difference_of_the_clocks() {
        let clock = ClusterClock::default();
        assert_eq!(clock.lead(None).1, None);
        let (reading, _) = clock.lead(None);
        clock.hear(reading.ts() - 3600.0);
        assert!((clock.now() - (reading.ts() - 3600.0)).abs() < 0.1, "a follower reads the leader's time");
        let (reading, step) = clock.lead(None);
        assert!((step.unwrap() - 3600.0).abs() < 0.1, "{step:?}");
        clock.follow(reading);
        assert_eq!(clock.lead(None).1, None);
    }
}
