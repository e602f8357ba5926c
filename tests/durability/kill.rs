//! `kill -9` under load: acknowledged writes are in the file, before and after a restart.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::ledger::{Restart, Rows, damage};
use crate::load::{LONG_TIMEOUTS, Pair, Progress, Worker};
use crate::raw::Raw;
use crate::support::{Server, connect};

const CONNECTIONS: usize = 16;

/// The least number of acknowledged writes in a round.
const WRITES: usize = 1_000;

#[test]
fn killed_server_loses_nothing() {
    rounds(3);
}

#[test]
#[ignore = "takes minutes"]
fn server_killed_a_hundred_times_loses_nothing() {
    rounds(100);
}

/// Rounds on one file: load, kill, check, restart.
fn rounds(rounds: usize) {
    let mut random = fastrand::Rng::with_seed(crate::seed());
    let mut server = Server::start();
    server.execute(LONG_TIMEOUTS);
    server.lift_limits();
    let pairs: Vec<Pair> = (0..CONNECTIONS).map(|number| Pair::new(&server, number)).collect();
    let (mut acknowledged, mut without_response, mut slowest) = (0, 0, Duration::ZERO);
    let mut finished = HashMap::new();
    for round in 0..rounds {
        let progress = Arc::new(Progress::default());
        let workers = pairs.iter().map(|pair| Worker::new(&server, pair, random.u64(..), &progress));
        let threads: Vec<_> = workers.map(|worker| thread::spawn(|| worker.run())).collect();
        let enough = WRITES + random.usize(..WRITES / 2);
        let deadline = Instant::now() + Duration::from_secs(60);
        while progress.acknowledged.load(Ordering::Relaxed) < enough {
            assert!(Instant::now() < deadline, "not {enough} writes within a minute");
            assert!(threads.iter().all(|thread| !thread.is_finished()), "a client failed");
            thread::sleep(Duration::from_millis(1));
        }
        let (folder, status) = server.stop(Signal::SIGKILL);
        assert!(!status.success());
        let histories: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        acknowledged += histories.iter().map(|history| history.writes.len()).sum::<usize>();
        without_response += histories.iter().filter(|history| history.attempt.is_some()).count();

        // Checks a copy: opening the file itself would recover it before the server does.
        let copy = TempDir::new().unwrap();
        for name in ["presence.db", "presence.db-wal"] {
            fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
        }
        let copy = copy.path().join("presence.db");
        assert_eq!(checked_by_debian(&copy), "ok\n");
        let rows = Rows::of(&mut connect(&copy)).unwrap();
        for history in &histories {
            let differences = history.check(history.writes.len(), Restart::No, &rows);
            assert_eq!(differences, Vec::<String>::new(), "round {round}");
        }

        let begun = Instant::now();
        server = Server::start_in(folder, &[]);
        let response = Raw::connect(&server).send("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").response().unwrap();
        assert_eq!(response.status, 200);
        slowest = slowest.max(begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?} to serve again", begun.elapsed());

        let mut sql = server.sql();
        assert_eq!(damage(&sql).unwrap(), Vec::<String>::new());
        let started = Rows::of(&mut sql).unwrap();
        for history in &histories {
            let differences = history.check(history.writes.len(), Restart::Done, &started);
            assert_eq!(differences, Vec::<String>::new(), "round {round}, after the start");
        }
        // Calls and shares that finished in earlier rounds are unchanged.
        let now_finished = started.finished();
        assert!(finished.iter().all(|(id, outcome)| now_finished.get(id) == Some(outcome)), "history has changed");
        finished = now_finished;
    }
    assert!(acknowledged >= rounds * WRITES && without_response > 0);
    println!(
        "killed {rounds} times with {without_response} pending requests: {acknowledged} acknowledged writes, lost 0, \
         {} calls and shares, slowest time to serve again {slowest:?}",
        finished.len()
    );
}

/// The output of Debian's `sqlite3` about a file.
fn checked_by_debian(path: &std::path::Path) -> String {
    let checks = ["PRAGMA integrity_check", "PRAGMA foreign_key_check", "SELECT * FROM integrity_violations"];
    let output = Command::new("sqlite3").arg("-batch").arg(path).args(checks).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
