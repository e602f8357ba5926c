//! What the tasks of a member share: who it is, who leads, and the doors to its file, its log and its queue.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use openraft::{BasicNode, RaftMetrics};
use tokio::sync::{mpsc, watch};

use super::clock::ClusterClock;
use super::copies::CopiedFile;
use super::elections::Rivals;
use super::file::ClusterFile;
use super::log::LogStore;
use super::online::Online;
use super::tls::MemberTls;
use super::types::Raft;
use super::wire::{Acknowledged, Hello, Unacknowledged};
use super::writes::Queued;
use crate::database::{Applied, Failures, ReadError, Readers, Replica, Snapshot, Write, copy_of};
use crate::last_error::LastError;
use crate::statements;

/// A leader that a majority has not answered for this long does not count as one.
pub(super) const QUORUM_TIMEOUT: Duration = Duration::from_secs(1);

/// How long writes wait before they look for a leader again.
pub(super) const LEADER_INTERVAL: Duration = Duration::from_millis(20);

/// What the tasks of a member share.
pub(super) struct Shared {
    pub(super) node: u64,
    pub(super) file: ClusterFile,
    pub(super) tls: MemberTls,
    pub(super) clock: Arc<ClusterClock>,
    pub(super) replica: Arc<Replica>,
    pub(super) readers: Arc<Readers>,
    pub(super) log: LogStore,
    pub(super) name: RwLock<Option<String>>,
    pub(super) raft: OnceLock<Raft>,
    pub(super) queue: mpsc::UnboundedSender<Queued>,
    /// The newest entry that is applied.
    pub(super) index: watch::Receiver<u64>,
    pub(super) heard: Mutex<Heard>,
    pub(super) started: Instant,
    /// It has founded the cluster, and waits for the others.
    pub(super) is_founding: AtomicBool,
    /// The process was stopped for a while: nobody could prove presence.
    pub(super) was_paused: AtomicBool,
    pub(super) online: Online,
    pub(super) rivals: Rivals,
    pub(super) failures: Failures,
    pub(super) refusal: Mutex<LastError>,
}

/// The last heartbeat of the leader.
#[derive(Clone, Copy)]
pub(super) struct Heard {
    pub(super) at: Instant,
    /// An entry that was committed, and since when.
    pub(super) committed: u64,
    pub(super) since: Instant,
}

/// Who leads.
pub(super) enum Leader {
    Here,
    There(u64, String),
    Nobody,
}

impl Shared {
    pub(super) fn name(&self) -> Option<String> {
        self.name.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_name(&self, name: String) {
        *self.name.write().unwrap_or_else(PoisonError::into_inner) = Some(name);
    }

    pub(super) fn hello(&self) -> Hello {
        Hello::new(self.name(), self.node)
    }

    /// openraft, once it runs.
    pub(super) fn raft(&self) -> Option<&Raft> {
        self.raft.get()
    }

    pub(super) fn metrics(&self) -> Option<RaftMetrics<u64, BasicNode>> {
        Some(self.raft()?.metrics().borrow().clone())
    }

    pub(super) fn applied(&self) -> u64 {
        *self.index.borrow()
    }

    pub(super) fn leader(&self) -> Leader {
        let Some(raft) = self.raft() else { return Leader::Nobody };
        let metrics = raft.metrics();
        let metrics = metrics.borrow();
        let has_quorum = || {
            metrics.millis_since_quorum_ack.is_none_or(|age| u128::from(age) <= QUORUM_TIMEOUT.as_millis())
                && !self.is_founding.load(Relaxed)
        };
        match metrics.current_leader {
            Some(node) if node == self.node && metrics.state.is_leader() && has_quorum() => Leader::Here,
            Some(node) if node != self.node => match metrics.membership_config.membership().get_node(&node) {
                Some(member) => Leader::There(node, member.addr.clone()),
                None => Leader::Nobody,
            },
            _ => Leader::Nobody,
        }
    }

    /// The leader's message says that `committed` is committed.
    pub(super) fn hear(&self, now: f64, committed: u64) {
        self.clock.hear(now);
        let applied = self.applied();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.at = Instant::now();
        if applied >= heard.committed {
            (heard.committed, heard.since) = (committed, heard.at);
        }
    }

    /// A member that stands for election got the vote of this one, and may lead soon.
    pub(super) fn hear_candidate(&self) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).at = Instant::now();
    }

    /// The seconds by which the clock of the cluster was set in all. An unreadable file ends the process soon.
    pub(super) fn stepped(&self) -> f64 {
        let stepped = |snapshot: &Snapshot| snapshot.row(&statements::CLOCK_STEPS, [], |row| row.get(0));
        self.readers.read::<_, ReadError>(stepped).ok().flatten().unwrap_or_default()
    }

    /// The present of the cluster, in seconds since the epoch.
    pub(super) fn now(&self) -> f64 {
        self.clock.now(self.stepped())
    }

    /// The last heartbeat of the leader.
    pub(super) fn heard(&self) -> Heard {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who should be a member: number, address, and whether it is being replaced.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn listed(&self) -> Result<Vec<(u64, String, bool)>, ReadError> {
        self.readers.read(|snapshot| {
            snapshot.rows(&statements::MEMBERS, [], |row| {
                Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?, row.get(2)?))
            })
        })
    }

    /// A copy of the file, and how far that is.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(super) async fn copy(&self) -> io::Result<(CopiedFile, Applied)> {
        let path = self.replica.path().to_owned();
        let copied = tokio::task::spawn_blocking(move || {
            let copy = CopiedFile::beside(&path)?;
            let applied = copy_of(&path, copy.path()).map_err(io::Error::other)?;
            Ok((copy, applied))
        });
        copied.await.map_err(io::Error::other)?
    }

    /// Another member does not talk to this one.
    pub(super) fn note_refusal(&self, node: u64, reason: &str) {
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        refusal.note(Some(format!("node {node}: {reason}")), "a member refuses this one");
    }

    /// Carries `write` out: as the leader if `is_forwarded`, else wherever the leader is.
    pub(super) async fn carry_out(&self, write: Arc<Write>, is_forwarded: bool) -> Acknowledged {
        let (queued, answered) = Queued::new(write, is_forwarded);
        // It fails only if the member stops.
        let _ = self.queue.send(queued);
        answered.await.unwrap_or(Err(Unacknowledged::NotDone))
    }
}
