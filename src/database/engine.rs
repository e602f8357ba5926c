//! Who carries writes out: the writer of this process, the cluster that this process is a member of, or the member that
//! serves the file of a command.

#[cfg(feature = "cluster")]
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use super::WriteError;
use super::activity::WriterActivity;
use super::job::Job;
#[cfg(feature = "cluster")]
use super::replica::{Replica, rehearse};
use super::writer::Writer;
#[cfg(feature = "cluster")]
use crate::cluster::{LocalMember, Member};

/// See the module.
pub(super) enum Engine {
    Alone(Arc<Writer>),
    #[cfg(feature = "cluster")]
    Member {
        member: Member,
        replica: Arc<Replica>,
    },
    /// A command's, for the member of the file at a path. The second is idle.
    #[cfg(feature = "cluster")]
    Remote(PathBuf, WriterActivity),
}

impl Engine {
    /// Queues `job`. A command carries it out at once.
    ///
    /// # Errors
    /// If the database is closed, or the file of a member cannot be read.
    pub(super) fn send(&self, job: Job) -> Result<(), WriteError> {
        match self {
            Self::Alone(writer) => writer.send(job),
            #[cfg(feature = "cluster")]
            Self::Member { member, .. } => member.send(job),
            #[cfg(feature = "cluster")]
            Self::Remote(path, _) => {
                if job.write().is_of_admin() {
                    rehearse(path, job.write())?;
                }
                match LocalMember::of(path).write(job.write()) {
                    Ok(outcome) => job.finish_with(outcome),
                    Err(error) => job.finish(Err(error)),
                }
                Ok(())
            }
        }
    }

    /// The error of a write that does not begin in time.
    pub(super) fn late(&self) -> WriteError {
        match self {
            Self::Alone(_) => WriteError::Busy,
            #[cfg(feature = "cluster")]
            Self::Member { .. } | Self::Remote(..) => WriteError::NoLeader,
        }
    }

    pub(super) fn activity(&self) -> &WriterActivity {
        match self {
            Self::Alone(writer) => writer.activity(),
            #[cfg(feature = "cluster")]
            Self::Member { replica, .. } => replica.activity(),
            #[cfg(feature = "cluster")]
            Self::Remote(_, activity) => activity,
        }
    }

    /// Sends a hint to `hint` after each commit from now on.
    pub(super) fn set_commit_hint(&self, hint: SyncSender<()>) {
        match self {
            Self::Alone(writer) => writer.set_commit_hint(hint),
            #[cfg(feature = "cluster")]
            Self::Member { replica, .. } => replica.set_commit_hint(hint),
            #[cfg(feature = "cluster")]
            Self::Remote(..) => {}
        }
    }

    /// From now on a write fails instead of waiting for another program's lock.
    pub(super) fn stop_waiting_for_locks(&self) {
        match self {
            Self::Alone(writer) => writer.stop_waiting_for_locks(),
            // It waits for the leader, and no longer than a write may.
            #[cfg(feature = "cluster")]
            Self::Member { .. } | Self::Remote(..) => {}
        }
    }

    /// Finishes the queued writes, and returns.
    pub(super) fn close(&self) {
        match self {
            Self::Alone(writer) => writer.close(),
            #[cfg(feature = "cluster")]
            Self::Member { member, replica } => {
                member.close();
                replica.close();
            }
            #[cfg(feature = "cluster")]
            Self::Remote(..) => {}
        }
    }
}
