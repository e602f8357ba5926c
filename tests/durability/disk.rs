//! A model of a disk that can lose power.
//!
//! Data is synced when an fsync that covers it has returned. Of the other changes any part may survive: each sector with or
//! without each write, each size that the file had since the sync, and each directory entry since the directory was synced.
//! SQLite only requires that a write does not change the bytes beside it (<https://sqlite.org/psow.html>).

use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;

use crate::recording::{Recording, Step, SystemCall};

/// How much of the unsynced data survives a power loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Survival {
    /// All of it: the recording is cut off at one position.
    All,
    /// None of it.
    None,
    /// Each write as a whole or not at all, with this probability.
    Writes(f64),
    /// Each sector of each write, of this size in bytes, with this probability.
    Sectors(usize, f64),
}

impl Survival {
    pub fn random(random: &mut Rng) -> Self {
        let probability = [0.02, 0.2, 0.5, 0.8, 0.98][random.usize(..5)];
        match random.u8(..8) {
            0 => Self::None,
            1..=3 => Self::Writes(probability),
            4..=6 => Self::Sectors(512, probability),
            _ => Self::Sectors(4096, probability),
        }
    }
}

/// The syncs that a broken disk ignores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum IgnoredSyncs {
    None,
    All,
    /// Those of the files whose names have this suffix.
    Of(&'static str),
    /// Those of the folder.
    OfFolder,
}

/// An unsynced write or resize. A sync covers it if its call has returned.
struct Change {
    call: usize,
    returned: bool,
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    changes: Vec<Change>,
}

/// The file of a name: an index of `files`, or none.
#[derive(Default)]
struct Entry {
    synced: Option<usize>,
    changes: Vec<(usize, Option<usize>)>,
}

impl Entry {
    fn now(&self) -> Option<usize> {
        self.changes.last().map_or(self.synced, |(_, file)| *file)
    }
}

pub struct Disk<'a> {
    recording: &'a Recording,
    ignored: IgnoredSyncs,
    files: Vec<File>,
    folder: BTreeMap<String, Entry>,
    /// The calls that each running sync covers.
    syncs: HashMap<usize, Vec<usize>>,
}

impl<'a> Disk<'a> {
    /// A disk that holds `files`, synced.
    pub fn new(recording: &'a Recording, files: &BTreeMap<String, Vec<u8>>, ignored: IgnoredSyncs) -> Self {
        let mut disk = Self { recording, ignored, files: Vec::new(), folder: BTreeMap::new(), syncs: HashMap::new() };
        for (name, bytes) in files {
            disk.folder.insert(name.clone(), Entry { synced: Some(disk.files.len()), changes: Vec::new() });
            disk.files.push(File { synced: bytes.clone(), changes: Vec::new() });
        }
        disk
    }

