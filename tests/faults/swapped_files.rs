//! Files of the database that are moved, deleted or replaced under a running server. It ends within a second, and
//! acknowledges no write that is not in the files at their paths.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::active_call::{ActiveCall, Clients, Sent, stored_numbers, unique};
use crate::lock_machine;
use crate::support::{PROGRAM, Server, wait};

/// Runs a shell command in the folder, as an admin does.
fn run(folder: &Path, command: &str) {
    assert!(Command::new("sh").args(["-euc", command]).current_dir(folder).status().unwrap().success(), "{command}");
}

/// What an admin did, and where the acknowledged writes are afterwards: the database, if the swap has not deleted it. A `cp`
/// of a database in use would be a damaged one at times.
const SWAPS: [(&str, Option<&str>); 10] = [
    ("sqlite3 presence.db \"VACUUM INTO 'backup'\"; mv backup presence.db", None),
    ("sqlite3 presence.db \"VACUUM INTO 'copy'\"; mv presence.db moved.db; mv copy presence.db", Some("moved.db")),
    ("mv presence.db moved.db", Some("moved.db")),
    ("rm presence.db", None),
    ("rm presence.db presence.db-wal presence.db-shm", None),
    ("rm presence.db-wal", Some("presence.db")),
    ("rm presence.db-shm", Some("presence.db")),
    ("rm presence.db-wal presence.db-shm", Some("presence.db")),
    ("mv presence.db-wal away", Some("presence.db")),
    ("cp presence.db-wal copy; mv copy presence.db-wal", None),
];

/// Clients write while the swap happens. The server ends with 74 and one line that names the file, and all acknowledged
/// writes are in the file that was open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swapped_file_ends_the_server_and_loses_no_acknowledged_write() {
    let _machine = lock_machine().await;
    for (swap, database) in SWAPS {
        let logs = TempDir::new().unwrap();
        let log = logs.path().join("log");
        let call = ActiveCall::start(Server::start_logging(TempDir::new().unwrap(), &log)).await;
        let folder = call.server.folder.path().to_owned();
        let clients = Clients::start(&call, 4);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let swapped_at = Instant::now();
        run(&folder, swap);
        let Sent { acknowledged, .. } = clients.join().await;
        let (folder, status) = call.server.wait_for_end();
        let took = swapped_at.elapsed();
        assert_eq!(status.code(), Some(74), "{swap}");
        assert!(took < Duration::from_secs(8), "{swap}: {took:?}");
        let log = fs::read_to_string(&log).unwrap();
        let errors: Vec<_> = log.lines().filter(|line| line.contains("while it was open")).collect();
        assert_eq!(errors.len(), 1, "{swap}: {log}");
        assert!(errors[0].starts_with("error: ") && errors[0].contains("/presence.db"), "{swap}: {log}");
        let acknowledged = unique(acknowledged);
        assert!(!acknowledged.is_empty());
        if let Some(database) = database {
            let stored = unique(stored_numbers(&folder.path().join(database)));
            let lost: Vec<_> = acknowledged.difference(&stored).collect();
            assert!(lost.is_empty(), "{swap}: lost {lost:?} of {}", acknowledged.len());
        }
        // The next start finds a whole database, with no log of another file beside it.
        Server::start_in(folder, &[]).assert_integrity();
        println!("{swap}: ended after {took:.1?}, {} writes acknowledged", acknowledged.len());
    }
}

/// Without any request, the server notices soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_server_notices_a_swap() {
    let _machine = lock_machine().await;
    for swap in ["cp presence.db b; mv b presence.db", "rm presence.db-wal", "rm presence.db*"] {
        let server = Server::start();
        let swapped_at = Instant::now();
        run(server.folder.path(), swap);
        let (_, status) = server.wait_for_end();
        let took = swapped_at.elapsed();
        assert_eq!(status.code(), Some(74), "{swap}");
        // Half a second between two looks; the rest is for a slow machine.
        assert!(took < Duration::from_secs(4), "{swap}: {took:?}");
    }
    // The folder is moved, and moved back later.
    let outer = TempDir::new().unwrap();
    let (inner, moved) = (outer.path().join("inner"), outer.path().join("moved"));
    fs::create_dir(&inner).unwrap();
    let mut server = Command::new(PROGRAM);
    server.arg("--db").arg(inner.join("presence.db")).args(["serve", "--listen", "127.0.0.1:0"]);
    let mut server = server.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = std::io::BufReader::new(server.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut String::new()).unwrap();
    fs::rename(&inner, &moved).unwrap();
    assert_eq!(wait(&mut server, Duration::from_secs(4)).code(), Some(74));
}

/// A second server on the path is refused while the first one runs, although the first one's file is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_is_refused_on_the_path_of_a_moved_file() {
    let _machine = lock_machine().await;
    let server = Server::start();
    // A stopped process keeps its locks, and cannot notice the swap first.
    nix::sys::signal::kill(server.process(), nix::sys::signal::Signal::SIGSTOP).unwrap();
    for swap in ["mv presence.db first.db; rm presence.db-*", "rm -f presence.db*; cp first.db presence.db"] {
        run(server.folder.path(), swap);
        let second = Command::new(PROGRAM)
            .arg("--db")
            .arg(server.db())
            .args(["serve", "--listen", "127.0.0.1:0"])
            .output()
            .unwrap();
        let error = String::from_utf8(second.stderr).unwrap();
        assert_eq!(second.status.code(), Some(1), "{swap}: {error}");
        assert!(error.ends_with("presence.db: another server is running on this file\n"), "{error}");
    }
    nix::sys::signal::kill(server.process(), nix::sys::signal::Signal::SIGCONT).unwrap();
    let (folder, status) = server.wait_for_end();
    assert_eq!(status.code(), Some(74));
    Server::start_in(folder, &[]).assert_integrity();
}
