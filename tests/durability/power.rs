//! Power loss at any instant: the server's system calls are recorded once and replayed to the possible states of the
//! disk. In each of them the file passes SQLite's checks and holds every write acknowledged until then.

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

use crate::disk::{Disk, Survival, Without};
use crate::ledger::{History, Restart, Rows, damage};
use crate::load::{PATIENT_SETTINGS, Pair, Progress, Work};
use crate::recording::{Recording, Step, What, assert_can_trace, strace, wait_for_end};
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
    recorded.assert_missing_syncs_are_noticed(&mut random);
    recorded.assert_early_answers_are_noticed(&mut random);
}

#[test]
#[ignore = "takes minutes"]
fn power_loss_at_every_instant_loses_nothing() {
    let mut random = Rng::with_seed(crate::seed());
    let mut recorded = Recorded::new(&mut random, [60, 240, 40]);
    let mut crashes: Vec<Crash> = recorded.instants.all.iter().map(|instant| (*instant, Survival::All)).collect();
    crashes.extend(recorded.crashes(2_000, &mut random, Survival::random));
    recorded.assert_nothing_is_lost(crashes, &mut random);
    recorded.assert_missing_syncs_are_noticed(&mut random);
    recorded.assert_early_answers_are_noticed(&mut random);
}

/// A position in the recording, and how much of the unsynced data survives.
type Crash = (usize, Survival);

/// Positions in the recording.
struct Instants {
    all: Vec<usize>,
    /// A checkpoint has written to the database and not synced it.
    in_checkpoints: Vec<usize>,
    /// The log was just restarted and overwrites its earlier frames.
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
    instants: Instants,
    seconds: Duration,
}

/// The files after a power loss, and what they must hold.
struct Found {
    crash: Crash,
    files: BTreeMap<String, Vec<u8>>,
    /// The number of acknowledged writes of each client, and whether a later server has started.
    due: Vec<(usize, Restart)>,
}

#[derive(Default)]
struct Verdict {
    lost: Vec<String>,
    broken: Vec<String>,
}

impl Recorded {
    /// Records three servers on one file, each until the given number of acknowledged writes. The first is killed, so
    /// that the second recovers the log; the third creates a new one.
    fn new(random: &mut Rng, writes: [usize; 3]) -> Self {
        assert_can_trace();
        let begun = Instant::now();
        let server = Server::start();
        server.execute(PATIENT_SETTINGS);
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
            let mut works: Vec<Work> =
                pairs.iter().map(|pair| Work::new(&server, pair, random.u64(..), &progress)).collect();
            if run == 1 {
                works[0].much_media().unwrap();
            }
            let ports: Vec<u16> = works.iter().map(|work| work.port).collect();
            let threads: Vec<_> = works.into_iter().map(|work| thread::spawn(|| work.run())).collect();
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
        let mut disk = Disk::new(&recording, &before, Without::Nothing);
        recording.steps.iter().for_each(|step| disk.step(*step));
        let replayed = disk.after_power_loss(Survival::All, random);
        assert!(replayed == files(folder.path()), "the recording is not complete");

        let instants = Instants::of(&recording, &before);
        assert!(!instants.in_checkpoints.is_empty() && !instants.in_new_logs.is_empty(), "no checkpoint was recorded");
        let recorded = Self { before, recording, clients, instants, seconds };
        let answers = recorded.recording.where_begins(|what| matches!(what, What::Answered { .. })).len();
        assert_eq!(answers, recorded.acknowledged(), "every answer is in the recording");
        recorded
    }

    fn acknowledged(&self) -> usize {
        self.clients.iter().map(|client| client.history.deeds.len()).sum()
    }

