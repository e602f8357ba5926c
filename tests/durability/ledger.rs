//! The ledger: the writes of each client in order, and a check that a file holds the acknowledged writes: all of them, or
//! after a power loss all but the newest unsynced ones.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

/// Bytes of media, derived from a seed: the ledger need not store them.
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

/// A write of a client. The ids of new rows are those of the response.
#[derive(Clone, Debug)]
pub enum Write {
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
    ScreenClaimed {
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
        id: String,
        payload: String,
    },
    /// A chunk, by its number.
    Uploaded {
        id: String,
        seq: i64,
        content: Content,
    },
    /// An init segment, which replaces the sender's earlier one.
    MediaBegun {
        id: String,
        content: Content,
    },
}

impl Write {
    /// The call or share that the write changes.
    fn id(&self) -> &str {
        match self {
            Self::Called { call }
            | Self::Answered { call }
            | Self::Declined { call }
            | Self::Ended { call }
            | Self::ScreenClaimed { call, .. } => call,
            Self::Shared { share } | Self::Stopped { share } => share,
            Self::Signalled { id, .. } | Self::Uploaded { id, .. } | Self::MediaBegun { id, .. } => id,
        }
    }

    /// Whether it is on the disk before it is acknowledged.
    fn is_synced(&self) -> bool {
        !matches!(self, Self::Signalled { .. } | Self::Uploaded { .. } | Self::MediaBegun { .. })
    }
}

/// Whether a server has started on the file since then. A start ends live calls and shares.
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
    /// The state and the reason. Shares have no reason.
    Finished(String, Option<String>),
}

impl Stage {
    fn finished(state: &str, reason: Option<&str>) -> Self {
        Self::Finished(state.to_owned(), reason.map(str::to_owned))
    }
}

/// The expected state of a call or share, and its rows while it is live.
struct CallOrShare {
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
    pub writes: Vec<Write>,
    /// The last write, which has no response: it may be stored or not.
    pub attempt: Option<Write>,
}

impl History {
    /// The differences between `rows`, which a power loss has left, and the first `acknowledged` writes. Of these, the
    /// first `synced` were acknowledged before a sync of the log. Returns how many of the others are missing, if they are
    /// unsynced writes at the end.
    ///
    /// # Errors
    /// The differences, if other writes are missing or changed.
    pub fn check_after_power_loss(
        &self,
        synced: usize,
        acknowledged: usize,
        restart: Restart,
        rows: &Rows,
    ) -> Result<usize, Vec<String>> {
        let last_synced = self.writes[..acknowledged].iter().rposition(Write::is_synced);
        let required = synced.max(last_synced.map_or(0, |last| last + 1));
        let mut differences = self.check(acknowledged, restart, rows);
        for kept in (required..acknowledged).rev() {
            if differences.is_empty() {
                break;
            }
            let shorter = self.check(kept, restart, rows);
            if shorter.is_empty() {
                return Ok(acknowledged - kept);
            }
            differences = shorter;
        }
        if differences.is_empty() { Ok(0) } else { Err(differences) }
    }

    /// The calls and shares that began after the first `count` acknowledged writes.
    pub fn started_after(&self, count: usize) -> impl Iterator<Item = &str> {
        let later = self.writes.iter().skip(count);
        later.filter(|write| matches!(write, Write::Called { .. } | Write::Shared { .. })).map(Write::id)
    }

    /// The differences between `rows` and the first `acknowledged` writes. The next write may be stored or not.
    pub fn check(&self, acknowledged: usize, restart: Restart, rows: &Rows) -> Vec<String> {
        let next = self.writes.get(acknowledged).or(self.attempt.as_ref());
        let mut differences = Vec::new();
        for (id, expected) in self.expected(acknowledged) {
            let next = next.filter(|next| next.id() == id);
            let Some(found) = rows.stages.get(id) else {
                differences.push(format!("{id} is missing"));
                continue;
            };
            let allowed = match (&expected.stage, found) {
                (Stage::Finished(..), _) | (Stage::Ringing, Stage::Ringing) | (Stage::Active, Stage::Active) => {
                    expected.stage == *found
                }
                (Stage::Ringing, Stage::Active) => matches!(next, Some(Write::Answered { .. })),
                (Stage::Active, Stage::Ringing) => false,
                (_, Stage::Finished(state, reason)) => match reason.as_deref() {
                    Some("restart") => restart != Restart::No,
                    Some("rejected") => state == "rejected" && matches!(next, Some(Write::Declined { .. })),
                    Some("hangup") => matches!(next, Some(Write::Ended { .. })),
                    Some(_) => false,
                    None => restart != Restart::No || matches!(next, Some(Write::Stopped { .. })),
                },
            };
            let live = !matches!(found, Stage::Finished(..));
            if !allowed || (live && restart == Restart::Done) {
                differences.push(format!("{id} should be {:?} and is {found:?}; next: {next:?}", expected.stage));
            } else if live {
                expected.check(id, next, rows, &mut differences);
            }
        }
        differences
    }

