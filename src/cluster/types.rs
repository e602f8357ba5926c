//! The types that openraft is configured with, and their bytes.

use std::sync::Arc;

use openraft::{BasicNode, ErrorSubject, ErrorVerb, StorageError, StorageIOError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::copies::CopiedFile;
use crate::database::{Group, Outcome};

openraft::declare_raft_types!(
    /// An entry is a group of writes, and its result the outcome of each.
    pub(crate) Types: D = Arc<Group>, R = Vec<Outcome>, NodeId = u64, Node = BasicNode, SnapshotData = FileCopy
);

pub(crate) type Raft = openraft::Raft<Types>;
pub(super) type Entry = openraft::Entry<Types>;
pub(super) type LogId = openraft::LogId<u64>;
pub(super) type StoredMembership = openraft::StoredMembership<u64, BasicNode>;
pub(super) type SnapshotMeta = openraft::SnapshotMeta<u64, BasicNode>;
pub(super) type Failed = StorageError<u64>;

/// A copy of a member's file. Only one that was received has content: the leader makes its copy when it sends it.
#[derive(Debug)]
pub(crate) struct FileCopy {
    pub(super) received: Option<CopiedFile>,
}

/// What openraft is to know of a failed disk. It stops then, and the process ends.
pub(super) fn failed(
    error: &(impl std::error::Error + 'static),
    subject: ErrorSubject<u64>,
    verb: ErrorVerb,
) -> Failed {
    StorageError::IO { source: StorageIOError::new(subject, verb, openraft::AnyError::new(error)) }
}

/// The bytes of a value, on the disk and between members.
///
/// # Errors
/// If a type cannot be encoded, which is a defect.
pub(super) fn encode(value: &impl Serialize) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_stdvec(value)
}

/// [`encode`] behind the bytes of `before`.
///
/// # Errors
/// As [`encode`].
pub(super) fn encode_after(before: Vec<u8>, value: &impl Serialize) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(value, before)
}

/// The value of [`encode`]d bytes.
///
/// # Errors
/// If they are of another type or version.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, postcard::Error> {
    postcard::from_bytes(bytes)
}
