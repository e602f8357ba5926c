//! How openraft reaches the other members.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, RemoteError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::{BasicNode, Snapshot, Vote};
use tokio::time::timeout;

use super::machine::meta;
use super::server::NO_CLUSTER;
use super::shared::Shared;
use super::types::Types;
use super::wire::{Ask, Reply, Wire};

/// How long a member may take to receive and install a copy of the file.
const COPY_TIMEOUT: Duration = Duration::from_secs(600);

/// Makes connections.
pub(super) struct Network(pub(super) Arc<Shared>);

/// The connection to one member.
pub(super) struct Peer {
    shared: Arc<Shared>,
    node: u64,
    wire: Wire,
}

type Rpc<T> = Result<T, RPCError<u64, BasicNode, RaftError<u64>>>;

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, node: u64, member: &BasicNode) -> Peer {
        let wire = Wire::new(member.addr.clone(), self.0.tls.clone());
        Peer { shared: Arc::clone(&self.0), node, wire }
    }
}

impl Peer {
    async fn ask(&mut self, ask: &Ask, option: &RPCOption) -> Result<Reply, RPCError<u64, BasicNode, RaftError<u64>>> {
        let hello = self.shared.hello();
        match timeout(option.hard_ttl(), self.wire.ask(&hello, ask)).await {
            Ok(Ok(Reply::Refused(reason))) => {
                if reason != NO_CLUSTER {
                    self.shared.note_refusal(self.node, &reason);
                }
                Err(Unreachable::new(&io::Error::other(reason)).into())
            }
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(Unreachable::new(&io::Error::from(error)).into()),
            Err(error) => Err(NetworkError::new(&error).into()),
        }
    }

    #[expect(clippy::result_large_err, reason = "openraft's interface")]
    fn remote<T>(&self, result: Result<T, RaftError<u64>>) -> Rpc<T> {
        result.map_err(|error| RemoteError::new(self.node, error).into())
    }

    async fn send_copy(&mut self, vote: Vote<u64>) -> io::Result<Vote<u64>> {
        let (copy, applied) = self.shared.copy().await?;
        let mut file = std::fs::File::open(copy.path())?;
        let length = file.metadata()?.len();
        let meta = meta(&applied).map_err(io::Error::other)?;
        let hello = self.shared.hello();
        let ask = Ask::Copy { vote, meta, length };
        match self.wire.send_file(&hello, &ask, &mut file).await? {
            Reply::Copy(Ok(vote)) => Ok(vote),
            Reply::Copy(Err(reason)) | Reply::Refused(reason) => Err(io::Error::other(reason)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<u64>> {
        let now = self.shared.clock.now(0.0);
        match self.ask(&Ask::Append { request, now }, &option).await? {
            Reply::Append(result) => self.remote(result),
            _ => Err(unexpected()),
        }
    }

    async fn vote(&mut self, request: VoteRequest<u64>, option: RPCOption) -> Rpc<VoteResponse<u64>> {
        let own = request.last_log_id;
        match self.ask(&Ask::Vote(request), &option).await? {
            Reply::Vote(result) => {
                if let Ok(response) = &result {
                    self.shared.rivals.note_response(own, response);
                }
                self.remote(result)
            }
            _ => Err(unexpected()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote<u64>,
        _snapshot: Snapshot<Types>,
        cancel: impl Future<Output = ReplicationClosed> + openraft::OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<Types, Fatal<u64>>> {
        let sent = tokio::select! {
            closed = cancel => return Err(closed.into()),
            sent = timeout(COPY_TIMEOUT, self.send_copy(vote)) => sent,
        };
        match sent {
            Ok(Ok(vote)) => Ok(SnapshotResponse::new(vote)),
            Ok(Err(error)) => {
                tracing::warn!(node = self.node, %error, "a copy of the file could not be sent to a member");
                Err(Unreachable::new(&error).into())
            }
            Err(error) => Err(NetworkError::new(&error).into()),
        }
    }
}

fn unexpected() -> RPCError<u64, BasicNode, RaftError<u64>> {
    Unreachable::new(&io::Error::from(io::ErrorKind::InvalidData)).into()
}
