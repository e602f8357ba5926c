//! A standby by Litestream: a copy that follows the file of a running server. The machine of the server is lost under load,
//! and the standby serves: without the newest writes, and with all that were committed before them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::ledger::{History, Restart, Rows, damage};
use crate::load::{LONG_TIMEOUTS, Pair, Progress, Worker};
use crate::support::{PROGRAM, Server, connect, wait};

const CONNECTIONS: usize = 8;

/// Acknowledged writes before the machine is lost: they take several of the intervals in which Litestream copies.
const WRITES: usize = 4_000;

/// The most seconds of writes that may be lost. The interval is a second; a busy machine needs more.
const LOST_MAX: f64 = 10.0;

/// Litestream where `tests/run` has installed it, or on the path.
fn litestream() -> Command {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/litestream/bin/litestream");
    Command::new(if installed.exists() { installed } else { PathBuf::from("litestream") })
}

/// A process of Litestream that ends with this.
struct Litestream(Child);

impl Litestream {
    /// Copies the commits of a file to a folder, as configured in the documentation.
    fn replicate(database: &Path, replica: &Path, folder: &Path) -> Self {
        let page = include_str!("../../src/docs/standby.md");
        let block = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let block = block.replace("/var/lib/minimost-calls/presence.db", database.to_str().unwrap());
        let block = block.replace("/mnt/standby/presence", replica.to_str().unwrap());
        let configuration = folder.join("litestream.yml");
        fs::write(&configuration, block).unwrap();
        Self::start(litestream().arg("replicate").arg("-config").arg(configuration))
    }

    /// Restores a copy from a folder, and goes on with each new commit.
    fn follow(replica: &Path, copy: &Path) -> Self {
        let mut command = litestream();
        command.args(["restore", "-f", "-follow-interval", "100ms", "-o"]).arg(copy);
        Self::start(command.arg(format!("file://{}", replica.display())))
    }

    fn start(command: &mut Command) -> Self {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(quiet.spawn().expect("tests/run installs Litestream"))
    }

    fn end(&mut self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
        wait(&mut self.0, Duration::from_secs(20));
    }
}

impl Drop for Litestream {
    fn drop(&mut self) {
        if self.0.try_wait().unwrap().is_none() {
            self.end(Signal::SIGKILL);
        }
    }
}

/// Waits until a copy has users of the file.
fn wait_for_users(copy: &Path) {
    let begun = Instant::now();
    let has_users = || -> rusqlite::Result<bool> {
        let users = connect_to_copy(copy)?.query_row("SELECT count(*) FROM users", [], |row| row.get::<_, i64>(0))?;
        Ok(users > 0)
    };
    while !copy.exists() || !has_users().unwrap_or(false) {
        assert!(begun.elapsed() < Duration::from_secs(60), "there is no copy after a minute");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A connection that changes nothing, as those who read a following copy need.
fn connect_to_copy(copy: &Path) -> rusqlite::Result<rusqlite::Connection> {
    rusqlite::Connection::open_with_flags(copy, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// The number of acknowledged writes that are missing in `rows`. Fails unless they are the newest.
fn missing(history: &History, rows: &Rows) -> usize {
    let acknowledged = history.writes.len();
    let kept = (0..=acknowledged).rev().find(|kept| history.check(*kept, Restart::No, rows).is_empty()).unwrap();
    let later = history.started_after(kept + 1).filter(|id| rows.has(id)).collect::<Vec<_>>();
    assert_eq!(later, Vec::<&str>::new(), "newer writes are there, and older ones are missing");
    acknowledged - kept
}

#[test]
fn a_standby_serves_after_the_machine_is_lost() {
    let mut random = fastrand::Rng::with_seed(crate::seed());
    let server = Server::start();
    server.execute(LONG_TIMEOUTS);
    server.lift_limits();
    let pairs: Vec<Pair> = (0..CONNECTIONS).map(|number| Pair::new(&server, number)).collect();
    let standby = TempDir::new().unwrap();
    let (replica, copy) = (standby.path().join("replica"), standby.path().join("presence.db"));
    let mut replicating = Litestream::replicate(&server.db(), &replica, standby.path());
    let begun = Instant::now();
    while !replica.exists() {
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is replicated");
        thread::sleep(Duration::from_millis(20));
    }
    let mut following = Litestream::follow(&replica, &copy);
    wait_for_users(&copy);

    let progress = Arc::new(Progress::default());
    let workers = pairs.iter().map(|pair| Worker::new(&server, pair, random.u64(..), &progress));
    let threads: Vec<_> = workers.map(|worker| thread::spawn(|| worker.run())).collect();
    let begun = Instant::now();
    while progress.acknowledged.load(Ordering::Relaxed) < WRITES || begun.elapsed() < Duration::from_secs(5) {
        assert!(begun.elapsed() < Duration::from_secs(60), "not {WRITES} writes within a minute");
        thread::sleep(Duration::from_millis(5));
    }
    // The machine is lost: neither program does anything more.
    replicating.end(Signal::SIGKILL);
    let lost_at: f64 = server.value("SELECT ts FROM now");
    let (original, _) = server.stop(Signal::SIGKILL);
    let histories: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    // Whatever the replica has arrives.
    thread::sleep(Duration::from_secs(2));
    following.end(Signal::SIGINT);

    let mut rows = connect_to_copy(&copy).unwrap();
    let newest: f64 = rows.query_row("SELECT max(ts) FROM events", [], |row| row.get(0)).unwrap();
    let rows = Rows::of(&mut rows).unwrap();
    let acknowledged: usize = histories.iter().map(|history| history.writes.len()).sum();
    let lost: usize = histories.iter().map(|history| missing(history, &rows)).sum();
    let seconds = lost_at - newest;
    assert!(seconds < LOST_MAX, "the newest event is of {seconds} seconds before the loss");
    assert!(lost < acknowledged / 2, "{lost} of {acknowledged} writes are lost");

    // The standby serves, and is sound.
    let begun = Instant::now();
    let check = Command::new(PROGRAM).arg("--db").arg(&copy).arg("check").output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let standby = Server::start_in(standby, &[]);
    let serves_after = begun.elapsed();
    assert_eq!(damage(&standby.sql()).unwrap(), Vec::<String>::new());
    let restarted = Rows::of(&mut standby.sql()).unwrap();
    assert!(restarted.finished().len() >= rows.finished().len());
    // The file of the lost machine has everything, should it be found again.
    let found = Rows::of(&mut connect(&original.path().join("presence.db"))).unwrap();
    assert_eq!(histories.iter().map(|history| missing(history, &found)).sum::<usize>(), 0);
    println!(
        "{acknowledged} writes acknowledged, {lost} of the newest are lost, in {seconds:.2} s; the standby was checked and \
         served after {serves_after:.2?}"
    );
}
