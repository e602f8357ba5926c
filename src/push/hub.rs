//! Who listens, and the thread that tells them.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver as Hints, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::messages::{Event, Message, Teller};
use crate::database::{Database, ReadError, Value, Watcher, Write};
use crate::statements;

/// Changes by other programs are noticed this often; our own are told at once.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// How often listeners on a call are noted as being there. The database writes it down more rarely.
const PRESENCE_INTERVAL: Duration = Duration::from_secs(1);

/// An idle stream hears a comment this often, in seconds: it keeps proxies from closing it, and finds out who is gone.
const STILL_HERE_SECONDS: u64 = 15;

/// So many messages wait for a slow listener; then it is cut off, and can resume from the log.
const WAITING_MAX: usize = 256;

/// Why somebody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be told everything, which also proves that they are there.
    Stream,
    /// To learn when to look at a call's state, which proves it, too.
    State,
    /// To learn when to look at something else.
    Other,
}

/// All who listen. Cloning is cheap and shares them.
#[derive(Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    listening: Mutex<Listening>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Listening {
    by_name: HashMap<String, Vec<Ear>>,
    next_key: u64,
    closed: bool,
}

/// Our end of a listener.
struct Ear {
    key: u64,
    purpose: Purpose,
    token_hash: String,
    sender: Sender<Heard>,
}

/// What a listener hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// Something has happened.
    Message(Arc<Message>),
    /// Nothing has, for a while, and the stream is still there.
    StillHere,
}

/// Somebody who listens, until this is dropped.
pub struct Listener {
    name: String,
    key: u64,
    hub: Hub,
    heard: Receiver<Heard>,
}

impl Listener {
    /// What is heard next; `None` when the session has ended, the server stops, or this listener was too slow. With
    /// [`Purpose::Stream`] there is something every fifteen seconds, with the others only messages.
    pub async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut listening = self.hub.listening();
        if let Some(ears) = listening.by_name.get_mut(&self.name) {
            ears.retain(|ear| ear.key != self.key);
            if ears.is_empty() {
                listening.by_name.remove(&self.name);
            }
        }
    }
}

impl Hub {
    /// Starts the thread that reads the event log of `database` from now on. `hints` says when our own writer has committed.
    ///
    /// # Errors
    /// When the file cannot be read, or there can be no more threads.
    pub fn start(database: Database, watcher: Watcher, hints: Hints<()>) -> Result<Self, Box<dyn std::error::Error>> {
        let hub = Self { inner: Arc::new(Inner { listening: Mutex::default(), thread: Mutex::default() }) };
        let told = database.read(newest_event)?;
        let teller = Thread { hub: hub.clone(), database, watcher, told, version: None, silences: 0 };
        let thread = thread::Builder::new().name("push".to_owned()).spawn(move || teller.run(&hints))?;
        *hub.inner.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(hub)
    }

    /// Listens to what `name` may see, with the session of `token_hash`, from now on.
    #[must_use]
    pub fn listen(&self, name: &str, token_hash: String, purpose: Purpose) -> Listener {
        let (sender, heard) = channel(WAITING_MAX);
        let mut listening = self.listening();
        let key = listening.next_key;
        listening.next_key += 1;
        if !listening.closed {
            listening.by_name.entry(name.to_owned()).or_default().push(Ear { key, purpose, token_hash, sender });
        }
        Listener { name: name.to_owned(), key, hub: self.clone(), heard }
    }

    /// Ends all streams and waits, now and from now on.
    pub fn close(&self) {
        let mut listening = self.listening();
        listening.closed = true;
        listening.by_name.clear();
    }

    /// Closes, and returns when the thread has let go of the file.
    pub fn stop(&self) {
        self.close();
        let thread = self.inner.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of it ended push alone, and was told then.
            let _ = thread.join();
        }
    }

    fn listening(&self) -> MutexGuard<'_, Listening> {
        self.inner.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn newest_event(snapshot: &crate::database::Snapshot) -> Result<i64, ReadError> {
    Ok(snapshot.row(&statements::NEWEST_EVENT, [], |row| row.get(0))?.unwrap_or(0))
}

struct Thread {
    hub: Hub,
    database: Database,
    watcher: Watcher,
    /// The newest event that was told.
    told: i64,
    /// The version of the file when it was last looked at.
    version: Option<i64>,
    /// How often some of the streams were told that they are still there.
    silences: u64,
}

impl Thread {
    fn run(mut self, hints: &Hints<()>) {
        let mut presence = Instant::now() + PRESENCE_INTERVAL;
        let mut silence = Instant::now() + Duration::from_secs(1);
        // A disk that fails for long needs one line, not twenty a second.
        let mut said = None;
        loop {
            match hints.recv_timeout(LOOK_INTERVAL) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.hub.listening().closed {
                return;
            }
            if Instant::now() >= silence {
                silence += Duration::from_secs(1);
                self.break_silence();
            }
            let looked = self.look().and_then(|()| {
                if Instant::now() < presence {
                    return Ok(());
                }
                presence = Instant::now() + PRESENCE_INTERVAL;
                self.note_presence()
            });
            // It is tried again at the next look; what was not told is still in the log.
            let failure = looked.err().map(|error| error.to_string());
            if let Some(error) = failure.as_ref().filter(|_| failure != said) {
                tracing::warn!(error, "the event log cannot be read");
            }
            said = failure;
        }
    }