    /// The file of a name.
    fn file(&mut self, name: &str) -> &mut File {
        let number = self.folder[name].now().unwrap();
        &mut self.files[number]
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Begin(call) => self.begin(call),
            Step::End(call) => self.end(call),
        }
    }

    fn begin(&mut self, call: usize) {
        match &self.recording.calls[call] {
            SystemCall::Opened { name } => {
                let entry = self.folder.entry(name.clone()).or_default();
                if entry.now().is_none() {
                    entry.changes.push((call, Some(self.files.len())));
                    self.files.push(File::default());
                }
            }
            SystemCall::Removed { name } => self.folder.get_mut(name).unwrap().changes.push((call, None)),
            SystemCall::Written { name, .. } | SystemCall::Resized { name, .. } => {
                self.file(name).changes.push(Change { call, returned: false });
            }
            SystemCall::Synced { name } => {
                if self.ignored != IgnoredSyncs::All
                    && !matches!(self.ignored, IgnoredSyncs::Of(end) if name.ends_with(end))
                {
                    let returned = self.file(name).changes.iter().filter(|change| change.returned);
                    let covered = returned.map(|change| change.call).collect();
                    self.syncs.insert(call, covered);
                }
            }
            SystemCall::FolderSynced => {
                if !matches!(self.ignored, IgnoredSyncs::All | IgnoredSyncs::OfFolder) {
                    let changes = self.folder.values().flat_map(|entry| &entry.changes);
                    let covered = changes.map(|(call, _)| *call).collect();
                    self.syncs.insert(call, covered);
                }
            }
            SystemCall::Started | SystemCall::Printed | SystemCall::Acknowledged { .. } | SystemCall::Exited(_) => {}
        }
    }

    fn end(&mut self, call: usize) {
        match &self.recording.calls[call] {
            SystemCall::Written { name, .. } | SystemCall::Resized { name, .. } => {
                // Unless the file was removed meanwhile.
                if let Some(change) = self.file(name).changes.iter_mut().rev().find(|change| change.call == call) {
                    change.returned = true;
                }
            }
            SystemCall::Synced { name } => {
                if let Some(covered) = self.syncs.remove(&call) {
                    let recording = self.recording;
                    let File { synced, changes } = self.file(name);
                    for change in changes.extract_if(.., |change| covered.contains(&change.call)) {
                        apply(&recording.calls[change.call], synced);
                    }
                }
            }
            SystemCall::FolderSynced => {
                if let Some(covered) = self.syncs.remove(&call) {
                    for entry in self.folder.values_mut() {
                        for (_, file) in entry.changes.extract_if(.., |(call, _)| covered.contains(call)) {
                            entry.synced = file;
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether a file has unsynced data.
    pub fn has_unsynced(&self, name: &str) -> bool {
        let file = self.folder.get(name).and_then(Entry::now);
        file.is_some_and(|file| !self.files[file].changes.is_empty())
    }

    /// The files after a power loss at this instant.
    pub fn after_power_loss(&self, survival: Survival, random: &mut Rng) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for (name, entry) in &self.folder {
            let file = match survival {
                Survival::All => entry.now(),
                Survival::None => entry.synced,
                _ => match random.usize(..=entry.changes.len()) {
                    0 => entry.synced,
                    change => entry.changes[change - 1].1,
                },
            };
            let Some(file) = file else { continue };
            // The wal-index is shared memory: after a power loss its file may have any content.
            let bytes = if name.ends_with("-shm") {
                (0..32 << 10).map(|_| random.u8(..)).collect()
            } else {
                self.content(&self.files[file], survival, random)
            };
            found.insert(name.clone(), bytes);
        }
        found
    }

    fn content(&self, file: &File, survival: Survival, random: &mut Rng) -> Vec<u8> {
        let changes = file.changes.iter().map(|change| &self.recording.calls[change.call]);
        let (sector, probability) = match survival {
            Survival::None => return file.synced.clone(),
            Survival::All => {
                let mut bytes = file.synced.clone();
                changes.for_each(|change| apply(change, &mut bytes));
                return bytes;
            }
            Survival::Writes(probability) => (usize::MAX, probability),
            Survival::Sectors(sector, probability) => (sector, probability),
        };
        // SystemCall no write has reached is zeros, or what the blocks held before.
        let filler = if random.bool() { 0 } else { random.u8(..) };
        let mut bytes = file.synced.clone();
        let (mut size, mut sizes) = (file.synced.len(), vec![file.synced.len()]);
        for change in changes {
            match change {
                SystemCall::Written { offset, data, .. } => {
                    let end = offset + data.len();
                    let mut at = *offset;
                    while at < end {
                        let next = (at / sector + 1).saturating_mul(sector).min(end);
                        if random.f64() < probability {
                            if bytes.len() < next {
                                bytes.resize(next, filler);
                            }
                            bytes[at..next].copy_from_slice(&data[at - offset..next - offset]);
                        }
                        at = next;
                    }
                    size = size.max(end);
                }
                SystemCall::Resized { size: new, .. } => size = *new,
                _ => unreachable!(),
            }
            sizes.push(size);
        }
        // The size survives separately: the last one, or an earlier one since the sync.
        let size = if random.bool() { size } else { sizes[random.usize(..sizes.len())] };
        bytes.resize(size, filler);
        bytes
    }
}

/// Applies a write or resize to the bytes of a file.
fn apply(change: &SystemCall, bytes: &mut Vec<u8>) {
    match change {
        SystemCall::Written { offset, data, .. } => {
            let end = offset + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(data);
        }
        SystemCall::Resized { size, .. } => bytes.resize(*size, 0),
        _ => unreachable!("only these change a file"),
    }
}
