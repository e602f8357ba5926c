//! When a member becomes a candidate. openraft draws the time that it waits once in the life of a process, so two members that
//! draw about the same would take each other's votes again and again. Here each attempt draws a new one.
//!
//! Members vote for candidates that lack nothing of their log. A candidate that does cannot win their votes, but the term of each
//! attempt is a newer one, in which the others' attempts are too old. So it waits for them, and they follow it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use openraft::raft::VoteResponse;
use tokio::time::sleep;

use super::shared::Shared;
use super::types::LogId;

/// How long a follower waits for a heartbeat. No member votes for another candidate before.
pub(super) const LEADER_LEASE: Duration = Duration::from_millis(800);

/// The longest that a member waits beyond that, and the pause after a vote that made no leader. Two members that wait about as
/// long collide, within the milliseconds that a vote takes.
const SPREAD: Duration = Duration::from_millis(600);
const PAUSE: Duration = Duration::from_millis(200);

/// The pause of a candidate that lacks a part of the log: in that time those who have it can attempt it twice.
const PAUSE_WITHOUT_LOG: Duration = Duration::from_millis(1000);

/// How often the time is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// What the votes between this member and others say about their logs.
#[derive(Default)]
pub(super) struct Rivals {
    lacks_log: AtomicBool,
    has_more_log: AtomicBool,
}

impl Rivals {
    /// Another member has answered this one, a candidate with a log up to `own`.
    pub(super) fn note_response(&self, own: Option<LogId>, response: &VoteResponse<u64>) {
        if is_refused_for_log(own, response) {
            self.lacks_log.store(true, Relaxed);
        }
    }

    /// This member has answered a candidate with a log up to `theirs`.
    pub(super) fn note_candidate(&self, theirs: Option<LogId>, response: &VoteResponse<u64>) {
        if is_refused_for_log(theirs, response) {
            self.has_more_log.store(true, Relaxed);
        }
    }
}

/// Whether a candidate with a log up to `candidate` did not get the vote of a member that has more of the log.
fn is_refused_for_log(candidate: Option<LogId>, response: &VoteResponse<u64>) -> bool {
    !response.vote_granted && response.last_log_id > candidate
}

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
        if shared.rivals.lacks_log.swap(false, Relaxed) {
            wait = PAUSE_WITHOUT_LOG + random(SPREAD);
        }
        // To this member the leader must be gone, too.
        let follows = shared.rivals.has_more_log.swap(false, Relaxed) && silent_for >= LEADER_LEASE;
        if follows || (is_alone || silent_for >= wait) && has_paused {
            // The one that it follows pauses: it does not collide.
            wait = if follows { PAUSE } else { PAUSE + random(SPREAD) };
            attempted = Some(Instant::now());
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
