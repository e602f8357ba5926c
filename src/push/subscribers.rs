//! The open subscriptions, and who is online by them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;

use super::messages::Message;
use super::presences::{Audience, Changes, Presences};

/// The queue of a subscriber holds this many bytes, or one message. When it is full, the subscription ends, and the client
/// resumes from the log.
const QUEUE_MAX_BYTES: usize = 512 * 1024;

#[derive(Default)]
pub(super) struct Subscribers {
    pub(super) by_username: HashMap<String, Vec<Subscriber>>,
    /// Users and ids of calls or shares that a subscription began to name, or lost, since the hub last looked.
    pub(super) changed: HashSet<(String, String)>,
    /// Users without a subscription who had one, or polled, a short time ago.
    recent: HashMap<String, Trace>,
    pub(super) presences: Presences,
    pub(super) next_key: u64,
    pub(super) closed: bool,
}

/// What is left of a user's last subscription.
pub(super) struct Trace {
    at: Instant,
    /// It was a poll: its client keeps no stream open, and polls again.
    is_poll: bool,
}

impl Subscribers {
    /// The hash of the session's token of the newest subscription of `username` that names `id`.
    pub(super) fn naming(&self, username: &str, id: &str) -> Option<&str> {
        let own = self.by_username.get(username)?;
        own.iter().rev().find(|subscriber| subscriber.names.iter().any(|name| name == id)).map(|it| &*it.token_hash)
    }

    pub(super) fn note_change(&mut self, username: &str, names: &[String]) {
        self.changed.extend(names.iter().map(|id| (username.to_owned(), id.clone())));
    }

    /// Removes the subscription of `username` with this key. One that the hub has ended is removed already.
    pub(super) fn remove(&mut self, username: &str, key: u64, is_poll: bool) {
        let Some(own) = self.by_username.get_mut(username) else { return };
        let open = own.len();
        own.retain(|subscriber| subscriber.key != key);
        if own.len() < open {
            self.recent.insert(username.to_owned(), Trace { at: Instant::now(), is_poll });
        }
        if self.by_username.get(username).is_some_and(Vec::is_empty) {
            self.by_username.remove(username);
        }
    }

    /// Notes a request of a client that polls. One with an event stream is online by it.
    pub(super) fn note_poll(&mut self, username: &str) {
        if !self.by_username.contains_key(username) {
            self.recent.insert(username.to_owned(), Trace { at: Instant::now(), is_poll: true });
        }
    }

    /// Queues a message for these users.
    pub(super) fn send(&mut self, usernames: &[String], message: &Arc<Message>) {
        self.send_to(usernames, |_| Some(Arc::clone(message)));
    }

    /// Queues a message for the event streams of these users, except guests.
    pub(super) fn send_to_streams(&mut self, usernames: &HashSet<String>, message: &Arc<Message>) {
        self.send_to(usernames, |subscriber| subscriber.audience.is_some().then(|| Arc::clone(message)));
    }

    fn send_to<'a>(
        &mut self,
        usernames: impl IntoIterator<Item = &'a String>,
        message: impl Fn(&Subscriber) -> Option<Arc<Message>>,
    ) {
        for username in usernames {
            if let Some(own) = self.by_username.get_mut(username)
                && !deliver(own, &message)
            {
                self.recent.insert(username.clone(), Trace { at: Instant::now(), is_poll: false });
            }
        }
    }

    /// The number of event streams of these users, except guests.
    pub(super) fn streams(&self, usernames: &HashSet<String>) -> usize {
        let own = usernames.iter().filter_map(|username| self.by_username.get(username)).flatten();
        own.filter(|subscriber| subscriber.audience.is_some()).count()
    }

    /// The users who are online: those with a subscription, with a lost one for `gone_after`, and those who have polled
    /// for `presence_timeout`.
    pub(super) fn online(&mut self, gone_after: Duration, presence_timeout: Duration) -> Vec<String> {
        self.recent
            .retain(|_, Trace { at, is_poll }| at.elapsed() < if *is_poll { presence_timeout } else { gone_after });
        let subscribed = self.by_username.iter().filter(|(_, own)| !own.is_empty()).map(|(username, _)| username);
        subscribed.chain(self.recent.keys()).cloned().collect()
    }

    /// Sends each event stream what has changed among the people that its user sees.
    pub(super) fn send_presences(&mut self, changes: &Changes) {
        let mut messages: HashMap<Audience, Option<Arc<Message>>> = HashMap::new();
        for subscriber in self.by_username.values().flatten() {
            if let Some(audience) = &subscriber.audience
                && !messages.contains_key(audience)
            {
                messages.insert(audience.clone(), changes.message(audience));
            }
        }
        for (username, own) in &mut self.by_username {
            if !deliver(own, |subscriber| messages.get(subscriber.audience.as_ref()?)?.clone()) {
                self.recent.insert(username.clone(), Trace { at: Instant::now(), is_poll: false });
            }
        }
    }
}

/// Queues a message for each of these subscribers. One without room for it is dropped, which ends the subscription. Returns
/// whether all are left.
fn deliver(own: &mut Vec<Subscriber>, message: impl Fn(&Subscriber) -> Option<Arc<Message>>) -> bool {
    let open = own.len();
    own.retain(|subscriber| message(subscriber).is_none_or(|message| subscriber.send(&message)));
    own.len() == open
}

/// The hub's end of a subscription.
pub(super) struct Subscriber {
    pub(super) key: u64,
    pub(super) names: Vec<String>,
    pub(super) token_hash: String,
    /// Whose presences an event stream has. `None` for a guest's stream, and for a long poll.
    pub(super) audience: Option<Audience>,
    pub(super) queue: Sender<Arc<Message>>,
    /// The bytes in the queue.
    pub(super) queued: Arc<AtomicUsize>,
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
