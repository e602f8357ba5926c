//! Power loss at any instant: the server's system calls are recorded once, and replayed to possible states of the disk. In
//! each state the file passes SQLite's checks and holds every write acknowledged until then, except for the newest unsynced
//! ones.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use nix::sys::signal::Signal;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use tempfile::TempDir;

use crate::disk::{Disk, IgnoredSyncs, Survival};
use crate::ledger::{History, Restart, Rows, damage};
use crate::load::{LONG_TIMEOUTS, Pair, Progress, Worker};
use crate::recording::{Recording, Step, SystemCall, assert_can_trace, strace, wait_for_end};
use crate::support::{PROGRAM, Server, connect};

const DATABASE: &str = "presence.db";
const LOG: &str = "presence.db-wal";
const CONNECTIONS: usize = 6;

#[test]
fn power_loss_loses_nothing() {
    let mut random = Rng::with_seed(crate::seed());
    let mut recorded = Recorded::new(&mut random, [60, 240, 40]);
    let mut crashes = recorded.crashes(60, &mut random, |_| Survival::All);
    crashes.extend(recorded.crashes(150, &mut random, Survival::random));
    recorded.assert_nothing_is_lost(crashes, &mut random);
    recorded.assert_missing_syncs_are_detected(&mut random);
    recorded.assert_early_responses_are_detected(&mut random);
}

#[test]
#[ignore = "takes minutes"]
fn power_loss_at_every_instant_loses_nothing() {
    let mut random = Rng::with_seed(crate::seed());
    let mut recorded = Recorded::new(&mut random, [60, 240, 40]);
    let mut crashes: Vec<Crash> = recorded.positions.all.iter().map(|instant| (*instant, Survival::All)).collect();
    crashes.extend(recorded.crashes(2_000, &mut random, Survival::random));
    recorded.assert_nothing_is_lost(crashes, &mut random);
    recorded.assert_missing_syncs_are_detected(&mut random);
    recorded.assert_early_responses_are_detected(&mut random);
}

/// A position in the recording, and how much of the unsynced data survives.
type Crash = (usize, Survival);

/// Positions in the recording.
struct Positions {
    all: Vec<usize>,
    /// A checkpoint has written to the database file and not synced it.
    in_checkpoints: Vec<usize>,
    /// The log has just been restarted and overwrites its earlier frames.
    in_new_logs: Vec<usize>,
}

/// The writes of one client, which used `port` in one of the runs.
struct Client {
    run: usize,
    port: u16,
    history: History,
}

struct Recorded {
    before: BTreeMap<String, Vec<u8>>,
    recording: Recording,
    clients: Vec<Client>,
    positions: Positions,
    seconds: Duration,
}

/// The files after a power loss, and the writes that they must hold.
struct Remains {
    crash: Crash,
    files: BTreeMap<String, Vec<u8>>,
    /// What each client's writes have come to.
    required: Vec<Required>,
}

/// The numbers of a client's acknowledged writes, and of those among them that were acknowledged before a sync of the log;
/// and whether a later server has started.
struct Required {
    acknowledged: usize,
    synced: usize,
    restart: Restart,
}

#[derive(Default)]
struct Verdict {
    lost: Vec<String>,
    /// The newest unsynced writes that are missing, as they may.
    missing: usize,
    damaged: Vec<String>,
}

