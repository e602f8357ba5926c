//! A member from its start to its end: it founds the cluster, joins it or continues in it.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use openraft::{BasicNode, Config, SnapshotPolicy};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::clock::ClusterClock;
use super::copies::remove_copies;
use super::duties::duties;
use super::elections::{LEADER_LEASE, Rivals, stand_for_elections};
use super::file::ClusterFile;
use super::log::LogStore;
use super::machine::Machine;
use super::network::Network;
use super::online::{Online, inform_others};
use super::shared::{Heard, LEADER_INTERVAL, Leader, QUORUM_TIMEOUT, Shared};
use super::tls::MemberTls;
use super::types::Raft;
use super::writes::{Queued, WriteLoop};
use super::{ClusterError, join, server};
use crate::database::{
    Applied, Failures, Fatal, Group, Job, Readers, Replica, Unhealthy, WRITE_DEADLINE, Write, WriteError, with_suffix,
};
use crate::statements;

/// In milliseconds: the timeout of a vote, and the interval of heartbeats.
const VOTE_TIMEOUT: u64 = 400;
const HEARTBEAT_INTERVAL: u64 = 100;

/// A follower that has not applied within this time what the leader said is committed is behind.
const BEHIND_AFTER: Duration = Duration::from_secs(2);

/// What a member is started with.
pub(crate) struct MemberParts {
    pub(crate) node: u64,
    pub(crate) file: ClusterFile,
    pub(crate) clock: Arc<ClusterClock>,
    pub(crate) replica: Arc<Replica>,
    pub(crate) readers: Arc<Readers>,
    /// The cluster that the file is of, and how far it is. None if the machine is new.
    pub(crate) progress: Option<(String, Applied)>,
    pub(crate) failures: Failures,
}

