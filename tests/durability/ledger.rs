//! The ledger: the writes of each client in order, and a check that a file holds all acknowledged ones.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

/// Bytes of media that are derived from a number, so that they need not be stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Content {
    pub seed: u64,
    pub length: usize,
}

impl Content {
    pub fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        fastrand::Rng::with_seed(self.seed).fill(&mut bytes);
        bytes
    }
}

/// A write of a client. Ids of new rows come with the response.
#[derive(Clone, Debug)]
pub enum Deed {
    Called {
        call: String,
    },
    Answered {
        call: String,
    },
    Declined {
        call: String,
    },
    Ended {
        call: String,
    },
    Claimed {
        call: String,
        sharer: Option<String>,
    },
    Shared {
        share: String,
    },
    Stopped {
        share: String,
    },
    /// A signal in a call or share.
    Signalled {
        place: String,
        payload: String,
    },
    /// A chunk, by its number.
    Uploaded {
        place: String,
        seq: i64,
        content: Content,
    },
    /// An init segment, which replaces the sender's earlier one.
    Began {
        place: String,
        content: Content,
    },
}

impl Deed {
    /// The call or share that the write changes.
    fn place(&self) -> &str {
        match self {
            Self::Called { call }
            | Self::Answered { call }
            | Self::Declined { call }
            | Self::Ended { call }
            | Self::Claimed { call, .. } => call,
            Self::Shared { share } | Self::Stopped { share } => share,
            Self::Signalled { place, .. } | Self::Uploaded { place, .. } | Self::Began { place, .. } => place,
        }
    }
}

/// Whether a server has started on the file since. A start ends live calls and shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Restart {
    No,
    UnderWay,
    Done,
}

/// The state of a call or share.
#[derive(Clone, Debug, PartialEq)]
enum Stage {
    Ringing,
    Active,
    /// The state and the reason; shares have no reason.
    Over(String, Option<String>),
}

impl Stage {
    fn over(state: &str, reason: Option<&str>) -> Self {
        Self::Over(state.to_owned(), reason.map(str::to_owned))
    }
}

/// A call or share with the rows that belong to it while it is live.
struct Thing {
    stage: Stage,
    sharer: Option<String>,
    signals: Vec<String>,
    chunks: Vec<(i64, Content)>,
    init: Option<Content>,
}

/// The writes of one client in order.
#[derive(Default)]
pub struct History {
    /// The acknowledged writes.
    pub deeds: Vec<Deed>,
    /// The last write, without a response: it may be done or not.
    pub attempt: Option<Deed>,
}

impl History {
    /// The differences between `rows` and the first `acknowledged` writes. The write after them may be there or not.
    pub fn check(&self, acknowledged: usize, restart: Restart, rows: &Rows) -> Vec<String> {
        let next = self.deeds.get(acknowledged).or(self.attempt.as_ref());
        let mut wrong = Vec::new();
        for (place, thing) in self.things(acknowledged) {
            let next = next.filter(|next| next.place() == place);
            let Some(found) = rows.stages.get(place) else {
                wrong.push(format!("{place} is not there"));
                continue;
            };
            let allowed = match (&thing.stage, found) {
                (Stage::Over(..), _) | (Stage::Ringing, Stage::Ringing) | (Stage::Active, Stage::Active) => {
                    thing.stage == *found
                }
                (Stage::Ringing, Stage::Active) => matches!(next, Some(Deed::Answered { .. })),
                (Stage::Active, Stage::Ringing) => false,
                (_, Stage::Over(state, reason)) => match reason.as_deref() {
                    Some("restart") => restart != Restart::No,
                    Some("rejected") => state == "rejected" && matches!(next, Some(Deed::Declined { .. })),
                    Some("hangup") => matches!(next, Some(Deed::Ended { .. })),
                    Some(_) => false,
                    None => restart != Restart::No || matches!(next, Some(Deed::Stopped { .. })),
                },
            };
            let live = !matches!(found, Stage::Over(..));
            if !allowed || (live && restart == Restart::Done) {
                wrong.push(format!("{place} should be {:?} and is {found:?}; next: {next:?}", thing.stage));
            } else if live {
                thing.check(place, next, rows, &mut wrong);
            }
        }
        wrong
    }

    /// The calls and shares after the first `acknowledged` writes.
    fn things(&self, acknowledged: usize) -> BTreeMap<&str, Thing> {
        let mut things: BTreeMap<&str, Thing> = BTreeMap::new();
        for deed in &self.deeds[..acknowledged] {
            let thing = things.entry(deed.place()).or_insert_with(|| Thing {
                stage: Stage::Ringing,
                sharer: None,
                signals: Vec::new(),
                chunks: Vec::new(),
                init: None,
            });
            match deed {
                Deed::Called { .. } => {}
                Deed::Answered { .. } | Deed::Shared { .. } => thing.stage = Stage::Active,
                Deed::Declined { .. } => thing.stage = Stage::over("rejected", Some("rejected")),
                Deed::Ended { .. } => thing.stage = Stage::over("ended", Some("hangup")),
                Deed::Stopped { .. } => thing.stage = Stage::over("ended", None),
                Deed::Claimed { sharer, .. } => thing.sharer.clone_from(sharer),
                Deed::Signalled { payload, .. } => thing.signals.push(payload.clone()),
                Deed::Uploaded { seq, content, .. } => thing.chunks.push((*seq, *content)),
                Deed::Began { content, .. } => thing.init = Some(*content),
            }
        }
        things
    }
}

