//! The subscribers, and the thread that reads the event log for them.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver as Hints, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tracing::Level;

use super::messages::{Event, Message, Renderer, newest_event};
use crate::database::{Database, ReadError, Snapshot, Watcher, Write, text};
use crate::last_error::LastError;
use crate::statements;

/// Commits of other programs are noticed within this time. Our own writer sends a hint.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How often subscribers are noted as present on the calls that they name. The database stores it more rarely.
const PRESENCE_INTERVAL: Duration = Duration::from_secs(1);

/// The events read at a time. Signals of 64 KiB each take some megabytes.
const PAGE_MAX: i64 = 100;

/// The queue of a subscriber holds this many messages, and this many bytes or one message. When it is full, the
/// subscription ends, and the client resumes from the log.
const QUEUE_MAX: usize = 256;
const QUEUE_MAX_BYTES: usize = 512 * 1024;

/// Routes events to subscribers. Clones share the subscribers.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    subscribers: Mutex<Subscribers>,
    /// Changes after each commit.
    commits: watch::Sender<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Subscribers {
    by_username: HashMap<String, Vec<Subscriber>>,
    /// Users and ids of calls or shares that a subscription began to name, or lost, since the hub last looked.
    changed: HashSet<(String, String)>,
    next_key: u64,
    closed: bool,
}

impl Subscribers {
    /// The hash of the session's token of the newest subscription of `username` that names `id`.
    fn naming(&self, username: &str, id: &str) -> Option<&str> {
        let own = self.by_username.get(username)?;
        own.iter().rev().find(|subscriber| subscriber.names.iter().any(|name| name == id)).map(|it| &*it.token_hash)
    }

    fn note_change(&mut self, username: &str, names: &[String]) {
        self.changed.extend(names.iter().map(|id| (username.to_owned(), id.clone())));
    }
}

/// The hub's end of a subscription.
struct Subscriber {
    key: u64,
    names: Vec<String>,
    token_hash: String,
    queue: Sender<Arc<Message>>,
    /// The bytes in the queue.
    queued: Arc<AtomicUsize>,
}

impl Subscriber {
    /// Queues a message. Returns whether there was room for it.
    fn send(&self, message: &Arc<Message>) -> bool {
        let size = message.text.len();
        let before = self.queued.fetch_add(size, Ordering::Relaxed);
        let has_room = before == 0 || before + size <= QUEUE_MAX_BYTES;
        has_room && self.queue.try_send(Arc::clone(message)).is_ok()
    }
}

/// The client's end of a subscription. Dropping it unsubscribes: the client's connection was lost.
pub struct Subscription {
    username: String,
    names: Vec<String>,
    key: u64,
    hub: Hub,
    queue: Receiver<Arc<Message>>,
    queued: Arc<AtomicUsize>,
}