    /// Tells what is new, if the file has changed.
    fn look(&mut self) -> Result<(), ReadError> {
        let version = self.watcher.version()?;
        if self.version == Some(version) {
            return Ok(());
        }
        let database = self.database.clone();
        while database.read(|snapshot| self.tell_a_page(snapshot))? {}
        self.version = Some(version);
        Ok(())
    }

    /// Tells a page of events, and answers whether there may be more.
    fn tell_a_page(&mut self, snapshot: &crate::database::Snapshot) -> Result<bool, ReadError> {
        if self.hub.listening().by_name.is_empty() {
            // Whoever comes next reads the log up to here by themselves.
            self.told = newest_event(snapshot)?;
            return Ok(false);
        }
        let events = snapshot.rows(&statements::EVENTS_AFTER, [&self.told], Event::from_row)?;
        let Some(last) = events.last().map(|event| event.id) else {
            // A log that was replaced by an older one, such as a backup, begins anew.
            self.told = self.told.min(newest_event(snapshot)?);
            return Ok(false);
        };
        let mut teller = Teller::default();
        for event in &events {
            let names = self.listeners_for(snapshot, event)?;
            if names.is_empty() {
                continue;
            }
            if event.kind == "session_ended" {
                self.close_ended_sessions(snapshot, &names)?;
            } else if let Some(message) = teller.tell(snapshot, event)? {
                self.send(&names, &Arc::new(message));
            }
        }
        self.told = last;
        Ok(true)
    }

    /// Those who listen and may see the event.
    fn listeners_for(&self, snapshot: &crate::database::Snapshot, event: &Event) -> Result<Vec<String>, ReadError> {
        let mut names = match (event.kind.as_str(), &event.username) {
            ("ringing" | "signal" | "session_ended", Some(name)) => vec![name.clone()],
            _ if self.hub.listening().by_name.is_empty() => Vec::new(),
            _ => snapshot.rows(&statements::EVENT_RECIPIENTS, [&event.id], |row| row.get(0))?,
        };
        let listening = self.hub.listening();
        names.retain(|name| listening.by_name.contains_key(name));
        Ok(names)
    }

    fn send(&self, names: &[String], message: &Arc<Message>) {
        let mut listening = self.hub.listening();
        for name in names {
            if let Some(ears) = listening.by_name.get_mut(name) {
                // Whoever is too slow to take it is cut off by dropping the sender.
                ears.retain(|ear| ear.sender.try_send(Heard::Message(Arc::clone(message))).is_ok());
            }
        }
    }

    /// Tells a fifteenth of the streams, each second another, that they are still there. A timer of each stream's own would wake
    /// the processor for each of them; so it wakes once for all of a second.
    fn break_silence(&mut self) {
        let turn = self.silences % STILL_HERE_SECONDS;
        self.silences += 1;
        self.hub.listening().by_name.values_mut().for_each(|ears| {
            ears.retain(|ear| {
                let is_due = ear.purpose == Purpose::Stream && ear.key % STILL_HERE_SECONDS == turn;
                !is_due || ear.sender.try_send(Heard::StillHere).is_ok()
            });
        });
    }

    /// Cuts off the listeners whose own session is over; the same person's others go on.
    fn close_ended_sessions(&self, snapshot: &crate::database::Snapshot, names: &[String]) -> Result<(), ReadError> {
        let hashes: Vec<String> = {
            let listening = self.hub.listening();
            let ears = names.iter().filter_map(|name| listening.by_name.get(name)).flatten();
            ears.map(|ear| ear.token_hash.clone()).collect()
        };
        let mut ended = HashSet::new();
        for hash in hashes {
            if snapshot.row(&statements::FIND_SESSION, [&hash], |_| Ok(()))?.is_none() {
                ended.insert(hash);
            }
        }
        let mut listening = self.hub.listening();
        for name in names {
            if let Some(ears) = listening.by_name.get_mut(name) {
                ears.retain(|ear| !ended.contains(&ear.token_hash));
            }
        }
        Ok(())
    }

    /// Notes those who are on a call and listen as being there. Nothing is written when nobody is on a call.
    fn note_presence(&self) -> Result<(), ReadError> {
        let unnoted: Vec<String> =
            self.database.read(|snapshot| snapshot.rows(&statements::UNNOTED_PARTICIPANTS, [], |row| row.get(0)))?;
        let listening = self.hub.listening();
        let there = unnoted.into_iter().filter(|name| {
            listening.by_name.get(name).is_some_and(|ears| ears.iter().any(|ear| ear.purpose != Purpose::Other))
        });
        let write =
            there.fold(Write::default(), |write, name| write.then(&statements::SEEN, [Value::Text(name), Value::Null]));
        drop(listening);
        self.database.write_and_forget(write);
        Ok(())
    }
}
