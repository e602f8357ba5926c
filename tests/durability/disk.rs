//! A model of a disk that can lose power.
//!
//! Data is certain when an fsync that covers it has returned. Of the rest any part may be on the disk: each sector as
//! any later write has left it, or unchanged; the file's size of any time since; a directory entry with or without each
//! change since the directory was synced. SQLite asks no more of a disk than that a write does not change bytes next to
//! its own (<https://sqlite.org/psow.html>).

use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;

use crate::recording::{Recording, Step, What};

/// How much of the unsynced data survives a power loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Survival {
    /// All of it, as if everything had been synced at once: the log cut off at one place.
    All,
    /// None of it.
    None,
    /// Each write as a whole or not at all, with this probability.
    Writes(f64),
    /// Each sector of each write, of so many bytes, with this probability.
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
pub enum Without {
    Nothing,
    AllSyncs,
    /// Those of the files whose names end like this.
    SyncsOf(&'static str),
    FolderSyncs,
}

/// An unsynced write or resize, and whether its call has returned, so that a sync can cover it.
struct Change {
    call: usize,
    returned: bool,
}

#[derive(Default)]
struct File {
    certain: Vec<u8>,
    changes: Vec<Change>,
}

/// The file behind a name: an index of `files`, or none.
#[derive(Default)]
struct Entry {
    certain: Option<usize>,
    changes: Vec<(usize, Option<usize>)>,
}

impl Entry {
    fn now(&self) -> Option<usize> {
        self.changes.last().map_or(self.certain, |(_, file)| *file)
    }
}

pub struct Disk<'a> {
    recording: &'a Recording,
    without: Without,
    files: Vec<File>,
    folder: BTreeMap<String, Entry>,
    /// The calls that a running sync covers.
    syncs: HashMap<usize, Vec<usize>>,
}

impl<'a> Disk<'a> {
    /// A disk that holds `files`, synced.
    pub fn new(recording: &'a Recording, files: &BTreeMap<String, Vec<u8>>, without: Without) -> Self {
        let mut disk = Self { recording, without, files: Vec::new(), folder: BTreeMap::new(), syncs: HashMap::new() };
        for (name, bytes) in files {
            disk.folder.insert(name.clone(), Entry { certain: Some(disk.files.len()), changes: Vec::new() });
            disk.files.push(File { certain: bytes.clone(), changes: Vec::new() });
        }
        disk
    }

    /// The file behind a name.
    fn file(&mut self, name: &str) -> &mut File {
        let number = self.folder[name].now().unwrap();
        &mut self.files[number]
    }

    pub fn step(&mut self, step: Step) {
        match step {
            Step::Begins(call) => self.begins(call),
            Step::Ends(call) => self.ends(call),
        }
    }

    fn begins(&mut self, call: usize) {
        match &self.recording.calls[call] {
            What::Opened { name } => {
                let entry = self.folder.entry(name.clone()).or_default();
                if entry.now().is_none() {
                    entry.changes.push((call, Some(self.files.len())));
                    self.files.push(File::default());
                }
            }
            What::Removed { name } => self.folder.get_mut(name).unwrap().changes.push((call, None)),
            What::Written { name, .. } | What::Resized { name, .. } => {
                self.file(name).changes.push(Change { call, returned: false });
            }
            What::Synced { name } => {
                if self.without != Without::AllSyncs
                    && !matches!(self.without, Without::SyncsOf(end) if name.ends_with(end))
                {
                    let returned = self.file(name).changes.iter().filter(|change| change.returned);
                    let covered = returned.map(|change| change.call).collect();
                    self.syncs.insert(call, covered);
                }
            }
            What::FolderSynced => {
                if !matches!(self.without, Without::AllSyncs | Without::FolderSyncs) {
                    let changes = self.folder.values().flat_map(|entry| &entry.changes);
                    let covered = changes.map(|(call, _)| *call).collect();
                    self.syncs.insert(call, covered);
                }
            }
            What::Started | What::Said | What::Answered { .. } | What::Exited(_) => {}
        }
    }

    fn ends(&mut self, call: usize) {
        match &self.recording.calls[call] {
            What::Written { name, .. } | What::Resized { name, .. } => {
                // Unless the file was removed meanwhile.
                if let Some(change) = self.file(name).changes.iter_mut().rev().find(|change| change.call == call) {
                    change.returned = true;
                }
            }
            What::Synced { name } => {
                if let Some(covered) = self.syncs.remove(&call) {
                    let recording = self.recording;
                    let File { certain, changes } = self.file(name);
                    for change in changes.extract_if(.., |change| covered.contains(&change.call)) {
                        apply(&recording.calls[change.call], certain);
                    }
                }
            }
            What::FolderSynced => {
                if let Some(covered) = self.syncs.remove(&call) {
                    for entry in self.folder.values_mut() {
                        for (_, file) in entry.changes.extract_if(.., |(call, _)| covered.contains(call)) {
                            entry.certain = file;
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// Whether a file has unsynced data.
    pub fn is_uncertain(&self, name: &str) -> bool {
        let file = self.folder.get(name).and_then(Entry::now);
        file.is_some_and(|file| !self.files[file].changes.is_empty())
    }

    /// The files after a power loss at this instant.
    pub fn after_power_loss(&self, survival: Survival, random: &mut Rng) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for (name, entry) in &self.folder {
            let file = match survival {
                Survival::All => entry.now(),
                Survival::None => entry.certain,
                _ => match random.usize(..=entry.changes.len()) {
                    0 => entry.certain,
                    change => entry.changes[change - 1].1,
                },
            };
            let Some(file) = file else { continue };
            // The wal-index is memory that processes share: what is in the file after a power loss is anybody's guess.
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
            Survival::None => return file.certain.clone(),
            Survival::All => {
                let mut bytes = file.certain.clone();
                changes.for_each(|change| apply(change, &mut bytes));
                return bytes;
            }
            Survival::Writes(probability) => (usize::MAX, probability),
            Survival::Sectors(sector, probability) => (sector, probability),
        };
        // What no write has reached is zeros, or what the blocks held before.
        let filler = if random.bool() { 0 } else { random.u8(..) };
        let mut bytes = file.certain.clone();
        let (mut size, mut sizes) = (file.certain.len(), vec![file.certain.len()]);
        for change in changes {
            match change {
                What::Written { offset, data, .. } => {
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
                What::Resized { size: new, .. } => size = *new,
                _ => unreachable!(),
            }
            sizes.push(size);
        }
        // Appending is writing and a new size: one of the sizes since, or the last.
        let size = if random.bool() { size } else { sizes[random.usize(..sizes.len())] };
        bytes.resize(size, filler);
        bytes
    }
}

/// Does a write or a new size to a file's bytes.
fn apply(change: &What, bytes: &mut Vec<u8>) {
    match change {
        What::Written { offset, data, .. } => {
            let end = offset + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(data);
        }
        What::Resized { size, .. } => bytes.resize(*size, 0),
        _ => unreachable!("only these change a file"),
    }
}
