//! A write in the writer's queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::apply::Outcome;
use super::write::{Write, WriteResult};
use super::{WRITE_DEADLINE, WriteError};

/// Whether a write has begun or has expired. The first to claim it decides which: the writer before it runs the write,
/// or the waiting side at the deadline. So no write is reported as not done and then carried out.
#[derive(Clone, Debug, Default)]
struct Claim(Arc<AtomicBool>);

impl Claim {
    /// True for the first caller alone.
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// A write in the queue.
pub(crate) struct Job {
    pub(super) write: Arc<Write>,
    deadline: Instant,
    claim: Claim,
    result: oneshot::Sender<Result<WriteResult, WriteError>>,
}

/// The waiting side of a [`Job`].
pub(super) struct Pending {
    deadline: Instant,
    /// The error if the write does not begin in time.
    late: WriteError,
    claim: Claim,
    result: oneshot::Receiver<Result<WriteResult, WriteError>>,
}

impl Job {
    /// A write that fails with `late` if it does not begin within [`WRITE_DEADLINE`].
    pub(super) fn new(write: Write, late: WriteError) -> (Self, Pending) {
        Self::with_deadline(write, late, Instant::now() + WRITE_DEADLINE)
    }

    fn with_deadline(write: Write, late: WriteError, deadline: Instant) -> (Self, Pending) {
        let (sender, receiver) = oneshot::channel();
        let claim = Claim::default();
        let pending = Pending { deadline, late, claim: claim.clone(), result: receiver };
        (Self { write: Arc::new(write), deadline, claim, result: sender }, pending)
    }

    /// The write.
    #[cfg(feature = "cluster")]
    pub(crate) fn write(&self) -> &Arc<Write> {
        &self.write
    }

    /// When it expires.
    #[cfg(feature = "cluster")]
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Claims the write for the writer; false if it has expired.
    pub(crate) fn claim(&self) -> bool {
        self.claim.take()
    }

    /// Whether the deadline has passed.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.deadline <= now
    }

    /// Reports what the write came to.
    pub(crate) fn finish_with(self, outcome: Outcome) {
        let result = self.write.result(outcome);
        self.finish(result);
    }

    /// Reports the result.
    pub(crate) fn finish(self, result: Result<WriteResult, WriteError>) {
        // It fails only if nothing waits any more.
        let _ = self.result.send(result);
    }
}

impl Pending {
    /// Waits for the result. It is the error for a late write if this one has not begun at its deadline. A write that has
    /// begun is waited for, however long it takes.
    pub(super) async fn wait(mut self) -> Result<WriteResult, WriteError> {
        let result = match timeout_at(self.deadline.into(), &mut self.result).await {
            Ok(result) => result,
            Err(_) if self.claim.take() => return Err(self.late),
            Err(_) => self.result.await,
        };
        result.unwrap_or(Err(WriteError::Closed))
    }

    /// [`Pending::wait`] for a caller without an async runtime. Only the writer checks the deadline, which is enough
    /// for a command: no other write is queued before it.
    pub(super) fn wait_blocking(self) -> Result<WriteResult, WriteError> {
        self.result.blocking_recv().unwrap_or(Err(WriteError::Closed))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Job, Write, WriteError, WriteResult};

    #[tokio::test]
    async fn expired_write_never_begins() {
        let (job, pending) = Job::with_deadline(Write::default(), WriteError::Busy, Instant::now());
        assert!(matches!(pending.wait().await, Err(WriteError::Busy)));
        assert!(!job.claim());
    }

    #[tokio::test]
    async fn begun_write_never_expires() {
        let (job, pending) = Job::with_deadline(Write::default(), WriteError::Busy, Instant::now());
        assert!(job.claim());
        let waiting = tokio::spawn(pending.wait());
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!waiting.is_finished(), "the deadline has passed, and the write is still under way");
        job.finish(Ok(WriteResult::default()));
        assert!(waiting.await.unwrap().is_ok());
    }
}