impl Recorded {
    /// Records three servers on one file, each until the given number of acknowledged writes. The first is killed, so
    /// that the second recovers the log; the third creates a new one.
    fn new(random: &mut Rng, writes: [usize; 3]) -> Self {
        assert_can_trace();
        let begun = Instant::now();
        let server = Server::start();
        server.execute(LONG_TIMEOUTS);
        server.lift_limits();
        let pairs: Vec<Pair> = (0..CONNECTIONS).map(|number| Pair::new(&server, number)).collect();
        let (mut folder, _) = server.stop(Signal::SIGTERM);
        let before = files(folder.path());
        assert_eq!(before.keys().collect::<Vec<_>>(), [DATABASE], "a stopped server leaves one file");

        let logs = TempDir::new().unwrap();
        let mut recording = Recording::of(folder.path());
        let mut clients = Vec::new();
        for (run, writes) in writes.into_iter().enumerate() {
            let log = logs.path().join(run.to_string());
            let mut program = strace(&log);
            program.arg(PROGRAM);
            let server = Server::start_as(program, "127.0.0.1:0", folder, &[]);
            let process = server.process();
            let progress = Arc::new(Progress::default());
            let mut workers: Vec<Worker> =
                pairs.iter().map(|pair| Worker::new(&server, pair, random.u64(..), &progress)).collect();
            if run == 1 {
                workers[0].call_with_much_media().unwrap();
            }
            let ports: Vec<u16> = workers.iter().map(|worker| worker.port).collect();
            let threads: Vec<_> = workers.into_iter().map(|worker| thread::spawn(|| worker.run())).collect();
            let deadline = Instant::now() + Duration::from_secs(120);
            while progress.acknowledged.load(Ordering::Relaxed) < writes {
                assert!(Instant::now() < deadline, "not {writes} writes within two minutes");
                assert!(threads.iter().all(|thread| !thread.is_finished()), "a client failed");
                thread::sleep(Duration::from_millis(1));
            }
            progress.stop.store(true, Ordering::Relaxed);
            for (port, thread) in ports.into_iter().zip(threads) {
                clients.push(Client { run, port, history: thread.join().unwrap() });
            }
            (folder, _) = server.stop(if run == 0 { Signal::SIGKILL } else { Signal::SIGTERM });
            wait_for_end(&log, process.as_raw());
            recording.add(&log);
        }
        let seconds = begun.elapsed();

        // The recording is complete: its replay gives the files in the folder.
        let mut disk = Disk::new(&recording, &before, IgnoredSyncs::None);
        recording.steps.iter().for_each(|step| disk.step(*step));
        let replayed = disk.after_power_loss(Survival::All, random);
        assert!(replayed == files(folder.path()), "the recording is not complete");

        let positions = Positions::of(&recording, &before);
        assert!(
            !positions.in_checkpoints.is_empty() && !positions.in_new_logs.is_empty(),
            "no checkpoint was recorded"
        );
        let recorded = Self { before, recording, clients, positions, seconds };
        let responses = recorded.recording.positions_of(|call| matches!(call, SystemCall::Acknowledged { .. })).len();
        assert_eq!(responses, recorded.acknowledged(), "a response is missing in the recording");
        recorded
    }

    fn acknowledged(&self) -> usize {
        self.clients.iter().map(|client| client.history.writes.len()).sum()
    }

    /// Power losses at random positions, more of them during checkpoints and restarts of the log.
    fn crashes(&self, count: usize, random: &mut Rng, survival: impl Fn(&mut Rng) -> Survival) -> Vec<Crash> {
        let Positions { all, in_checkpoints, in_new_logs } = &self.positions;
        let kinds = [all, in_checkpoints, in_new_logs];
        let by_chance = |number: usize| {
            let kind = kinds[number % kinds.len()];
            (kind[random.usize(..kind.len())], survival(random))
        };
        (0..count).map(by_chance).collect()
    }