impl Thing {
    /// Whether a live call or share has exactly the rows that were sent to it.
    fn check(&self, place: &str, next: Option<&Deed>, rows: &Rows, wrong: &mut Vec<String>) {
        let sharer = rows.sharers.get(place);
        if sharer != self.sharer.as_ref()
            && !matches!(next, Some(Deed::Claimed { sharer: next, .. }) if next.as_ref() == sharer)
        {
            wrong.push(format!("the screen in {place} should be {:?}'s and is {sharer:?}'s", self.sharer));
        }

        let signals = rows.signals.get(place).map_or([].as_slice(), Vec::as_slice);
        let next_signal = match next {
            Some(Deed::Signalled { payload, .. }) => Some(payload),
            _ => None,
        };
        if signals
            .strip_prefix(&self.signals[..])
            .is_none_or(|more| more.len() > 1 || more.first().is_some_and(|one| Some(one) != next_signal))
        {
            wrong.push(format!("{place} should have {} signals and has {signals:?}", self.signals.len()));
        }

        let chunks = rows.chunks.get(place).map_or([].as_slice(), Vec::as_slice);
        for (seq, content) in &self.chunks {
            if !chunks.iter().any(|(found, data)| found == seq && *data == content.bytes()) {
                wrong.push(format!("{place} has lost chunk {seq}"));
            }
        }
        let more = usize::from(matches!(next, Some(Deed::Uploaded { .. })));
        if chunks.len() > self.chunks.len() + more {
            wrong.push(format!("{place} should have {} chunks and has {}", self.chunks.len(), chunks.len()));
        }

        let init = rows.inits.get(place);
        let is = |content: &Content| init.is_some_and(|data| *data == content.bytes());
        let next_init = matches!(next, Some(Deed::Began { content, .. }) if is(content));
        if !next_init && !self.init.as_ref().map_or(init.is_none(), is) {
            wrong.push(format!("{place} has not the init segment that it should have"));
        }
    }
}

/// The rows of a file, by the ids of calls and shares.
pub struct Rows {
    stages: HashMap<String, Stage>,
    sharers: HashMap<String, String>,
    signals: HashMap<String, Vec<String>>,
    chunks: HashMap<String, Vec<(i64, Vec<u8>)>>,
    inits: HashMap<String, Vec<u8>>,
}

impl Rows {
    /// Reads a file at one instant.
    pub fn of(connection: &mut Connection) -> rusqlite::Result<Self> {
        let snapshot = connection.transaction()?;
        let mut rows = Self {
            stages: HashMap::new(),
            sharers: HashMap::new(),
            signals: HashMap::new(),
            chunks: HashMap::new(),
            inits: HashMap::new(),
        };
        let mut statement = snapshot.prepare(
            "SELECT call_id, state, ended_reason, screenshare_user FROM calls \
             UNION ALL SELECT share_id, state, NULL, NULL FROM screenshares",
        )?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            let (place, state, reason): (String, String, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let stage = match state.as_str() {
                "ringing" => Stage::Ringing,
                "active" => Stage::Active,
                _ => Stage::Over(state, reason),
            };
            if let Some(sharer) = row.get(3)? {
                rows.sharers.insert(place.clone(), sharer);
            }
            rows.stages.insert(place, stage);
        }
        let mut statement = snapshot.prepare("SELECT call_id, payload FROM call_signals ORDER BY id")?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            rows.signals.entry(row.get(0)?).or_default().push(row.get(1)?);
        }
        let mut statement = snapshot.prepare(
            "SELECT call_id, id, is_init, data FROM call_media UNION ALL SELECT share_id, id, is_init, data FROM share_media",
        )?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            if row.get(2)? {
                rows.inits.insert(row.get(0)?, row.get(3)?);
            } else {
                rows.chunks.entry(row.get(0)?).or_default().push((row.get(1)?, row.get(3)?));
            }
        }
        Ok(rows)
    }

    /// The finished calls and shares with their outcome, which is final.
    pub fn settled(&self) -> HashMap<String, String> {
        let over = self.stages.iter().filter(|(_, stage)| matches!(stage, Stage::Over(..)));
        over.map(|(place, stage)| (place.clone(), format!("{stage:?}"))).collect()
    }
}

/// The defects that SQLite's checks and the project's own find in a file.
pub fn damage(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut damage = Vec::new();
    for (check, fine) in [
        ("PRAGMA integrity_check", Some("ok")),
        ("SELECT \"table\" || ' row ' || rowid FROM pragma_foreign_key_check", None),
        ("SELECT violation FROM integrity_violations", None),
    ] {
        let mut statement = connection.prepare(check)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let line: Option<String> = row.get(0)?;
            if line.as_deref() != fine {
                damage.push(format!("{check}: {line:?}"));
            }
        }
    }
    Ok(damage)
}
