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
pub(super) struct Job {
    pub(super) write: Write,
    deadline: Instant,
    claim: Claim,
    result: oneshot::Sender<Result<WriteResult, WriteError>>,
}

/// The waiting side of a [`Job`].
pub(super) struct Pending {
    deadline: Instant,
    claim: Claim,
    result: oneshot::Receiver<Result<WriteResult, WriteError>>,
}

impl Job {
    pub(super) fn new(write: Write) -> (Self, Pending) {
        Self::with_deadline(write, Instant::now() + WRITE_DEADLINE)
    }

    fn with_deadline(write: Write, deadline: Instant) -> (Self, Pending) {
        let (sender, receiver) = oneshot::channel();
        let claim = Claim::default();
        let pending = Pending { deadline, claim: claim.clone(), result: receiver };
        (Self { write, deadline, claim, result: sender }, pending)
    }

    /// Claims the write for the writer; false if it has expired.
    pub(super) fn claim(&self) -> bool {
        self.claim.take()
    }

    /// Whether the deadline has passed.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.deadline <= now
    }

    /// Reports what the write came to.
    pub(super) fn finish_with(self, outcome: Outcome) {
        let result = self.write.result(outcome);
        self.finish(result);
    }

    /// Reports the result.
    pub(super) fn finish(self, result: Result<WriteResult, WriteError>) {
        // It fails only if nothing waits any more.
        let _ = self.result.send(result);
    }
}

impl Pending {
    /// Waits for the result. It is [`WriteError::Busy`] if the write has not begun at its deadline. A write that has
    /// begun is waited for, however long it takes.
    pub(super) async fn wait(mut self) -> Result<WriteResult, WriteError> {
        let result = match timeout_at(self.deadline.into(), &mut self.result).await {
            Ok(result) => result,
            Err(_) if self.claim.take() => return Err(WriteError::Busy),
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
        let (job, pending) = Job::with_deadline(Write::default(), Instant::now());
        assert!(matches!(pending.wait().await, Err(WriteError::Busy)));
        assert!(!job.claim());
    }

    #[tokio::test]
    async fn begun_write_never_expires() {
        let (job, pending) = Job::with_deadline(Write::default(), Instant::now());
        assert!(job.claim());
        let waiting = tokio::spawn(pending.wait());
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!waiting.is_finished(), "the deadline has passed, and the write is still under way");
        job.finish(Ok(WriteResult::default()));
        assert!(waiting.await.unwrap().is_ok());
    }
}
