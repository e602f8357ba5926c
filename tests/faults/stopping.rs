//! SIGTERM under load.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::task::JoinSet;

use crate::active_call::{ActiveCall, Clients, stored_numbers, unique};
use crate::lock_machine;
use crate::shell::Shell;
use crate::support::{EventStream, Server, connect};

const CLIENTS: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_finishes_begun_writes_and_keeps_acknowledged_ones() {
    let _machine = lock_machine().await;
    for load in [Duration::from_millis(300), Duration::from_millis(900), Duration::from_millis(1500)] {
        let call = ActiveCall::start(Server::start()).await;
        let streams =
            [EventStream::open_with_snapshot(&call.alice).await, EventStream::open_with_snapshot(&call.bob).await];
        let clients = Clients::start(&call, CLIENTS);
        tokio::time::sleep(load).await;
        let server = call.server;
        let begun = Instant::now();
        let (folder, status) = tokio::task::spawn_blocking(|| server.stop(Signal::SIGTERM)).await.unwrap();
        let took = begun.elapsed();
        let all = clients.join().await;
        let file = folder.path().join("presence.db");
        assert!(!file.with_extension("db-wal").exists(), "the file is closed");
        let stored = unique(stored_numbers(&file));
        let acknowledged = unique(all.acknowledged);
        println!(
            "SIGTERM with {CLIENTS} connections that write: {} acknowledged, {} stored, {} refused, {} without a response, \
             of which {} stored; exit {status} after {took:.2?}",
            acknowledged.len(),
            stored.len(),
            all.refused.len(),
            all.unanswered.len(),
            all.unanswered.intersection(&stored).count(),
        );
        assert_eq!(status.code(), Some(0));
        assert!(took < Duration::from_secs(5));
        assert!(acknowledged.len() > 20, "there was no load");
        // Every stored write was also acknowledged.
        assert_eq!(stored, acknowledged);
        let sql = connect(&file);
        assert_eq!(sql.query_row("SELECT count(*) FROM integrity_violations", [], |row| row.get(0)), Ok(0));
        assert_eq!(sql.query_row("PRAGMA integrity_check", [], |row| row.get(0)), Ok("ok".to_owned()));
        drop(streams);
    }
}

/// A write that waits for another program's lock is refused before the server ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_fails_writes_that_wait_for_a_lock() {
    let _machine = lock_machine().await;
    let call = ActiveCall::start(Server::start()).await;
    let mut admin = Shell::open(&call.server.db());
    admin.run("BEGIN IMMEDIATE");
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS as u64 {
        let sender = call.sender();
        clients.spawn(async move { sender.send(number).await });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let server = call.server;
    let begun = Instant::now();
    let (folder, status) = tokio::task::spawn_blocking(|| server.stop(Signal::SIGTERM)).await.unwrap();
    let took = begun.elapsed();
    let answers = clients.join_all().await;
    admin.run("COMMIT");
    println!("SIGTERM while another program holds the lock: {} outcome, exit {status} after {took:.2?}", answers.len());
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.code.as_str()), (503, "stopping"));
    }
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5));
    assert_eq!(stored_numbers(&folder.path().join("presence.db")), Vec::<u64>::new());
}
