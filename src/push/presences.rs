//! Who is online, on a call or not to be disturbed, as the event streams of those who see them have it.
//!
//! A stream begins with all people who are not offline. After that it gets what has changed, at most once a second. Streams
//! whose users see the same people share the text.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;

use super::messages::Message;
use crate::database::{ReadError, Snapshot};
use crate::statements;

const OFFLINE: &str = "offline";

/// Whose presences a person sees: those of everybody, or of local people and the users of one host application.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Audience {
    issuer: Option<Arc<str>>,
}

impl Audience {
    /// The audience that `username` belongs to. `None` for a guest.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn of(snapshot: &Snapshot, username: &str) -> Result<Option<Self>, ReadError> {
        let issuer: Option<Option<Arc<str>>> =
            snapshot.row(&statements::PRESENCE_AUDIENCE, [&username], |row| row.get(0))?;
        Ok(issuer.map(|issuer| Self { issuer }))
    }

    /// Whether it sees the users of this host application. `None` are the local people.
    fn sees(&self, issuer: Option<&str>) -> bool {
        self.issuer.is_none() || issuer.is_none() || self.issuer.as_deref() == issuer
    }
}

/// What others see of a person who is not offline.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Presence {
    /// The host application whose user this is.
    issuer: Option<Arc<str>>,
    /// `online`, `on-call` or `quiet`.
    state: Arc<str>,
}

/// The data of the event `presence`.
#[derive(Serialize)]
struct PresenceData<'a> {
    /// These are all people who are not offline. Otherwise they are those who have changed.
    all: bool,
    people: BTreeMap<&'a str, &'a str>,
}

impl PresenceData<'_> {
    fn message(&self) -> Message {
        Message::unnumbered("presence", &serde_json::to_string(self).unwrap_or_default())
    }
}

/// The presences that the streams have, by name.
#[derive(Default)]
pub(super) struct Presences {
    people: BTreeMap<String, Presence>,
    /// The text with all of them for each audience, until it changes.
    complete: HashMap<Audience, Arc<Message>>,
}

impl Presences {
    /// The people who are not offline, if those in `online` are online: others are on a call, or not to be disturbed.
    pub(super) fn read(snapshot: &Snapshot, online: &[String]) -> Result<BTreeMap<String, Presence>, ReadError> {
        let online = serde_json::to_string(online).unwrap_or_default();
        let people = snapshot.rows(&statements::PRESENCES, [&online], |row| {
            Ok((row.get(0)?, Presence { issuer: row.get(1)?, state: row.get(2)? }))
        })?;
        Ok(people.into_iter().collect())
    }

    /// Replaces them. Returns the changes.
    pub(super) fn replace(&mut self, people: BTreeMap<String, Presence>) -> Changes {
        let before = std::mem::replace(&mut self.people, people);
        let mut changes = Vec::new();
        for (username, Presence { issuer, .. }) in &before {
            if self.people.get(username).is_none_or(|now| now.issuer != *issuer) {
                changes.push((username.clone(), issuer.clone(), OFFLINE.into()));
            }
        }
        for (username, now) in &self.people {
            if before.get(username) != Some(now) {
                changes.push((username.clone(), now.issuer.clone(), Arc::clone(&now.state)));
            }
        }
        if !changes.is_empty() {
            self.complete.clear();
        }
        Changes(changes)
    }

    /// All of them that the audience sees.
    pub(super) fn complete(&mut self, audience: &Audience) -> Arc<Message> {
        if let Some(message) = self.complete.get(audience) {
            return Arc::clone(message);
        }
        let seen = self.people.iter().filter(|(_, presence)| audience.sees(presence.issuer.as_deref()));
        let people = seen.map(|(username, presence)| (&**username, &*presence.state)).collect();
        let message = Arc::new(PresenceData { all: true, people }.message());
        self.complete.insert(audience.clone(), Arc::clone(&message));
        message
    }
}

/// Users, their host applications, and their new states. A user whose name now has a person of another application comes
/// twice.
pub(super) struct Changes(Vec<(String, Option<Arc<str>>, Arc<str>)>);

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that the audience sees. `None` if there are none.
    pub(super) fn message(&self, audience: &Audience) -> Option<Arc<Message>> {
        let seen = self.0.iter().filter(|(_, issuer, _)| audience.sees(issuer.as_deref()));
        let people: BTreeMap<_, _> = seen.map(|(username, _, state)| (&**username, &**state)).collect();
        (!people.is_empty()).then(|| Arc::new(PresenceData { all: false, people }.message()))
    }
}
