//! What a member answers to others, and to commands of its machine.

use std::io;
use std::sync::Arc;

use futures_util::future::join_all;
use openraft::raft::AppendEntriesResponse;
use openraft::{BasicNode, Snapshot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::time::{sleep, timeout};

use super::copies::CopiedFile;
use super::shared::{Leader, Shared};
use super::status::{MemberStatus, OtherMember};
use super::types::{FileCopy, SnapshotMeta};
use super::wire::{Ask, CONNECT_TIMEOUT, Hello, NotJoined, Reply, Stream, Wire, greet, receive, send};
use crate::database::{Fatal, create_new, fingerprint};

/// Why a machine that starts answers nothing else.
pub(super) const NO_CLUSTER: &str = "this machine is in no cluster yet";

/// Accepts connections of members.
pub(super) async fn serve_members(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve_member(Arc::clone(&shared), stream))),
            // The process may have too many files open.
            Err(_) => sleep(CONNECT_TIMEOUT / 10).await,
        }
    }
}

async fn serve_member(shared: Arc<Shared>, stream: TcpStream) {
    let greeting = async {
        stream.set_nodelay(true)?;
        let mut stream = shared.tls.acceptor.accept(stream).await?;
        let hello = greet(&mut stream, &shared.hello()).await?;
        Ok::<_, io::Error>((stream, hello))
    };
    match timeout(CONNECT_TIMEOUT, greeting).await {
        Ok(Ok((mut stream, hello))) => {
            let end = answer_all(&shared, &mut stream, &hello).await;
            tracing::debug!(node = hello.node, end = %end, "a member's connection ended");
        }
        Ok(Err(error)) => tracing::debug!(%error, "a connection was no member's"),
        Err(_) => tracing::debug!("a connection was no member's: it said nothing"),
    }
}

/// Accepts connections of commands.
pub(super) async fn serve_commands(shared: Arc<Shared>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((mut stream, _)) => {
                let shared = Arc::clone(&shared);
                drop(tokio::spawn(async move {
                    if let Ok(Ok(hello)) = timeout(CONNECT_TIMEOUT, greet(&mut stream, &shared.hello())).await {
                        answer_all(&shared, &mut stream, &hello).await;
                    }
                }));
            }
            Err(_) => sleep(CONNECT_TIMEOUT / 10).await,
        }
    }
}

/// Answers until the connection ends, and returns why it did.
async fn answer_all(shared: &Arc<Shared>, stream: &mut dyn Stream, hello: &Hello) -> io::Error {
    loop {
        let answered = async {
            let ask = receive(stream).await?;
            let reply = answer(shared, stream, hello, ask).await?;
            send(stream, &reply).await
        };
        if let Err(error) = answered.await {
            return error;
        }
    }
}

async fn answer(shared: &Arc<Shared>, stream: &mut dyn Stream, hello: &Hello, ask: Ask) -> io::Result<Reply> {
    match ask {
        Ask::Status => return Ok(Reply::Status(Box::new(status(shared, hello.node == 0).await))),
        Ask::Write(write) => return Ok(Reply::Write(shared.carry_out(write, false).await)),
        _ => {}
    }
    let (Some(raft), Some(name)) = (shared.raft(), shared.name()) else {
        return Ok(Reply::Refused(NO_CLUSTER.to_owned()));
    };
    if let Ask::Join { node, address } = ask {
        return Ok(Reply::Joined(join(shared, name, node, address).await));
    }
    if hello.cluster.as_ref() != Some(&name) {
        return Ok(Reply::Refused("this machine is in another cluster".to_owned()));
    }
    Ok(match ask {
        Ask::Append { request, now } => {
            let committed = request.leader_commit.map_or(0, |committed| committed.index);
            let result = raft.append_entries(request).await;
            if matches!(result, Ok(ref response) if !matches!(response, AppendEntriesResponse::HigherVote(_))) {
                shared.hear(now, committed);
            }
            Reply::Append(result)
        }
        Ask::Online(people) => {
            shared.online.hear(hello.node, people);
            Reply::Noted
        }
        Ask::Vote(request) => {
            let theirs = request.last_log_id;
            let result = raft.vote(request).await;
            if let Ok(response) = &result {
                if response.vote_granted {
                    shared.hear_candidate();
                }
                shared.rivals.note_candidate(theirs, response);
            }
            Reply::Vote(result)
        }
        Ask::Copy { vote, meta, length } => {
            send(stream, &Reply::Noted).await?;
            let copy = receive_copy(shared, stream, length).await?;
            Reply::Copy(install(shared, vote, meta, copy).await)
        }
        Ask::Writes(writes) => {
            // They come into the queue in their order.
            Reply::Writes(join_all(writes.into_iter().map(|write| shared.carry_out(write, true))).await)
        }
        Ask::Status | Ask::Write(_) | Ask::Join { .. } => Reply::Refused("it was answered before".to_owned()),
    })
}

