//! Failures that end the process.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use thiserror::Error;
use tokio::sync::watch;

use super::error::plain_message;
use super::files::Replaced;

/// Why the process must end.
#[derive(Clone, Debug, Error)]
pub enum Fatal {
    /// A background thread panicked. The server would look alive without it.
    #[error("the {thread} thread panicked: {message}")]
    Panic {
        /// The thread's name.
        thread: &'static str,
        /// The panic's message.
        message: String,
    },
    /// fsync(2) failed. The next start recovers from the write-ahead log, which has every synced write.
    #[error("the disk could not sync the database file: {0}; the next start recovers from the write-ahead log")]
    SyncFailed(String),
    /// A member of a cluster cannot store what the others store, or its part in the log has failed.
    #[error("this member of the cluster has failed: {0}; the others continue, and a restart may help")]
    MemberFailed(String),
    /// A file of the database was moved, deleted or replaced. Writes to the open one would be lost.
    #[error("{0}; the server has stopped, and answered no write since")]
    Replaced(#[from] Replaced),
}

impl From<rusqlite::Error> for Fatal {
    /// The caller has made sure that an fsync failed.
    fn from(error: rusqlite::Error) -> Self {
        Self::SyncFailed(plain_message(&error))
    }
}

/// Carries the first fatal failure of a background thread to the command that runs the server, which decides the exit
/// status. Cloning is cheap and shares it.
#[derive(Clone, Debug)]
pub struct Failures(watch::Sender<Option<Fatal>>);

impl Default for Failures {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Failures {
    /// Reports `fatal`, unless there was a failure before. The command prints it when it ends.
    pub fn report(&self, fatal: Fatal) {
        self.0.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(fatal);
            is_first
        });
    }

    /// The first failure, if there was one.
    #[must_use]
    pub fn get(&self) -> Option<Fatal> {
        self.0.borrow().clone()
    }

    /// Waits for the first failure.
    pub async fn first(&self) -> Fatal {
        match self.0.subscribe().wait_for(Option::is_some).await.as_deref() {
            Ok(Some(fatal)) => fatal.clone(),
            // `self` holds the sender, so the channel stays open.
            _ => std::future::pending().await,
        }
    }

    /// Runs the body of the background thread `thread` and reports its panic.
    pub fn watch(&self, thread: &'static str, body: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
            self.report(Fatal::Panic { thread, message: panic_message(panic.as_ref()) });
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied();
    message.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::{Failures, Fatal};

    #[tokio::test]
    async fn a_panic_of_a_thread_is_reported() {
        let failures = Failures::default();
        let watching = failures.clone();
        let thread = std::thread::spawn(move || watching.watch("push", || panic!("on purpose")));
        let fatal = timeout(Duration::from_secs(10), failures.first()).await.unwrap();
        assert!(matches!(fatal, Fatal::Panic { thread: "push", message } if message == "on purpose"));
        assert!(thread.join().is_ok());
    }

    #[test]
    fn a_thread_that_returns_is_no_failure() {
        let failures = Failures::default();
        failures.watch("push", || {});
        assert!(failures.get().is_none());
    }
}
