//! What is left of a request's body when the answer is ready.
//!
//! A refusal often comes before the body is read: without a session, or when the body is too large. Closing the connection
//! while the client still sends resets it, and the client sees a broken pipe instead of the answer; so what is left is taken
//! in first, and thrown away. It is bounded, because nobody has to be polite for ever. See RFC 9112, section 9.6.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// More than this is not taken in; it is four times the largest chunk that the settings allow.
const DISCARDED_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A client that sends nothing for so long waits for the answer.
const PAUSE: Duration = Duration::from_secs(1);

/// A client that sends little by little is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(5);

struct State {
    body: Incoming,
    asked_for: bool,
}

/// A body that its handler and [`Leftover`] share.
pub(super) struct SharedBody(Arc<Mutex<State>>);

/// The other handle of a body, for when the handler is done.
pub(super) struct Leftover {
    state: Arc<Mutex<State>>,
    expects_continue: bool,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shares `body`; `expects_continue` says that the client sends nothing before it is told to (RFC 9110, section 10.1.1).
pub(super) fn share(body: Incoming, expects_continue: bool) -> (SharedBody, Leftover) {
    let state = Arc::new(Mutex::new(State { body, asked_for: false }));
    let leftover = Leftover { state: Arc::clone(&state), expects_continue };
    (SharedBody(state), leftover)
}

impl Leftover {
    /// Takes in what the handler has not.
    pub(super) async fn discard(self) {
        {
            let State { body, asked_for } = &*lock(&self.state);
            let never_sent = self.expects_continue && !asked_for;
            if never_sent || body.is_end_stream() || body.size_hint().lower() > DISCARDED_MAX_BYTES {
                return;
            }
        }
        let discarding = async {
            let mut discarded = 0;
            while discarded <= DISCARDED_MAX_BYTES {
                let next = poll_fn(|context| Pin::new(&mut lock(&self.state).body).poll_frame(context));
                let Ok(Some(Ok(frame))) = tokio::time::timeout(PAUSE, next).await else {
                    return;
                };
                discarded += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
        };
        // Whoever is not done by then gets the answer all the same.
        let _ = tokio::time::timeout(PATIENCE, discarding).await;
    }
}

impl Body for SharedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut state = lock(&self.0);
        state.asked_for = true;
        Pin::new(&mut state.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.0).body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.0).body.size_hint()
    }
}
