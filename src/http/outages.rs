//! One line in the log for a failure that many requests meet.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A failure that no request has met for this long is over.
const QUIET: Duration = Duration::from_secs(10);

/// When a request last met each failure. The codes of responses are few.
static LAST: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());

/// Logs that requests are answered with a status and a code, once while that goes on.
pub(super) fn log(status: u16, code: &str, reason: &str) {
    let now = Instant::now();
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).insert(code.to_owned(), now);
    if last.is_none_or(|last| now.duration_since(last) > QUIET) {
        tracing::warn!(status, code, reason, "requests are refused");
    }
}
