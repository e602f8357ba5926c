//! A cluster: several machines with one log of writes. Each applies the log to its own file by the same rules, so the files
//! stay equal, and any of them answers reads.
//!
//! openraft decides the order of the log (Raft, <https://raft.github.io/raft.pdf>): elections, replication, membership. Ours
//! is where the log is kept (`log`), how members reach each other (`wire`), and that applying an entry is what the
//! writer of a single server does (`database::Replica`).
//!
//! What has queued up on the leader becomes one entry of the log: one fsync on a majority, one transaction on each member, a
//! savepoint for each write. A follower forwards what has queued up there, and answers once its own file has it.

mod clock;
mod copies;
mod duties;
mod elections;
mod file;
mod join;
mod log;
mod machine;
mod member;
mod network;
mod online;
mod server;
mod shared;
mod status;
mod tls;
mod types;
mod wire;
mod writes;

pub(crate) use self::clock::ClusterClock;
pub use self::file::{ClusterFile, ClusterFileError, parse_member};
pub(crate) use self::member::{Member, MemberParts};
pub use self::status::{MemberStatus, OtherMember};
pub(crate) use self::wire::LocalMember;

use thiserror::Error;

/// Why a member cannot start.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The file of the cluster cannot be used.
    #[error(transparent)]
    File(#[from] ClusterFileError),
    /// The file does not list the machine that it is used on.
    #[error("the file of the cluster has no line for node {0}")]
    NoSuchNode(u64),
    /// The address for other members cannot be listened on.
    #[error("cannot listen for members on {address}: {source}")]
    Listen {
        /// The address in the file of the cluster.
        address: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The log cannot be opened.
    #[error("the log of the cluster cannot be used: {0}")]
    Log(String),
    /// The others do not take it in.
    #[error("{0}")]
    Refused(String),
    /// The folder has no room for the socket of commands.
    #[error("commands cannot reach this member: {0}")]
    Socket(std::io::Error),
}