    fn assert_nothing_is_lost(&self, crashes: Vec<Crash>, random: &mut Rng) {
        let states = crashes.len();
        let reordered = crashes.iter().filter(|(_, survival)| *survival != Survival::All).count();
        let (begun, served, missing) = (Instant::now(), AtomicUsize::new(0), AtomicUsize::new(0));
        self.replay(crashes, IgnoredSyncs::None, random, |number, remains, folder, verdict| {
            if !verdict.lost.is_empty() || !verdict.damaged.is_empty() {
                let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("power-loss-{}", remains.crash.0));
                fs::create_dir_all(&kept).unwrap();
                remains.write_to(&kept);
                let Verdict { lost, damaged, .. } = verdict;
                panic!("{:?}: lost {lost:?}, damaged {damaged:?}; the files are in {}", remains.crash, kept.display());
            }
            missing.fetch_add(verdict.missing, Ordering::Relaxed);
            // The server starts on some of them.
            if number % 40 == 0 {
                remains.write_to(folder.path());
                let server = Server::start_in(folder, &[]);
                server.assert_integrity();
                assert_eq!(server.value::<i64>("SELECT count(*) FROM live_calls"), 0);
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
        let count = |wanted: fn(&SystemCall) -> bool| self.recording.positions_of(wanted).len();
        println!(
            "recorded in {:.1?}: {} acknowledged writes, {} writes to files, {} new sizes, {} syncs, {} logs begun",
            self.seconds,
            self.acknowledged(),
            count(|call| matches!(call, SystemCall::Written { .. })),
            count(|call| matches!(call, SystemCall::Resized { .. })),
            count(|call| matches!(call, SystemCall::Synced { .. } | SystemCall::FolderSynced)),
            count(|call| matches!(call, SystemCall::Written { name, offset: 0, .. } if name == LOG)),
        );
        let missing = missing.into_inner();
        assert!(missing > 0, "no response was sent before a sync");
        println!(
            "power lost {states} times in {:.1?}, {} at the end of a prefix and {reordered} with writes lost, torn and \
             reordered: no file damaged, synced writes lost 0, newest unsynced writes missing {}; the server started on {}",
            begun.elapsed(),
            states - reordered,
            missing,
            served.into_inner()
        );
    }

    /// Proves that the replay can fail: on a disk that ignores some syncs, it finds lost writes or damaged files.
    fn assert_missing_syncs_are_detected(&self, random: &mut Rng) {
        let late = self.positions.all.len() * 2 / 3;
        for ignored in [IgnoredSyncs::All, IgnoredSyncs::Of(LOG), IgnoredSyncs::Of(DATABASE), IgnoredSyncs::OfFolder] {
            let (lost, damaged) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let crashes: Vec<Crash> = (0..12)
                .map(|number| {
                    let survival = if number % 2 == 0 { Survival::None } else { Survival::random(random) };
                    (self.positions.all[random.usize(late..self.positions.all.len())], survival)
                })
                .collect();
            let states = crashes.len();
            self.replay(crashes, ignored, random, |_, _, _, verdict| {
                lost.fetch_add(usize::from(!verdict.lost.is_empty()), Ordering::Relaxed);
                damaged.fetch_add(usize::from(!verdict.damaged.is_empty()), Ordering::Relaxed);
            });
            let (lost, damaged) = (lost.into_inner(), damaged.into_inner());
            println!(
                "ignored syncs: {ignored:?}. Of {states} states {lost} have lost acknowledged writes and {damaged} are damaged, as \
                 expected"
            );
            let detected = if ignored == IgnoredSyncs::Of(DATABASE) { lost + damaged } else { lost };
            assert!(detected > 0, "the replay does not detect missing syncs: {ignored:?}");
        }
    }

    /// Proves that the replay detects a response that is sent before the sync.
    fn assert_early_responses_are_detected(&mut self, random: &mut Rng) {
        self.recording.respond_before_syncs_of(LOG);
        let mut responses = self.recording.positions_of(|call| matches!(call, SystemCall::Acknowledged { .. }));
        random.shuffle(&mut responses);
        // Most responses are to unsynced writes.
        let crashes: Vec<Crash> = responses.into_iter().take(48).map(|response| (response, Survival::None)).collect();
        let (states, lost) = (crashes.len(), AtomicUsize::new(0));
        self.replay(crashes, IgnoredSyncs::None, random, |_, _, _, verdict| {
            assert!(verdict.damaged.is_empty(), "{:?}", verdict.damaged);
            lost.fetch_add(usize::from(!verdict.lost.is_empty()), Ordering::Relaxed);
        });
        let lost = lost.into_inner();
        println!("responses before syncs: of {states} states {lost} have lost acknowledged writes, as expected");
        assert!(lost > 0, "the replay does not detect early responses");
    }

    /// Replays to each crash, and calls `judge` with its number, its files, an empty folder, and the verdict.
    fn replay(
        &self,
        mut crashes: Vec<Crash>,
        ignored: IgnoredSyncs,
        random: &mut Rng,
        judge: impl Fn(usize, &Remains, TempDir, &Verdict) + Sync,
    ) {
        crashes.sort_by_key(|(position, _)| *position);
        let (sender, receiver) = sync_channel::<(usize, Remains)>(4);
        let receiver = Mutex::new(receiver);
        let work = |receiver: &Mutex<Receiver<(usize, Remains)>>| {
            loop {
                // The lock is released before the work.
                let next = receiver.lock().unwrap().recv();
                let Ok((number, remains)) = next else { return };
                let folder = TempDir::new().unwrap();
                let verdict = self.examine(&remains, folder.path());
                judge(number, &remains, TempDir::new().unwrap(), &verdict);
            }
        };
        thread::scope(|scope| {
            let workers = thread::available_parallelism().map_or(2, Into::into);
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(|| work(&receiver))).collect();
            let mut disk = Disk::new(&self.recording, &self.before, ignored);
            let mut acknowledged = Acknowledged::default();
            let mut crashes = crashes.into_iter().enumerate().peekable();
            for (position, step) in self.recording.steps.iter().enumerate() {
                disk.step(*step);
                acknowledged.step(&self.recording, *step);
                while let Some((number, crash)) = crashes.next_if(|(_, crash)| crash.0 == position) {
                    let files = disk.after_power_loss(crash.1, random);
                    let required = self.clients.iter().map(|client| acknowledged.of(client)).collect();
                    // Fails when all workers have failed.
                    if sender.send((number, Remains { crash, files, required })).is_err()
                        || workers.iter().any(thread::ScopedJoinHandle::is_finished)
                    {
                        break;
                    }
                }
            }
            drop(sender);
        });
    }

    fn examine(&self, remains: &Remains, folder: &Path) -> Verdict {
        remains.write_to(folder);
        let mut verdict = Verdict::default();
        let rows = open(&folder.join(DATABASE)).and_then(|mut connection| {
            verdict.damaged = damage(&connection)?;
            Rows::of(&mut connection)
        });
        match rows {
            Ok(rows) => {
                for (client, Required { acknowledged, synced, restart }) in self.clients.iter().zip(&remains.required) {
                    match client.history.check_after_power_loss(*synced, *acknowledged, *restart, &rows) {
                        Ok(missing) => verdict.missing += missing,
                        Err(differences) => verdict.lost.extend(differences),
                    }
                }
            }
            Err(error) => verdict.damaged.push(error.to_string()),
        }
        verdict
    }
}

/// A connection that recovers the log. It closes without a checkpoint, which would be slow.
fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    Ok(connection)
}

