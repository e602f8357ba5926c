//! The thread that reads the event log for the subscribers.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver as Hints, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::json;
use tracing::Level;

use super::hub::Hub;
use super::messages::{Event, Message, Renderer, newest_event};
use super::presences::Presences;
use crate::database::{Database, ReadError, Snapshot, Watcher, Write, text};
use crate::last_error::LastError;
use crate::statements;

/// Commits of other programs are noticed within this time. Our own writer sends a hint.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How often subscribers are noted as present on the calls that they name, and get the presences that have changed. The
/// database stores the former more rarely.
const PRESENCE_INTERVAL: Duration = Duration::from_secs(1);

/// A member of a cluster that has been lost for this long ends its subscriptions. An election takes less.
const LOST_MAX: Duration = Duration::from_secs(3);

/// How often a second the clients read the directory after a change. `GET /me` of a thousand people takes milliseconds.
const DIRECTORY_READS_PER_SECOND: f64 = 200.0;

/// The events read at a time. Signals of 64 KiB each take some megabytes.
const PAGE_MAX: i64 = 100;

/// The id of the newest change by a command, 0 if there is none.
fn newest_command(snapshot: &Snapshot) -> Result<i64, ReadError> {
    let newest: Option<Option<i64>> = snapshot.row(&statements::NEWEST_COMMAND, [], |row| row.get(0))?;
    Ok(newest.flatten().unwrap_or(0))
}

pub(super) struct HubLoop {
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
    /// The users whose directory has changed since they were last informed.
    directory: HashSet<String>,
    /// When users may next be informed.
    directory_due: Instant,
    /// What the presences were last read for. `None` after a commit, which can have changed them.
    presences_of: Option<PresencesOf>,
    /// Since when this member of a cluster has had no leader, or has been behind.
    lost_since: Option<Instant>,
}

/// What decides the presences as long as nobody commits.
struct PresencesOf {
    /// How long people stay online after their last event stream has closed, and after a poll.
    graces: (Duration, Duration),
    /// In order.
    online: Vec<String>,
    /// When the next person may be disturbed again.
    next_disturbed: Option<Instant>,
}

impl HubLoop {
    pub(super) fn new(hub: Hub, database: Database, watcher: Watcher) -> Result<Self, ReadError> {
        let last_event_id = database.read(newest_event)?;
        let last_command_id = database.read(newest_command)?;
        Ok(Self {
            hub,
            database,
            watcher,
            last_event_id,
            last_command_id,
            last_logged_event_id: last_event_id,
            version: None,
            log_due: None,
            directory: HashSet::new(),
            directory_due: Instant::now(),
            presences_of: None,
            lost_since: None,
        })
    }

    pub(super) fn run(mut self, hints: &Hints<()>) {
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
                self.send_directory_changes();
                if self.log_due.is_some_and(|due| due <= Instant::now()) {
                    self.log_changes()?;
                }
                if Instant::now() < presence_due {
                    return Ok(());
                }
                presence_due = Instant::now() + PRESENCE_INTERVAL;
                self.end_lost_subscriptions();
                self.note_presence()?;
                self.send_presences()
            });
            // The next poll tries again; the events are still in the log. A replaced file ends the server, which says so.
            let error =
                result.err().filter(|error| !matches!(error, ReadError::Replaced(_))).map(|error| error.to_string());
            last_error.note(error, "cannot read the event log");
        }
    }

    /// Ends the subscriptions of a lost member of a cluster: it gets no events, and can note no presence. Clients find
    /// another member.
    fn end_lost_subscriptions(&mut self) {
        if !self.database.is_member() || self.database.health().is_ok() {
            self.lost_since = None;
        } else if self.lost_since.get_or_insert_with(Instant::now).elapsed() >= LOST_MAX {
            self.hub.subscribers().by_username.clear();
        }
    }

    /// Delivers the new events, if our own writer has committed, or the file has changed.
    fn poll(&mut self, is_hinted: bool) -> Result<(), ReadError> {
        let version = if is_hinted { None } else { Some(self.watcher.version()?) };
        if version.is_some() && self.version == version {
            return Ok(());
        }
        self.presences_of = None;
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
        &mut self,
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
        if event.kind == "directory" {
            self.directory.extend(usernames.iter().cloned());
            return Ok(());
        }
        if let Some(message) = renderer.render(snapshot, event)? {
            self.hub.subscribers().send(usernames, &Arc::new(message));
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

    /// Informs the users whose directory has changed. It names a time within which each client reads it at a random moment,
    /// and says nothing more before that is over: however often it changes, the clients together read it
    /// `DIRECTORY_READS_PER_SECOND` times a second at most.
    fn send_directory_changes(&mut self) {
        if self.directory.is_empty() || Instant::now() < self.directory_due {
            return;
        }
        let usernames = std::mem::take(&mut self.directory);
        let mut subscribers = self.hub.subscribers();
        let streams = u32::try_from(subscribers.streams(&usernames)).unwrap_or(u32::MAX);
        let within = f64::from(streams) / DIRECTORY_READS_PER_SECOND;
        let message = Message::unnumbered("directory", &json!({ "within": within }).to_string());
        subscribers.send_to_streams(&usernames, &Arc::new(message));
        self.directory_due = Instant::now() + Duration::from_secs_f64(within).max(PRESENCE_INTERVAL);
    }

    /// Sends who has come online, has gone, is on a call, or is not to be disturbed any more, since the last time. Without a
    /// commit, and with the same people online, it reads nothing.
    fn send_presences(&mut self) -> Result<(), ReadError> {
        if let Some(PresencesOf { graces, online, next_disturbed }) = &self.presences_of
            && next_disturbed.is_none_or(|at| Instant::now() < at)
            && *online == self.online(*graces)
        {
            return Ok(());
        }
        let (people, presences_of) = self.database.read(|snapshot| {
            let graces =
                snapshot.row(&statements::PRESENCE_GRACES, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            let (gone_after, presence_timeout, quiet_for): (f64, f64, Option<f64>) = graces.unwrap_or_default();
            let duration = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
            let graces = (duration(gone_after), duration(presence_timeout));
            let next_disturbed = quiet_for.map(|seconds| Instant::now() + duration(seconds));
            let online = self.online(graces);
            let people = Presences::read(snapshot, &online)?;
            Ok::<_, ReadError>((people, PresencesOf { graces, online, next_disturbed }))
        })?;
        self.presences_of = Some(presences_of);
        let mut subscribers = self.hub.subscribers();
        let changes = subscribers.presences.replace(people);
        if !changes.is_empty() {
            subscribers.send_presences(&changes);
        }
        Ok(())
    }

    /// Those who are online, in order. In a cluster, some are at other members.
    fn online(&self, (gone_after, presence_timeout): (Duration, Duration)) -> Vec<String> {
        let mut online = self.hub.subscribers().online(gone_after, presence_timeout);
        online.sort_unstable();
        online.extend(self.database.exchange_online(&online));
        online.sort_unstable();
        online.dedup();
        online
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