    /// Power losses at random instants, more of them during checkpoints and restarts of the log.
    fn crashes(&self, count: usize, random: &mut Rng, survival: impl Fn(&mut Rng) -> Survival) -> Vec<Crash> {
        let Instants { all, in_checkpoints, in_new_logs } = &self.instants;
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
        let (begun, served) = (Instant::now(), AtomicUsize::new(0));
        self.replay(crashes, Without::Nothing, random, |number, found, folder, verdict| {
            if !verdict.lost.is_empty() || !verdict.broken.is_empty() {
                let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("power-loss-{}", found.crash.0));
                fs::create_dir_all(&kept).unwrap();
                found.write_to(&kept);
                let Verdict { lost, broken } = verdict;
                panic!("{:?}: lost {lost:?}, broken {broken:?}; the files are in {kept:?}", found.crash);
            }
            // The server starts on some of them.
            if number % 40 == 0 {
                found.write_to(folder.path());
                let server = Server::start_in(folder, &[]);
                server.assert_integrity();
                assert_eq!(server.value::<i64>("SELECT count(*) FROM live_calls"), 0);
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
        let count = |wanted: fn(&What) -> bool| self.recording.where_begins(wanted).len();
        println!(
            "recorded in {:.1?}: {} acknowledged writes, {} writes to files, {} new sizes, {} syncs, {} logs begun",
            self.seconds,
            self.acknowledged(),
            count(|what| matches!(what, What::Written { .. })),
            count(|what| matches!(what, What::Resized { .. })),
            count(|what| matches!(what, What::Synced { .. } | What::FolderSynced)),
            count(|what| matches!(what, What::Written { name, offset: 0, .. } if name == LOG)),
        );
        println!(
            "power lost {states} times in {:.1?}, {} at the end of a prefix and {reordered} with writes lost, torn and \
             reordered: every file in order, acknowledged writes lost 0; the server started on {}",
            begun.elapsed(),
            states - reordered,
            served.into_inner()
        );
    }

    /// Proves that the replay can fail: on a disk that ignores some syncs, it finds lost writes or a damaged file.
    fn assert_missing_syncs_are_noticed(&self, random: &mut Rng) {
        let late = self.instants.all.len() * 2 / 3;
        for without in [Without::AllSyncs, Without::SyncsOf(LOG), Without::SyncsOf(DATABASE), Without::FolderSyncs] {
            let (lost, broken) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let crashes: Vec<Crash> = (0..12)
                .map(|number| {
                    let survival = if number % 2 == 0 { Survival::None } else { Survival::random(random) };
                    (self.instants.all[random.usize(late..self.instants.all.len())], survival)
                })
                .collect();
            let states = crashes.len();
            self.replay(crashes, without, random, |_, _, _, verdict| {
                lost.fetch_add(usize::from(!verdict.lost.is_empty()), Ordering::Relaxed);
                broken.fetch_add(usize::from(!verdict.broken.is_empty()), Ordering::Relaxed);
            });
            let (lost, broken) = (lost.into_inner(), broken.into_inner());
            println!(
                "without {without:?}: of {states} states {lost} have lost acknowledged writes and {broken} are broken, as it \
                 should be"
            );
            let noticed = if without == Without::SyncsOf(DATABASE) { lost + broken } else { lost };
            assert!(noticed > 0, "the replay does not notice that syncs are missing: {without:?}");
        }
    }

    /// Proves that the replay notices a response that is sent before the sync.
    fn assert_early_answers_are_noticed(&mut self, random: &mut Rng) {
        self.recording.answer_before_syncs_of(LOG);
        let mut answers = self.recording.where_begins(|what| matches!(what, What::Answered { .. }));
        random.shuffle(&mut answers);
        let crashes: Vec<Crash> = answers.into_iter().take(12).map(|answer| (answer, Survival::None)).collect();
        let (states, lost) = (crashes.len(), AtomicUsize::new(0));
        self.replay(crashes, Without::Nothing, random, |_, _, _, verdict| {
            assert!(verdict.broken.is_empty(), "{:?}", verdict.broken);
            lost.fetch_add(usize::from(!verdict.lost.is_empty()), Ordering::Relaxed);
        });
        let lost = lost.into_inner();
        println!(
            "had it answered before the sync: of {states} states {lost} have lost acknowledged writes, as it should be"
        );
        assert!(lost > 0, "the replay does not notice that answers come too early");
    }

    /// Replays to each crash and calls `judge` with the files, a work folder, and the verdict.
    fn replay(
        &self,
        mut crashes: Vec<Crash>,
        without: Without,
        random: &mut Rng,
        judge: impl Fn(usize, &Found, TempDir, &Verdict) + Sync,
    ) {
        crashes.sort_by_key(|(position, _)| *position);
        let (sender, receiver) = sync_channel::<(usize, Found)>(4);
        let receiver = Mutex::new(receiver);
        let work = |receiver: &Mutex<Receiver<(usize, Found)>>| {
            loop {
                // The lock is released before the work.
                let next = receiver.lock().unwrap().recv();
                let Ok((number, found)) = next else { return };
                let folder = TempDir::new().unwrap();
                let verdict = self.examine(&found, folder.path());
                judge(number, &found, TempDir::new().unwrap(), &verdict);
            }
        };
        thread::scope(|scope| {
            let workers = thread::available_parallelism().map_or(2, Into::into);
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(|| work(&receiver))).collect();
            let mut disk = Disk::new(&self.recording, &self.before, without);
            let mut due = Due::default();
            let mut crashes = crashes.into_iter().enumerate().peekable();
            for (position, step) in self.recording.steps.iter().enumerate() {
                disk.step(*step);
                due.step(&self.recording, *step);
                while let Some((number, crash)) = crashes.next_if(|(_, crash)| crash.0 == position) {
                    let files = disk.after_power_loss(crash.1, random);
                    let due = self.clients.iter().map(|client| due.of(client)).collect();
                    // Fails when all workers have failed.
                    if sender.send((number, Found { crash, files, due })).is_err()
                        || workers.iter().any(thread::ScopedJoinHandle::is_finished)
                    {
                        break;
                    }
                }
            }
            drop(sender);
        });
    }

    fn examine(&self, found: &Found, folder: &Path) -> Verdict {
        found.write_to(folder);
        let mut verdict = Verdict::default();
        let looked = open(&folder.join(DATABASE)).and_then(|mut connection| {
            verdict.broken = damage(&connection)?;
            Rows::of(&mut connection)
        });
        match looked {
            Ok(rows) => {
                for (client, (acknowledged, restart)) in self.clients.iter().zip(&found.due) {
                    verdict.lost.extend(client.history.check(*acknowledged, *restart, &rows));
                }
            }
            Err(error) => verdict.broken.push(error.to_string()),
        }
        verdict
    }
}

/// A connection that recovers the log. It is closed without a checkpoint, which would be slow.
fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    Ok(connection)
}

