//! The file of a member without its cluster: what the groups of a log leave in it.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::apply::SweepRefusal;
use super::group::{Applied, Group};
use super::guards::found;
use super::open::open_connection;
use super::replica::{apply_groups, refuse_what_differs};
use super::write::WriteResult;
use super::{Database, OpenError, OpenProblem, WriteError};

/// The file of a member, for tests that decide the log themselves.
#[derive(Debug)]
pub struct MemberFile {
    connection: Connection,
    refusal: SweepRefusal,
}

impl MemberFile {
    /// Makes the file at `path`, which is created if it does not exist, that of a member.
    ///
    /// # Errors
    /// As those of [`Database::open`].
    pub fn found(path: &Path) -> Result<(), OpenError> {
        Database::open(path)?.close();
        let found = || {
            let connection = open_connection(path)?;
            let transaction = Transaction::new_unchecked(&connection, TransactionBehavior::Immediate)?;
            found(&transaction, "a log of its own", 0.0, &Vec::new())?;
            Ok(transaction.commit()?)
        };
        found().map_err(|problem: OpenProblem| problem.at(path))
    }

    /// Opens the file of a member at `path`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let open = || {
            let connection = open_connection(path)?;
            refuse_what_differs(&connection)?;
            Ok(Self { connection, refusal: SweepRefusal::default() })
        };
        open().map_err(|problem: OpenProblem| problem.at(path))
    }

    /// Applies `groups` in one transaction, as a member does that gets several entries of the log at a time. Returns what each
    /// write of each group comes to.
    ///
    /// # Errors
    /// The machine's, such as [`WriteError::Full`]. Then nothing is stored.
    pub fn apply(&mut self, groups: &[Arc<Group>]) -> Result<Vec<Vec<Result<WriteResult, WriteError>>>, WriteError> {
        let entries: Vec<_> = groups.iter().cloned().map(Some).collect();
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let applied = Applied { log_id: None, membership: None };
        let outcomes = apply_groups(&transaction, &entries, &applied, &mut self.refusal)?;
        transaction.commit()?;
        let results = |(group, outcomes): (&Arc<Group>, Vec<_>)| {
            group.writes.iter().zip(outcomes).map(|(write, outcome)| write.result(outcome)).collect()
        };
        Ok(groups.iter().zip(outcomes).map(results).collect())
    }
}
