//! Subscriptions to events.

use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver as Hints;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::watch;

use super::hub_loop::HubLoop;
use super::messages::Message;
use super::presences::Audience;
use super::subscribers::{Subscriber, Subscribers};
use crate::database::{Database, ReadError, Watcher};

/// The queue of a subscriber holds this many messages. When it is full, the subscription ends, and the client resumes from
/// the log.
const QUEUE_MAX: usize = 256;

/// Routes events to subscribers. Clones share the subscribers.
#[derive(Clone)]
pub struct Hub {
    pub(super) shared: Arc<Shared>,
}

#[derive(Default)]
pub(super) struct Shared {
    subscribers: Mutex<Subscribers>,
    /// Changes after each commit.
    pub(super) commits: watch::Sender<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The client's end of a subscription. Dropping it unsubscribes: the client's connection was lost.
pub struct Subscription {
    username: String,
    names: Vec<String>,
    key: u64,
    hub: Hub,
    presences: Option<Arc<Message>>,
    is_answered_poll: bool,
    queue: Receiver<Arc<Message>>,
    queued: Arc<AtomicUsize>,
}

impl Subscription {
    /// The presences of all people that the subscriber sees. Messages have what changes after them. `None` if they are taken,
    /// or the subscription was without an audience.
    pub fn take_presences(&mut self) -> Option<Arc<Message>> {
        self.presences.take()
    }

    /// The next message. `None` if the session has ended, the server is stopping, or the queue was full.
    pub async fn next(&mut self) -> Option<Arc<Message>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// Polls for the next message; see [`Subscription::next`].
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Arc<Message>>> {
        let message = ready!(self.queue.poll_recv(context));
        if let Some(message) = &message {
            self.queued.fetch_sub(message.text.len(), Ordering::Relaxed);
        }
        Poll::Ready(message)
    }

    /// The subscriber.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Unsubscribes a long poll that is answered. Its client is present until it polls again, or for `presence_timeout`.
    pub fn finish(mut self) {
        self.names.clear();
        self.is_answered_poll = true;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut subscribers = self.hub.subscribers();
        subscribers.note_change(&self.username, &self.names);
        subscribers.remove(&self.username, self.key, self.is_answered_poll);
    }
}

/// Why the hub cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The system starts no more threads.
    #[error("cannot start the push thread: {0}")]
    Thread(#[source] io::Error),
}

impl Hub {
    /// Starts the thread, which reads the events that `database` gets from now on. `hints` receives a hint when our own
    /// writer has committed. A panic of the thread is a fatal failure of `database`: a server whose clients get no more
    /// events has to stop, so that its supervisor restarts it.
    ///
    /// # Errors
    /// If the file cannot be read, or no thread can be started.
    pub fn start(database: Database, watcher: Watcher, hints: Hints<()>) -> Result<Self, HubError> {
        let hub = Self { shared: Arc::default() };
        let failures = database.failures().clone();
        let hub_loop = HubLoop::new(hub.clone(), database, watcher)?;
        let thread = thread::Builder::new()
            .name("push".to_owned())
            .spawn(move || failures.watch("push", || hub_loop.run(&hints)))
            .map_err(HubError::Thread)?;
        *hub.shared.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(hub)
    }

    /// Subscribes to the events that `username` may see, from now on and until the session of `token_hash` ends. The
    /// subscription proves the user's presence on each call that they are on, and each screen that they share, whose id
    /// is in `names`. With an `audience`, it also has the presences of people, and changes of the directory. `None` if the
    /// user has `limit` subscriptions. A limit of 0 is none.
    #[must_use]
    pub fn subscribe(
        &self,
        username: &str,
        token_hash: String,
        names: Vec<String>,
        audience: Option<Audience>,
        limit: usize,
    ) -> Option<Subscription> {
        let (sender, receiver) = channel(QUEUE_MAX);
        let queued = Arc::<AtomicUsize>::default();
        let mut subscribers = self.subscribers();
        let open = subscribers.by_username.get(username).map_or(0, Vec::len);
        if limit > 0 && open >= limit {
            return None;
        }
        let key = subscribers.next_key;
        subscribers.next_key += 1;
        let presences = audience.as_ref().map(|audience| subscribers.presences.complete(audience));
        if !subscribers.closed {
            subscribers.note_change(username, &names);
            let names = names.clone();
            let subscriber =
                Subscriber { key, names, token_hash, audience, queue: sender, queued: Arc::clone(&queued) };
            subscribers.by_username.entry(username.to_owned()).or_default().push(subscriber);
        }
        Some(Subscription {
            username: username.to_owned(),
            names,
            key,
            hub: self.clone(),
            presences,
            is_answered_poll: false,
            queue: receiver,
            queued,
        })
    }

    /// Notes that a client of `username` polls, which shows that they are online.
    pub fn note_poll(&self, username: &str) {
        self.subscribers().note_poll(username);
    }

    /// Changes after commits of any program: at once after our own, within 50 ms after others.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<()> {
        self.shared.commits.subscribe()
    }

    /// Ends all subscriptions. Later ones end at once.
    pub fn close(&self) {
        let mut subscribers = self.subscribers();
        subscribers.closed = true;
        subscribers.by_username.clear();
    }

    /// Closes the hub, and returns when its thread has released the file.
    pub fn stop(&self) {
        self.close();
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It cannot fail: the thread catches its panics and reports them.
            let _ = thread.join();
        }
    }

    /// The number of open subscriptions.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.subscribers().by_username.values().map(Vec::len).sum()
    }

    pub(super) fn subscribers(&self) -> MutexGuard<'_, Subscribers> {
        self.shared.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