impl Remains {
    fn write_to(&self, folder: &Path) {
        for (name, bytes) in &self.files {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

impl Positions {
    fn of(recording: &Recording, before: &BTreeMap<String, Vec<u8>>) -> Self {
        /// About the steps of two transactions.
        const NEW: usize = 100;
        let mut positions = Self { all: Vec::new(), in_checkpoints: Vec::new(), in_new_logs: Vec::new() };
        let mut disk = Disk::new(recording, before, IgnoredSyncs::None);
        let mut new_log = None;
        for (position, step) in recording.steps.iter().enumerate() {
            disk.step(*step);
            let (Step::Begin(call) | Step::End(call)) = *step;
            if matches!(&recording.calls[call], SystemCall::Written { name, offset: 0, .. } if name == LOG) {
                new_log = Some(position);
            }
            // A write may take effect from its start, so its end is no new state. A sync takes effect at its end.
            let is_end = matches!(step, Step::End(_));
            let is_sync = matches!(recording.calls[call], SystemCall::Synced { .. } | SystemCall::FolderSynced);
            if is_end && !is_sync {
                continue;
            }
            positions.all.push(position);
            if disk.has_unsynced(DATABASE) {
                positions.in_checkpoints.push(position);
            }
            if new_log.is_some_and(|begun| position - begun < NEW) {
                positions.in_new_logs.push(position);
            }
        }
        positions
    }
}

/// The acknowledged writes up to a position of the recording.
#[derive(Default)]
struct Acknowledged {
    started: usize,
    serving: HashSet<usize>,
    responses: HashMap<(usize, u16), usize>,
    /// The responses before the start of each sync of the log that runs, and of those that have ended.
    syncing: HashMap<usize, HashMap<(usize, u16), usize>>,
    synced: HashMap<(usize, u16), usize>,
}

impl Acknowledged {
    /// A response counts from the start of its transmission.
    fn step(&mut self, recording: &Recording, step: Step) {
        let call = match step {
            Step::Begin(call) => call,
            Step::End(call) => {
                for (client, count) in self.syncing.remove(&call).unwrap_or_default() {
                    let synced = self.synced.entry(client).or_default();
                    *synced = count.max(*synced);
                }
                return;
            }
        };
        match &recording.calls[call] {
            SystemCall::Synced { name } if name == LOG => drop(self.syncing.insert(call, self.responses.clone())),
            SystemCall::Started => self.started += 1,
            SystemCall::Printed => drop(self.serving.insert(self.started)),
            SystemCall::Acknowledged { port } => *self.responses.entry((self.started - 1, *port)).or_default() += 1,
            _ => {}
        }
    }

    fn of(&self, client: &Client) -> Required {
        let count = |of: &HashMap<(usize, u16), usize>| of.get(&(client.run, client.port)).copied().unwrap_or_default();
        let later = client.run + 2;
        let restart = if self.serving.contains(&later) {
            Restart::Done
        } else if self.started >= later {
            Restart::UnderWay
        } else {
            Restart::No
        };
        Required { acknowledged: count(&self.responses), synced: count(&self.synced), restart }
    }
}

/// The files of a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}