/// The handle of a member. Dropping it does not stop the member; [`Member::close`] does.
pub(crate) struct Member {
    shared: Arc<Shared>,
    socket: PathBuf,
    runtime: Handle,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Member {
    /// Starts a member: founds the cluster, joins it, or continues in it. It waits for the others where it needs them.
    ///
    /// # Errors
    /// If its log or its address cannot be used, or the others refuse it.
    pub(crate) async fn start(parts: MemberParts) -> Result<Self, ClusterError> {
        let node = parts.node;
        let own_address = parts.file.members.get(&node).cloned().ok_or(ClusterError::NoSuchNode(node))?;
        let tls = MemberTls::new(&parts.file)?;
        let log = open_log(&parts)?;
        remove_copies(parts.replica.path());
        let (queue, queued) = mpsc::unbounded_channel();
        let (publish, index) = watch::channel(0);
        let now = Instant::now();
        let shared = Arc::new(Shared {
            node,
            file: parts.file,
            tls,
            clock: parts.clock,
            replica: parts.replica,
            readers: parts.readers,
            log,
            name: RwLock::new(parts.progress.as_ref().map(|(name, _)| name.clone())),
            raft: OnceLock::new(),
            queue,
            index,
            heard: Mutex::new(Heard { at: now, committed: 0, since: now }),
            started: now,
            is_founding: AtomicBool::new(false),
            was_paused: AtomicBool::new(false),
            online: Online::default(),
            rivals: Rivals::default(),
            failures: parts.failures,
            refusal: Mutex::default(),
        });
        let listener = TcpListener::bind(&own_address)
            .await
            .map_err(|source| ClusterError::Listen { address: own_address.clone(), source })?;
        let socket = super::wire::socket_path(shared.replica.path());
        let local = listen_locally(&socket).map_err(ClusterError::Socket)?;
        let mut tasks = vec![
            tokio::spawn(server::serve_members(Arc::clone(&shared), listener)),
            tokio::spawn(server::serve_commands(Arc::clone(&shared), local)),
        ];
        let is_new = parts.progress.is_none();
        let joins = if is_new { join::found_or_join(&shared).await? } else { None };
        let progress = parts.progress.map(|(_, applied)| applied);
        let applied = progress.unwrap_or(Applied { log_id: None, membership: None });
        if is_new && joins.is_none() {
            let name = uuid::Uuid::now_v7().to_string();
            let members = shared.file.members.clone().into_iter().collect();
            let founded = shared.replica.found(name.clone(), shared.now(), members).await;
            founded.map_err(|error| ClusterError::Log(error.to_string()))?;
            shared.set_name(name);
        }
        let machine = Machine::new(Arc::clone(&shared.replica), &applied, publish)
            .map_err(|error| ClusterError::Log(error.to_string()))?;
        let raft = Raft::new(node, Arc::new(config()?), Network(Arc::clone(&shared)), shared.log.clone(), machine)
            .await
            .map_err(|error| ClusterError::Log(error.to_string()))?;
        // The first member of a cluster has applied nothing yet.
        let is_first = joins.is_none() && applied.log_id.is_none();
        if is_first {
            shared.is_founding.store(shared.file.members.len() > 1, Relaxed);
            found(&raft, node, &own_address, shared.now()).await?;
        }
        // It fails only if there is one.
        let _ = shared.raft.set(raft.clone());
        if let Some(name) = joins {
            shared.set_name(name);
        }
        tasks.push(tokio::spawn(watch_raft(raft, shared.failures.clone())));
        tasks.push(tokio::spawn(WriteLoop::new(Arc::clone(&shared)).run(queued)));
        tasks.push(tokio::spawn(duties(Arc::clone(&shared))));
        tasks.push(tokio::spawn(stand_for_elections(Arc::clone(&shared))));
        tasks.push(tokio::spawn(inform_others(Arc::clone(&shared))));
        Ok(Self { shared, socket, runtime: Handle::current(), tasks: Mutex::new(tasks) })
    }

    /// Queues a write.
    pub(crate) fn send(&self, job: Job) -> Result<(), WriteError> {
        self.shared.queue.send(Queued::of_job(job)).map_err(|_| WriteError::Closed)
    }

    /// Waits until a majority follows a leader that this member knows, and the file is the cluster's: a machine that joins
    /// knows the leader before it has a copy.
    pub(crate) async fn ready(&self) {
        while matches!(self.shared.leader(), Leader::Nobody) || self.shared.applied() == 0 {
            sleep(LEADER_INTERVAL).await;
        }
    }

    /// Informs the other members of who is online here, and returns who is online there.
    pub(crate) fn exchange_online(&self, here: Vec<String>) -> Vec<String> {
        self.shared.online.set_here(here);
        self.shared.online.elsewhere()
    }

    /// Whether this member leads: one of the members makes the attempts of deliveries.
    pub(crate) fn is_leading(&self) -> bool {
        matches!(self.shared.leader(), Leader::Here)
    }

    /// Whether clients should come here.
    ///
    /// # Errors
    /// No majority follows a leader, or this member has not applied for some seconds what the leader has.
    pub(crate) fn health(&self) -> Result<(), Unhealthy> {
        match self.shared.leader() {
            Leader::Here => return Ok(()),
            Leader::Nobody => return Err(Unhealthy::NoLeader),
            Leader::There(..) => {}
        }
        match self.shared.heard() {
            Heard { at, .. } if at.elapsed() > QUORUM_TIMEOUT + LEADER_LEASE => Err(Unhealthy::NoLeader),
            Heard { committed, since, .. } if self.shared.applied() < committed && since.elapsed() > BEHIND_AFTER => {
                Err(Unhealthy::Behind)
            }
            Heard { .. } => Ok(()),
        }
    }

    /// Stops taking part, and returns when the file is not written any more.
    pub(crate) fn close(&self) {
        if let Some(raft) = self.shared.raft() {
            // It fails only if openraft has stopped already.
            let _ = self.runtime.block_on(raft.shutdown());
        }
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Opens the log, which has to belong to the file.
fn open_log(parts: &MemberParts) -> Result<LogStore, ClusterError> {
    let path = with_suffix(parts.replica.path(), "-raft");
    let log = LogStore::open(&path, parts.failures.clone()).map_err(|error| ClusterError::Log(error.to_string()))?;
    let vote: Option<openraft::Vote<u64>> = log.noted("vote").map_err(|error| ClusterError::Log(error.to_string()))?;
    let has_applied = parts.progress.as_ref().is_some_and(|(_, applied)| applied.log_id.is_some());
    let advice = "remove what is left of both, and run on another member: cluster replace";
    match vote {
        Some(_) if parts.progress.is_none() => Err(ClusterError::Refused(format!(
            "{} is there, and the database that it belongs to is not: {advice} {}",
            path.display(),
            parts.node
        ))),
        None if has_applied => Err(ClusterError::Refused(format!(
            "{} is missing, so this member does not know what it has promised: {advice} {}",
            path.display(),
            parts.node
        ))),
        _ => Ok(log),
    }
}

fn config() -> Result<Config, ClusterError> {
    let config = Config {
        election_timeout_min: VOTE_TIMEOUT,
        // The lease of a leader.
        election_timeout_max: u64::try_from(LEADER_LEASE.as_millis()).unwrap_or(u64::MAX),
        enable_elect: false,
        heartbeat_interval: HEARTBEAT_INTERVAL,
        max_payload_entries: 64,
        // The log counts bytes; see `duties`.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        // Whatever the log still has is sent from it.
        replication_lag_threshold: u64::MAX,
        ..Config::default()
    };
    config.validate().map_err(|error| ClusterError::Log(error.to_string()))
}

/// The socket for commands of this machine, which only the owner of the file can use.
fn listen_locally(socket: &std::path::Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    // The one of a member that was killed. The lock of the database keeps two from running.
    let _ = std::fs::remove_file(socket);
    let (_folder, short) = super::wire::short_path(socket)?;
    let listener = UnixListener::bind(short)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Makes this machine the only voter, and ends what an earlier single server left live.
async fn found(raft: &Raft, node: u64, address: &str, now: f64) -> Result<(), ClusterError> {
    let failed = |error: &dyn std::fmt::Display| ClusterError::Log(error.to_string());
    if !raft.is_initialized().await.map_err(|error| failed(&error))? {
        let members = [(node, BasicNode::new(address))].into_iter().collect::<std::collections::BTreeMap<_, _>>();
        raft.initialize(members).await.map_err(|error| failed(&error))?;
    }
    let leads = raft.wait(Some(WRITE_DEADLINE));
    leads.metrics(|metrics| metrics.state.is_leader(), "to lead").await.map_err(|error| failed(&error))?;
    // Ids skip those that clients of the single server may have.
    let begin = Write::new(&statements::BEGIN_RUN, [1.into()]).then(&statements::START_SERVER, []);
    let group = Group { ts: now, writes: vec![Arc::new(begin)], ..Group::default() };
    raft.client_write(Arc::new(group)).await.map_err(|error| failed(&error))?;
    Ok(())
}

/// A member whose part in the consensus has failed must not look alive.
async fn watch_raft(raft: Raft, failures: Failures) {
    let mut metrics = raft.metrics();
    let mut leader = None;
    loop {
        let (state, now_leads) = {
            let metrics = metrics.borrow_and_update();
            (metrics.running_state.clone(), metrics.current_leader)
        };
        if now_leads != leader {
            tracing::info!(node = now_leads, "who leads the cluster has changed");
            leader = now_leads;
        }
        if let Err(fatal) = state
            && !matches!(fatal, openraft::error::Fatal::Stopped)
        {
            failures.report(Fatal::MemberFailed(fatal.to_string().replace('\n', " ")));
            return;
        }
        if metrics.changed().await.is_err() {
            return;
        }
    }
}