/// Takes a new machine in: it gets a copy of the file, and votes once it has that.
async fn join(shared: &Shared, name: String, node: u64, address: String) -> Result<String, NotJoined> {
    let (Some(raft), Some(metrics)) = (shared.raft(), shared.metrics()) else { return Err(NotJoined::NotLeading) };
    // Before the log begins with a copy, a machine could begin with the first entry.
    if !metrics.state.is_leader() || metrics.purged.is_none() {
        return Err(NotJoined::NotLeading);
    }
    let refused = |reason: String| Err(NotJoined::Refused(reason));
    let listed = shared.listed().map_err(|_| NotJoined::NotLeading)?;
    match listed.iter().find(|(listed, _, _)| *listed == node) {
        None => return refused(format!("node {node} is not listed; run on a member: cluster add {node}={address}")),
        Some((_, known, _)) if *known != address => {
            return refused(format!("node {node} is listed with the address {known}, and not {address}"));
        }
        Some((_, _, true)) => return Err(NotJoined::NotLeading),
        Some(_) => {}
    }
    let membership = metrics.membership_config.membership();
    let replication = metrics.replication.clone().unwrap_or_default();
    let has_file = replication.get(&node).copied().flatten().is_some();
    if membership.voter_ids().any(|voter| voter == node) || has_file {
        return refused(format!(
            "node {node} is a member already, and its files are gone; run on another member: cluster replace {node}"
        ));
    }
    if membership.get_node(&node).is_none() {
        tracing::info!(node, address, "a machine joins the cluster");
        raft.add_learner(node, BasicNode::new(address), false).await.map_err(|_| NotJoined::NotLeading)?;
    }
    Ok(name)
}

/// Stores the bytes of another member's file beside this one's. A disk that cannot store them has failed this member: the leader
/// would send them again and again.
async fn receive_copy(shared: &Shared, stream: &mut dyn Stream, length: u64) -> io::Result<CopiedFile> {
    let failed = |error: &io::Error| {
        shared.failures.report(Fatal::MemberFailed(format!("it cannot store a copy of the cluster's file: {error}")));
    };
    let create = || {
        let copy = CopiedFile::beside(shared.replica.path())?;
        create_new(copy.path())?;
        let file = std::fs::OpenOptions::new().write(true).open(copy.path())?;
        Ok((copy, file))
    };
    let (copy, mut file) = create().inspect_err(failed)?;
    let mut left = length;
    let mut bytes = vec![0; 256 * 1024];
    while left > 0 {
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let count = stream.read(&mut bytes[..room]).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        tokio::task::block_in_place(|| io::Write::write_all(&mut file, &bytes[..count])).inspect_err(failed)?;
        left -= count as u64;
    }
    stream.flush().await?;
    Ok(copy)
}

async fn install(
    shared: &Shared,
    vote: openraft::Vote<u64>,
    meta: SnapshotMeta,
    copy: CopiedFile,
) -> Result<openraft::Vote<u64>, String> {
    let Some(raft) = shared.raft() else { return Err(NO_CLUSTER.to_owned()) };
    let snapshot = Snapshot { meta, snapshot: Box::new(FileCopy { received: Some(copy) }) };
    let installed = raft.install_full_snapshot(vote, snapshot).await;
    installed.map(|response| response.vote).map_err(|error| error.to_string())
}

/// How this member is, and if `asks_others`, how the others are.
async fn status(shared: &Arc<Shared>, asks_others: bool) -> MemberStatus {
    let leader = match shared.leader() {
        Leader::Here => Some(shared.node),
        Leader::There(node, _) => Some(node),
        Leader::Nobody => None,
    };
    let own = MemberStatus {
        node: shared.node,
        cluster: shared.name(),
        leader,
        term: shared.metrics().map_or(0, |metrics| metrics.current_term),
        applied: shared.applied(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schema: fingerprint().to_owned(),
        members: Vec::new(),
    };
    if !asks_others {
        return own;
    }
    let membership = shared.metrics().map(|metrics| metrics.membership_config);
    let listed = shared.listed().unwrap_or_default();
    let mut members: Vec<OtherMember> = Vec::new();
    let known = membership.iter().flat_map(|membership| {
        membership.nodes().map(|(node, member)| (*node, member.addr.clone())).collect::<Vec<_>>()
    });
    let listed_members = listed.iter().map(|(node, address, _)| (*node, address.clone()));
    for (node, address) in known.chain(listed_members) {
        if members.iter().any(|member| member.node == node) {
            continue;
        }
        let votes = membership.as_ref().is_some_and(|membership| membership.voter_ids().any(|voter| voter == node));
        let learns = membership.as_ref().is_some_and(|membership| membership.membership().get_node(&node).is_some());
        let is_wanted = listed.iter().any(|(wanted, _, is_replaced)| *wanted == node && !is_replaced);
        let role = match (votes, learns, is_wanted) {
            _ if leader == Some(node) => "leader",
            (true, _, true) => "voter",
            (true, _, false) | (false, true, false) => "leaving",
            (false, true, true) => "joining",
            (false, false, _) => "missing",
        };
        let (applied, version) = if node == shared.node {
            (Some(own.applied), Some(own.version.clone()))
        } else {
            let status = status_of(shared, &address).await;
            (status.as_ref().map(|status| status.applied), status.map(|status| status.version))
        };
        members.push(OtherMember { node, address, role: role.to_owned(), applied, version });
    }
    members.sort_by_key(|member| member.node);
    MemberStatus { members, ..own }
}

/// How the member at `address` is, if it answers.
pub(super) async fn status_of(shared: &Shared, address: &str) -> Option<MemberStatus> {
    let mut wire = Wire::new(address.to_owned(), shared.tls.clone());
    match timeout(CONNECT_TIMEOUT, wire.ask(&shared.hello(), &Ask::Status)).await {
        Ok(Ok(Reply::Status(status))) => Some(*status),
        _ => None,
    }
}
