//! The time of the cluster: the leader's. Followers learn it with each message of the leader, so that their reads agree with
//! its writes, however wrong their own clocks are.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::database::{Reading, TOLERANCE};

/// A clock that counts this machine's time since boot, which nobody can set. The seconds by which the clock of the cluster was
/// set in all are in the file, so that they change together with the rows that move: they are added to what this counts.
#[derive(Debug)]
pub(crate) struct ClusterClock {
    /// When this machine booted by the clock of the cluster without its steps, in seconds since the epoch, as bits.
    booted: AtomicU64,
}

impl Default for ClusterClock {
    /// Until the first heartbeat of a leader, the machine's wall clock counts.
    fn default() -> Self {
        Self { booted: AtomicU64::new(Reading::take().booted().to_bits()) }
    }
}

impl ClusterClock {
    /// The present after steps of `stepped` seconds in all, in seconds since the epoch, to the millisecond.
    pub(crate) fn now(&self, stepped: f64) -> f64 {
        ((Reading::take().uptime() + self.booted() + stepped) * 1000.0).round() / 1000.0
    }

    /// The leader's clock shows `now`, without the steps.
    pub(super) fn hear(&self, now: f64) {
        self.booted.store((now - Reading::take().uptime()).to_bits(), Relaxed);
    }

    /// The leader's comparison at the start of a group: the present by its wall clock, and by how many seconds that differs
    /// from the clock of the cluster, if it was set or is a new leader's. A drift is none. `led` is when this machine booted
    /// by the newest group that it led in this term, whose step may not be applied yet; `stepped` counts those that are.
    pub(super) fn lead(&self, led: Option<f64>, stepped: f64) -> (Reading, Option<f64>) {
        let reading = Reading::take();
        let step = reading.booted() - led.unwrap_or_else(|| self.booted() + stepped);
        (reading, (step.abs() > TOLERANCE).then(|| (step * 1000.0).round() / 1000.0))
    }

    fn booted(&self) -> f64 {
        f64::from_bits(self.booted.load(Relaxed))
    }

    /// The clock of the cluster, after steps of `stepped` seconds, is this machine's wall clock.
    pub(super) fn follow(&self, reading: Reading, stepped: f64) {
        self.booted.store((reading.booted() - stepped).to_bits(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::ClusterClock;

    #[test]
    fn a_new_leader_steps_by_the_difference_of_the_clocks() {
        let clock = ClusterClock::default();
        let (reading, step) = clock.lead(None, 0.0);
        assert_eq!(step, None);
        // The leader's clock is an hour behind.
        clock.hear(reading.ts() - 3600.0);
        assert!((clock.now(0.0) - (reading.ts() - 3600.0)).abs() < 0.1, "a follower reads the leader's time");
        let (reading, step) = clock.lead(None, 0.0);
        let step = step.unwrap();
        assert!((step - 3600.0).abs() < 0.1, "{step:?}");
        // The step is on its way, and then it is applied.
        assert_eq!(clock.lead(Some(reading.booted()), 0.0).1, None);
        clock.follow(reading, step);
        assert_eq!(clock.lead(None, step).1, None);
        assert!((clock.now(step) - reading.ts()).abs() < 0.1, "rows and clock move together");
    }
}