impl Found {
    fn write_to(&self, folder: &Path) {
        for (name, bytes) in &self.files {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

impl Instants {
    fn of(recording: &Recording, before: &BTreeMap<String, Vec<u8>>) -> Self {
        /// Steps in about two transactions.
        const NEW: usize = 100;
        let mut instants = Self { all: Vec::new(), in_checkpoints: Vec::new(), in_new_logs: Vec::new() };
        let mut disk = Disk::new(recording, before, Without::Nothing);
        let mut new_log = None;
        for (position, step) in recording.steps.iter().enumerate() {
            disk.step(*step);
            let (Step::Begins(call) | Step::Ends(call)) = *step;
            if matches!(&recording.calls[call], What::Written { name, offset: 0, .. } if name == LOG) {
                new_log = Some(position);
            }
            // A call that has started may have had its effect. Only for a sync does its return matter.
            let returned = matches!(step, Step::Ends(_));
            let makes_certain = matches!(recording.calls[call], What::Synced { .. } | What::FolderSynced);
            if returned && !makes_certain {
                continue;
            }
            instants.all.push(position);
            if disk.is_uncertain(DATABASE) {
                instants.in_checkpoints.push(position);
            }
            if new_log.is_some_and(|begun| position - begun < NEW) {
                instants.in_new_logs.push(position);
            }
        }
        instants
    }
}

/// The acknowledged writes up to a position.
#[derive(Default)]
struct Due {
    started: usize,
    serving: HashSet<usize>,
    answers: HashMap<(usize, u16), usize>,
}

impl Due {
    /// A response counts from the start of its transmission.
    fn step(&mut self, recording: &Recording, step: Step) {
        let Step::Begins(call) = step else { return };
        match &recording.calls[call] {
            What::Started => self.started += 1,
            What::Said => drop(self.serving.insert(self.started)),
            What::Answered { port } => *self.answers.entry((self.started - 1, *port)).or_default() += 1,
            _ => {}
        }
    }

    fn of(&self, client: &Client) -> (usize, Restart) {
        let acknowledged = self.answers.get(&(client.run, client.port)).copied().unwrap_or_default();
        let later = client.run + 2;
        let restart = if self.serving.contains(&later) {
            Restart::Done
        } else if self.started >= later {
            Restart::UnderWay
        } else {
            Restart::No
        };
        (acknowledged, restart)
    }
}

/// The files of a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}
