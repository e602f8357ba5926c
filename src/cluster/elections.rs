//! When a member becomes a candidate. openraft draws the time that it waits once in the life of a process, so two members that
//! draw about the same would take each other's votes again and again. Here each attempt draws a new one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::shared::Shared;

/// How long a follower waits for a heartbeat. No member votes for another candidate before.
pub(super) const LEADER_LEASE: Duration = Duration::from_millis(800);

/// The longest that a member waits beyond that, and the pause after a vote that made no leader. Two members that wait about as
/// long collide, within the milliseconds that a vote takes.
const SPREAD: Duration = Duration::from_millis(600);
const PAUSE: Duration = Duration::from_millis(200);

/// How often the time is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Becomes a candidate whenever the heartbeats of a leader stop, as long as the member runs.
pub(super) async fn stand_for_elections(shared: Arc<Shared>) {
    let mut wait = LEADER_LEASE + random(SPREAD);
    let mut attempted: Option<Instant> = None;
    loop {
        sleep(INTERVAL).await;
        let Some(raft) = shared.raft() else { continue };
        let (is_follower, is_alone) = {
            let metrics = raft.metrics();
            let metrics = metrics.borrow();
            let is_voter = metrics.membership_config.voter_ids().any(|voter| voter == shared.node);
            (is_voter && !metrics.state.is_leader(), metrics.membership_config.voter_ids().count() == 1)
        };
        if !is_follower {
            continue;
        }
        let silent_for = shared.heard().at.elapsed();
        let has_paused = attempted.is_none_or(|at| at.elapsed() >= wait);
        if silent_for < wait && attempted.is_some_and(|at| silent_for < at.elapsed()) {
            // A leader was elected, or another member has this one's vote.
            (wait, attempted) = (LEADER_LEASE + random(SPREAD), None);
        }
        if (is_alone || silent_for >= wait) && has_paused {
            (wait, attempted) = (PAUSE + random(SPREAD), Some(Instant::now()));
            // It fails only if openraft has stopped.
            let _ = raft.trigger().elect().await;
        }
    }
}

/// A random part of `longest`.
fn random(longest: Duration) -> Duration {
    let part = getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX));
    longest.mul_f64(part)
}
