//! A hint after each commit of this process.

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};

/// The receiver of hints, if there is one. Cloning is cheap and shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct CommitHint(Arc<Mutex<Option<SyncSender<()>>>>);

impl CommitHint {
    /// Sends a hint to `receiver` after each commit from now on.
    pub(super) fn set(&self, receiver: SyncSender<()>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(receiver);
    }

    /// Wakes the receiver. A hint that is still in the channel covers this commit, too.
    pub(super) fn send(&self) {
        if let Some(receiver) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = receiver.try_send(());
        }
    }
}
