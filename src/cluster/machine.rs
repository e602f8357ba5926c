//! What the log is applied to: the file of this member.

use std::sync::Arc;

use openraft::storage::RaftStateMachine;
use openraft::{BasicNode, EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftSnapshotBuilder, Snapshot};
use tokio::sync::watch;

use super::types::{Entry, Failed, FileCopy, LogId, SnapshotMeta, StoredMembership, Types, failed};
use crate::database::{Applied, Outcome, Replica, ReplicaFailed};

/// The file, and how far it is.
#[derive(Clone)]
pub(super) struct Machine {
    replica: Arc<Replica>,
    last: Option<LogId>,
    membership: StoredMembership,
    /// The index of the newest entry that is applied.
    index: watch::Sender<u64>,
}

impl Machine {
    /// `applied` is how far the file of `replica` is.
    ///
    /// # Errors
    /// If the file says what no version understands.
    pub(super) fn new(
        replica: Arc<Replica>,
        applied: &Applied,
        index: watch::Sender<u64>,
    ) -> Result<Self, serde_json::Error> {
        let (last, membership) = parse(applied)?;
        let machine = Self { replica, last, membership, index };
        machine.publish();
        Ok(machine)
    }

    fn publish(&self) {
        self.index.send_replace(self.last.map_or(0, |last| last.index));
    }

    async fn sync(&self) -> Result<Snapshot<Types>, Failed> {
        let applied = self.replica.sync().await.map_err(broken)?;
        Ok(Snapshot { meta: meta(&applied).map_err(unreadable)?, snapshot: Box::new(FileCopy { received: None }) })
    }
}

/// What openraft has to know of a copy of a file that is as far as `applied`.
///
/// # Errors
/// If the file says what no version understands.
pub(super) fn meta(applied: &Applied) -> Result<SnapshotMeta, serde_json::Error> {
    let (last_log_id, last_membership) = parse(applied)?;
    let snapshot_id = applied.log_id.clone().unwrap_or_default();
    Ok(SnapshotMeta { last_log_id, last_membership, snapshot_id })
}

fn parse(applied: &Applied) -> Result<(Option<LogId>, StoredMembership), serde_json::Error> {
    let last = applied.log_id.as_deref().map(serde_json::from_str).transpose()?;
    let membership = applied.membership.as_deref().map(serde_json::from_str).transpose()?;
    Ok((last, membership.unwrap_or_default()))
}

fn broken(error: ReplicaFailed) -> Failed {
    failed(&error, ErrorSubject::StateMachine, ErrorVerb::Write)
}

#[expect(clippy::needless_pass_by_value, reason = "it is for map_err")]
fn unreadable(error: serde_json::Error) -> Failed {
    failed(&error, ErrorSubject::StateMachine, ErrorVerb::Read)
}

impl RaftSnapshotBuilder<Types> for Machine {
    /// The file is its own snapshot once it is synced. A copy is made only for a member that needs one.
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, Failed> {
        self.sync().await
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, openraft::StoredMembership<u64, BasicNode>), Failed> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Vec<Outcome>>, Failed>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut groups = Vec::new();
        let mut known = 0;
        for entry in entries {
            // A copy of the file can be ahead of what openraft knows of it.
            if self.last.is_some_and(|last| entry.log_id.index <= last.index) {
                known += 1;
                continue;
            }
            self.last = Some(entry.log_id);
            groups.push(match entry.payload {
                EntryPayload::Normal(group) => Some(group),
                EntryPayload::Blank => None,
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                    None
                }
            });
        }
        let mut outcomes = vec![Vec::new(); known];
        if !groups.is_empty() {
            let applied = Applied {
                log_id: Some(serde_json::to_string(&self.last).map_err(unreadable)?),
                membership: Some(serde_json::to_string(&self.membership).map_err(unreadable)?),
            };
            outcomes.extend(self.replica.apply(groups, applied).await.map_err(broken)?);
        }
        self.publish();
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<FileCopy>, Failed> {
        Ok(Box::new(FileCopy { received: None }))
    }

    async fn install_snapshot(&mut self, _: &SnapshotMeta, copy: Box<FileCopy>) -> Result<(), Failed> {
        let Some(copy) = copy.received else { return Err(broken(ReplicaFailed)) };
        let installed = self.replica.install(copy.path().to_owned()).await.map_err(broken)?;
        (self.last, self.membership) = parse(&installed).map_err(unreadable)?;
        self.publish();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, Failed> {
        if self.last.is_none() {
            return Ok(None);
        }
        Ok(Some(self.sync().await?))
    }
}
