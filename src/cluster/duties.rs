//! What a member does twice a second: it keeps its log short, and as the leader it sweeps, and makes those members who are
//! listed.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use openraft::{BasicNode, ChangeMembers, RaftMetrics};
use tokio::time::sleep;

use super::server::status_of;
use super::shared::{Leader, Shared};
use super::types::Raft;
use crate::database::{Group, ReadError, Write, fingerprint, plan_upgrade};
use crate::last_error::LastError;
use crate::statements;

/// How often a member looks at its duties. Rules with a time limit promise a second.
const DUTY_INTERVAL: Duration = Duration::from_millis(500);

/// A gap between duties from which on the process was stopped, or its machine was.
const PAUSE_MIN: Duration = Duration::from_millis(1500);

/// How long a cluster that is founded waits for the last of its members. A majority is enough then.
const FOUNDING_TIMEOUT: Duration = Duration::from_secs(10);

/// A member this many entries behind the leader may vote.
const LAG_MAX: u64 = 100;

/// What a member does twice a second.
pub(super) async fn duties(shared: Arc<Shared>) {
    let mut last_error = LastError::default();
    let mut led = Led::default();
    let mut before = Instant::now();
    loop {
        sleep(DUTY_INTERVAL).await;
        if before.elapsed() > PAUSE_MIN {
            shared.was_paused.store(true, Relaxed);
        }
        before = Instant::now();
        let Some(raft) = shared.raft() else { continue };
        let metrics = raft.metrics().borrow().clone();
        let error = match do_duties(&shared, raft, &metrics, &mut led).await {
            Ok(()) => None,
            Err(error) => Some(error.to_string()),
        };
        last_error.note(error, "a duty of the member failed");
    }
}

/// What the leader remembers of its term.
#[derive(Default)]
struct Led {
    term: u64,
    /// The statements by which the schema of the cluster becomes this program's. Empty if it is.
    schema: Vec<String>,
}

/// Whether all who should be members run a version with this program's schema.
async fn all_have_this_schema(shared: &Shared) -> Result<bool, ReadError> {
    let own = fingerprint();
    for (node, address, _) in shared.listed()? {
        if node != shared.node && status_of(shared, &address).await.is_none_or(|status| status.schema != own) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn do_duties(
    shared: &Arc<Shared>,
    raft: &Raft,
    metrics: &RaftMetrics<u64, BasicNode>,
    led: &mut Led,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    shorten_log(shared, raft, metrics).await?;
    if !metrics.state.is_leader() {
        return Ok(());
    }
    change_members(shared, raft, metrics).await?;
    let is_first = led.term != metrics.current_term;
    if is_first {
        let path = shared.replica.path().to_owned();
        let now = shared.now();
        let schema = tokio::task::spawn_blocking(move || plan_upgrade(&path, now)).await??;
        *led = Led { term: metrics.current_term, schema };
    }
    if !led.schema.is_empty() && all_have_this_schema(shared).await? {
        tracing::info!("all members have this version, so the schema of the cluster becomes its schema");
        let (ts, schema) = (shared.now(), std::mem::take(&mut led.schema));
        raft.client_write(Arc::new(Group { ts, schema, ..Group::default() })).await?;
    }
    if matches!(shared.leader(), Leader::Here)
        && (is_first
            || shared.was_paused.load(Relaxed)
            || shared.clock.lead(None, shared.stepped()).1.is_some()
            || is_sweep_due(shared)?)
    {
        // A group without statements sweeps.
        let _ = shared.carry_out(Arc::default(), true).await;
    }
    Ok(())
}

fn is_sweep_due(shared: &Shared) -> Result<bool, ReadError> {
    let is_due = shared.readers.read(|snapshot| snapshot.row(&statements::SWEEP_DUE, [], |row| row.get(0)))?;
    Ok::<_, ReadError>(is_due.unwrap_or_default())
}

/// Removes applied entries once the log is large. The file has to be on the disk before.
async fn shorten_log(
    shared: &Shared,
    raft: &Raft,
    metrics: &RaftMetrics<u64, BasicNode>,
) -> Result<(), openraft::error::Fatal<u64>> {
    let applied = metrics.last_applied.map_or(0, |applied| applied.index);
    // Machines that join begin with a copy of the file, and not with the first entry.
    let is_founded = metrics.purged.is_some() || metrics.last_applied.is_none();
    let Some(index) = shared.log.purgeable().or((!is_founded).then_some(applied)) else { return Ok(()) };
    let index = index.min(applied);
    let synced = metrics.snapshot.map(|snapshot| snapshot.index);
    if synced.is_none_or(|synced| synced < index) {
        raft.trigger().snapshot().await?;
    }
    // Under load the log grows while the file is synced. What was synced before is removed meanwhile.
    match synced {
        Some(synced) => raft.trigger().purge_log(index.min(synced)).await,
        None => Ok(()),
    }
}

/// Makes those members who are listed, one change at a time.
async fn change_members(
    shared: &Arc<Shared>,
    raft: &Raft,
    metrics: &RaftMetrics<u64, BasicNode>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let listed = shared.listed()?;
    let membership = metrics.membership_config.membership();
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    let all = shared.file.members.len();
    let has_waited = shared.started.elapsed() > FOUNDING_TIMEOUT;
    if voters.len() == all || (voters.len() * 2 > all && has_waited) {
        shared.is_founding.store(false, Relaxed);
    }
    if membership.get_joint_config().len() > 1 {
        // A leader died between the two halves of a change.
        let complete = ChangeMembers::AddVoterIds(BTreeSet::new());
        raft.change_membership(complete, false).await?;
        return Ok(());
    }
    let is_wanted = |node: u64| listed.iter().any(|(wanted, _, is_replaced)| *wanted == node && !is_replaced);
    let unwanted = membership.nodes().map(|(node, _)| *node).find(|node| !is_wanted(*node));
    if let Some(node) = unwanted {
        tracing::info!(node, "a member leaves the cluster");
        let node_set = BTreeSet::from([node]);
        let change = if voters.contains(&node) {
            ChangeMembers::RemoveVoters(node_set)
        } else {
            ChangeMembers::RemoveNodes(node_set)
        };
        raft.change_membership(change, false).await?;
        return Ok(());
    }
    let last = metrics.last_log_index.unwrap_or_default();
    let replication = metrics.replication.clone().unwrap_or_default();
    for node in membership.learner_ids() {
        let matched = replication.get(&node).copied().flatten();
        if matched.is_some_and(|matched| matched.index + LAG_MAX >= last) {
            tracing::info!(node, "a member has the file, and votes");
            raft.change_membership(ChangeMembers::AddVoterIds(BTreeSet::from([node])), true).await?;
            return Ok(());
        }
    }
    for (node, _, _) in
        listed.iter().filter(|(node, _, is_replaced)| *is_replaced && membership.get_node(node).is_none())
    {
        let back = Write::new(&statements::MEMBER_WAS_REPLACED, [node.cast_signed().into()]);
        let _ = shared.carry_out(Arc::new(back), true).await;
    }
    Ok(())
}