impl Subscription {
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
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut subscribers = self.hub.subscribers();
        subscribers.note_change(&self.username, &self.names);
        if let Some(own) = subscribers.by_username.get_mut(&self.username) {
            own.retain(|subscriber| subscriber.key != self.key);
            if own.is_empty() {
                subscribers.by_username.remove(&self.username);
            }
        }
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
        let last_event_id = database.read(newest_event)?;
        let failures = database.failures().clone();
        let last_command_id = database.read(newest_command)?;
        let hub_loop = HubLoop {
            hub: hub.clone(),
            database,
            watcher,
            last_event_id,
            last_command_id,
            last_logged_event_id: last_event_id,
            version: None,
            log_due: None,
        };
        let thread = thread::Builder::new()
            .name("push".to_owned())
            .spawn(move || failures.watch("push", || hub_loop.run(&hints)))
            .map_err(HubError::Thread)?;
        *hub.shared.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(hub)
    }

    /// Subscribes to the events that `username` may see, from now on and until the session of `token_hash` ends. The
    /// subscription proves the user's presence on each call that they are on, and each screen that they share, whose id
    /// is in `names`. `None` if the user has `limit` subscriptions. A limit of 0 is none.
    #[must_use]
    pub fn subscribe(
        &self,
        username: &str,
        token_hash: String,
        names: Vec<String>,
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
        if !subscribers.closed {
            subscribers.note_change(username, &names);
            let names = names.clone();
            let subscriber = Subscriber { key, names, token_hash, queue: sender, queued: Arc::clone(&queued) };
            subscribers.by_username.entry(username.to_owned()).or_default().push(subscriber);
        }
        Some(Subscription { username: username.to_owned(), names, key, hub: self.clone(), queue: receiver, queued })
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

    fn subscribers(&self) -> MutexGuard<'_, Subscribers> {
        self.shared.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id of the newest change by a command, 0 if there is none.
fn newest_command(snapshot: &Snapshot) -> Result<i64, ReadError> {
    let newest: Option<Option<i64>> = snapshot.row(&statements::NEWEST_COMMAND, [], |row| row.get(0))?;
    Ok(newest.flatten().unwrap_or(0))
}

struct HubLoop {
    hub: Hub,
    database: Database,
    watcher: Watcher,
    /// The newest event that was processed.
    last_event_id: i64,
    /// The newest change by a command that was logged.
    last_command_id: i64,
    /// The newest event when the begins and ends of calls were last logged.
    last_logged_event_id: i64,
    /// The version of the file at the last poll that succeeded.
    version: Option<i64>,
    /// When the commits since the last look are logged. `None` if there are none.
    log_due: Option<Instant>,
}

impl HubLoop {
    fn run(mut self, hints: &Hints<()>) {
        let mut presence_due = Instant::now() + PRESENCE_INTERVAL;
        // A failing disk gets one line, not twenty a second.
        let mut last_error = LastError::default();
        loop {
            let is_hinted = match hints.recv_timeout(POLL_INTERVAL) {
                Ok(()) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if self.hub.subscribers().closed {
                // What happened just before.
                let _ = self.log_changes();
                return;
            }
            let result = self.poll(is_hinted).and_then(|()| self.note_changes()).and_then(|()| {
                if self.log_due.is_some_and(|due| due <= Instant::now()) {
                    self.log_changes()?;
                }
                if Instant::now() < presence_due {
                    return Ok(());
                }
                presence_due = Instant::now() + PRESENCE_INTERVAL;
                self.note_presence()
            });
            // The next poll tries again; the events are still in the log. A replaced file ends the server, which says so.
            let error =
                result.err().filter(|error| !matches!(error, ReadError::Replaced(_))).map(|error| error.to_string());
            last_error.note(error, "cannot read the event log");
        }
    }

    /// Delivers the new events, if our own writer has committed, or the file has changed.
    fn poll(&mut self, is_hinted: bool) -> Result<(), ReadError> {
        let version = if is_hinted { None } else { Some(self.watcher.version()?) };
        if version.is_some() && self.version == version {
            return Ok(());
        }
        let database = self.database.clone();
        while database.read(|snapshot| self.deliver_page(snapshot))? {}
        self.hub.shared.commits.send_replace(());
        self.version = version.or(self.version);
        self.log_due.get_or_insert_with(|| Instant::now() + POLL_INTERVAL);
        Ok(())
    }

    /// Logs what commands and admins have changed, and which calls have begun and ended. It follows the delivery, and not
    /// each one: a signal would wait for it.
    fn log_changes(&mut self) -> Result<(), ReadError> {
        let database = self.database.clone();
        database.read(|snapshot| {
            self.log_commands(snapshot)?;
            self.log_calls(snapshot)
        })?;
        self.log_due = None;
        Ok(())
    }

    /// Logs what commands and admins have changed.
    fn log_commands(&mut self, snapshot: &Snapshot) -> Result<(), ReadError> {
        let changes = snapshot.rows(&statements::COMMANDS_AFTER, [&self.last_command_id], |row| {
            Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, Option<String>>(3)?))
        })?;
        for (id, change, subject, actor) in changes {
            tracing::info!("{} {change} {subject:?}", actor.as_deref().unwrap_or("a command"));
            self.last_command_id = id;
        }
        Ok(())
    }

    /// Logs the calls that began or ended, whoever did it.
    fn log_calls(&mut self, snapshot: &Snapshot) -> Result<(), ReadError> {
        if tracing::enabled!(Level::INFO) {
            let after = self.last_logged_event_id;
            let calls = snapshot.rows(&statements::CALLS_BEGUN_OR_ENDED, [&after], |row| {
                let has_begun: bool = row.get(0)?;
                let (call, channel, initiator): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
                Ok((
                    has_begun,
                    call,
                    channel,
                    initiator,
                    row.get::<_, Option<String>>(4)?,
                    row.get::<_, Option<f64>>(5)?,
                ))
            })?;
            for (has_begun, call, channel, initiator, reason, seconds) in calls {
                if has_begun {
                    tracing::info!(call, channel, initiator, "a call began");
                } else {
                    tracing::info!(call, channel, initiator, reason, seconds, "a call ended");
                }
            }
        }
        self.last_logged_event_id = newest_event(snapshot)?;
        Ok(())
    }

    /// Delivers a page of events. Returns whether there may be more events.
    fn deliver_page(&mut self, snapshot: &Snapshot) -> Result<bool, ReadError> {
        if self.hub.subscribers().by_username.is_empty() {
            // A later subscriber reads the log up to here itself.
            self.last_event_id = newest_event(snapshot)?;
            return Ok(false);
        }
        let events: Vec<(Event, bool)> =
            snapshot.rows(&statements::EVENTS_AFTER, [&self.last_event_id, &PAGE_MAX], |row| {
                Ok((Event::with_signal(row, 5)?, row.get(4)?))
            })?;
        if events.is_empty() {
            // A restored backup has a shorter log.
            self.last_event_id = self.last_event_id.min(newest_event(snapshot)?);
            return Ok(false);
        }
        let has_more = i64::try_from(events.len()) == Ok(PAGE_MAX);
        let mut renderer = Renderer::default();
        for (event, is_personal) in events {
            let id = event.id;
            let usernames = self.recipients(snapshot, &event, is_personal)?;
            self.deliver(snapshot, &mut renderer, event, &usernames)?;
            self.last_event_id = id;
        }
        Ok(has_more)
    }

    fn deliver(
        &self,
        snapshot: &Snapshot,
        renderer: &mut Renderer,
        event: Event,
        usernames: &[String],
    ) -> Result<(), ReadError> {
        if usernames.is_empty() {
            return Ok(());
        }
        if event.kind == "session_ended" {
            return self.close_ended_sessions(snapshot, usernames);
        }
        if let Some(message) = renderer.render(snapshot, event)? {
            self.send(usernames, &Arc::new(message));
        }
        Ok(())
    }

    /// The users who may see the event and have a subscription.
    fn recipients(&self, snapshot: &Snapshot, event: &Event, is_personal: bool) -> Result<Vec<String>, ReadError> {
        let mut usernames = match &event.username {
            Some(username) if is_personal => vec![username.clone()],
            _ if self.hub.subscribers().by_username.is_empty() => Vec::new(),
            _ => snapshot.rows(&statements::EVENT_RECIPIENTS, [&event.id], |row| row.get(0))?,
        };
        let subscribers = self.hub.subscribers();
        usernames.retain(|username| subscribers.by_username.contains_key(username));
        Ok(usernames)
    }

    fn send(&self, usernames: &[String], message: &Arc<Message>) {
        let mut subscribers = self.hub.subscribers();
        for username in usernames {
            if let Some(own) = subscribers.by_username.get_mut(username) {
                // Dropping a subscriber whose queue is full ends its subscription.
                own.retain(|subscriber| subscriber.send(message));
            }
        }
    }

    /// Ends the subscriptions of sessions that are over, and leaves the user's other sessions alone.
    fn close_ended_sessions(&self, snapshot: &Snapshot, usernames: &[String]) -> Result<(), ReadError> {
        let token_hashes: Vec<String> = {
            let subscribers = self.hub.subscribers();
            let own = usernames.iter().filter_map(|username| subscribers.by_username.get(username)).flatten();
            own.map(|subscriber| subscriber.token_hash.clone()).collect()
        };
        let mut ended = HashSet::new();
        for token_hash in token_hashes {
            if snapshot.row(&statements::FIND_SESSION, [&token_hash], |_| Ok(()))?.is_none() {
                ended.insert(token_hash);
            }
        }
        let mut subscribers = self.hub.subscribers();
        for username in usernames {
            if let Some(own) = subscribers.by_username.get_mut(username) {
                own.retain(|subscriber| !ended.contains(&subscriber.token_hash));
            }
        }
        Ok(())
    }

    /// Notes who has opened the first or closed the last subscription that names a call or share of theirs. Both come
    /// from this thread, so the database has them in order: a page that reloads faster than this does not depart.
    fn note_changes(&self) -> Result<(), ReadError> {
        let changed = std::mem::take(&mut self.hub.subscribers().changed);
        if changed.is_empty() {
            return Ok(());
        }
        let needed = |snapshot: &Snapshot| {
            let mut needed = Vec::new();
            for (username, id) in changed {
                if snapshot.row(&statements::NEEDS_PRESENCE, [&username, &id], |row| row.get(0))? == Some(true) {
                    needed.push((username, id));
                }
            }
            Ok::<_, ReadError>(needed)
        };
        let needed: Vec<(String, String)> = self.database.read(needed)?;
        let subscribers = self.hub.subscribers();
        let write = needed.into_iter().fold(Write::default(), |write, (username, id)| {
            let Some(token_hash) = subscribers.naming(&username, &id) else {
                return write.then(&statements::NOTE_CLOSED_STREAM, [text(username), text(id)]);
            };
            let token_hash = text(token_hash);
            write.then(&statements::NOTE_PRESENCE, [text(username), text(id), token_hash])
        });
        drop(subscribers);
        self.database.write_and_forget(write);
        Ok(())
    }

    /// Notes the presence that subscriptions prove. Without a call or share, this writes nothing.
    fn note_presence(&self) -> Result<(), ReadError> {
        let due: Vec<(String, String)> = self
            .database
            .read(|snapshot| snapshot.rows(&statements::PRESENCE_DUE, [], |row| Ok((row.get(0)?, row.get(1)?))))?;
        let subscribers = self.hub.subscribers();
        let write = due.into_iter().fold(Write::default(), |write, (username, id)| {
            let Some(token_hash) = subscribers.naming(&username, &id) else { return write };
            let token_hash = text(token_hash);
            write.then(&statements::NOTE_PRESENCE, [text(username), text(id), token_hash])
        });
        drop(subscribers);
        self.database.write_and_forget(write);
        Ok(())
    }
}
