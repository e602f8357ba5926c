//! How a member is, for monitors and for `cluster status`.

use serde::{Deserialize, Serialize};

/// A member of the cluster, as the member that was asked sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OtherMember {
    /// The number of `serve --node`.
    pub node: u64,
    /// Where the others reach it.
    pub address: String,
    /// `leader`, `voter`, `joining`, `leaving`, or `missing` if it is listed and has not joined.
    pub role: String,
    /// The newest entry that it has applied, if it answered.
    pub applied: Option<u64>,
    /// The version of its program, if it answered.
    pub version: Option<String>,
}

/// How a member is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its number.
    pub node: u64,
    /// The name of its cluster.
    pub cluster: Option<String>,
    /// Who leads, if it knows one that a majority follows.
    pub leader: Option<u64>,
    /// The term of the newest election.
    pub term: u64,
    /// The newest entry that it has applied.
    pub applied: u64,
    /// The version of its program.
    pub version: String,
    /// The fingerprint of its program's schema.
    pub schema: String,
    /// All members, this one included. Empty if only the member itself was asked about.
    pub members: Vec<OtherMember>,
}