    /// The calls and shares after the first `acknowledged` writes.
    fn expected(&self, acknowledged: usize) -> BTreeMap<&str, CallOrShare> {
        let mut expected: BTreeMap<&str, CallOrShare> = BTreeMap::new();
        for write in &self.writes[..acknowledged] {
            let one = expected.entry(write.id()).or_insert_with(|| CallOrShare {
                stage: Stage::Ringing,
                sharer: None,
                signals: Vec::new(),
                chunks: Vec::new(),
                init: None,
            });
            match write {
                Write::Called { .. } => {}
                Write::Answered { .. } | Write::Shared { .. } => one.stage = Stage::Active,
                Write::Declined { .. } => one.stage = Stage::finished("rejected", Some("rejected")),
                Write::Ended { .. } => one.stage = Stage::finished("ended", Some("hangup")),
                Write::Stopped { .. } => one.stage = Stage::finished("ended", None),
                Write::ScreenClaimed { sharer, .. } => one.sharer.clone_from(sharer),
                Write::Signalled { payload, .. } => one.signals.push(payload.clone()),
                Write::Uploaded { seq, content, .. } => one.chunks.push((*seq, *content)),
                Write::MediaBegun { content, .. } => one.init = Some(*content),
            }
        }
        expected
    }
}

impl CallOrShare {
    /// Adds the differences in the rows of a live call or share.
    fn check(&self, id: &str, next: Option<&Write>, rows: &Rows, differences: &mut Vec<String>) {
        let sharer = rows.sharers.get(id);
        if sharer != self.sharer.as_ref()
            && !matches!(next, Some(Write::ScreenClaimed { sharer: next, .. }) if next.as_ref() == sharer)
        {
            differences.push(format!("the screen in {id} should be {:?}'s and is {sharer:?}'s", self.sharer));
        }

        let signals = rows.signals.get(id).map_or([].as_slice(), Vec::as_slice);
        let next_signal = match next {
            Some(Write::Signalled { payload, .. }) => Some(payload),
            _ => None,
        };
        if signals
            .strip_prefix(&self.signals[..])
            .is_none_or(|more| more.len() > 1 || more.first().is_some_and(|one| Some(one) != next_signal))
        {
            differences.push(format!("{id} should have {} signals and has {signals:?}", self.signals.len()));
        }

        let chunks = rows.chunks.get(id).map_or([].as_slice(), Vec::as_slice);
        for (seq, content) in &self.chunks {
            if !chunks.iter().any(|(found, data)| found == seq && *data == content.bytes()) {
                differences.push(format!("{id} has lost chunk {seq}"));
            }
        }
        let more = usize::from(matches!(next, Some(Write::Uploaded { .. })));
        if chunks.len() > self.chunks.len() + more {
            differences.push(format!("{id} should have {} chunks and has {}", self.chunks.len(), chunks.len()));
        }

        let init = rows.inits.get(id);
        let is = |content: &Content| init.is_some_and(|data| *data == content.bytes());
        let next_init = matches!(next, Some(Write::MediaBegun { content, .. }) if is(content));
        if !next_init && !self.init.as_ref().map_or(init.is_none(), is) {
            differences.push(format!("{id} has another init segment than it should"));
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
            let (id, state, reason): (String, String, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let stage = match state.as_str() {
                "ringing" => Stage::Ringing,
                "active" => Stage::Active,
                _ => Stage::Finished(state, reason),
            };
            if let Some(sharer) = row.get(3)? {
                rows.sharers.insert(id.clone(), sharer);
            }
            rows.stages.insert(id, stage);
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

    /// Whether there is such a call or share.
    pub fn has(&self, id: &str) -> bool {
        self.stages.contains_key(id)
    }

    /// The finished calls and shares with their final outcome.
    pub fn finished(&self) -> HashMap<String, String> {
        let finished = self.stages.iter().filter(|(_, stage)| matches!(stage, Stage::Finished(..)));
        finished.map(|(id, stage)| (id.clone(), format!("{stage:?}"))).collect()
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
