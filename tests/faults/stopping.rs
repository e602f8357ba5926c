//! SIGTERM under load.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::task::JoinSet;

use crate::alone;
use crate::scenes::{Numbers, Stream, Talk, each_once, stored};
use crate::shell::Shell;
use crate::support::{Server, connect};

const CLIENTS: usize = 32;

#[derive(Default)]
struct Seen {
    acknowledged: Vec<u64>,
    /// 503, because the server stops.
    refused: BTreeSet<u64>,
    /// Without a response, or without a connection.
    unanswered: BTreeSet<u64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_finishes_begun_writes_and_keeps_acknowledged_ones() {
    let _alone = alone().await;
    for load in [Duration::from_millis(300), Duration::from_millis(900), Duration::from_millis(1500)] {
        let talk = Talk::on(Server::start()).await;
        let streams = [Stream::open(&talk.alice).await, Stream::open(&talk.bob).await];
        let numbers = Numbers::default();
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (sender, numbers) = (talk.sender(), numbers.clone());
            clients.spawn(async move {
                let mut seen = Seen::default();
                loop {
                    let number = numbers.next();
                    match sender.send(number).await {
                        Ok(answer) if answer.status == 200 => seen.acknowledged.push(number),
                        Ok(answer) => {
                            assert_eq!((answer.status, answer.code.as_str()), (503, "stopping"));
                            seen.refused.insert(number);
                        }
                        Err(_) => {
                            seen.unanswered.insert(number);
                            return seen;
                        }
                    }
                }
            });
        }
        tokio::time::sleep(load).await;
        let server = talk.server;
        let begun = Instant::now();
        let (folder, status) = tokio::task::spawn_blocking(|| server.stop(Signal::SIGTERM)).await.unwrap();
        let took = begun.elapsed();
        let mut all = Seen::default();
        for seen in clients.join_all().await {
            all.acknowledged.extend(seen.acknowledged);
            all.refused.extend(seen.refused);
            all.unanswered.extend(seen.unanswered);
        }
        let file = folder.path().join("presence.db");
        assert!(!file.with_extension("db-wal").exists(), "the file is closed");
        let stored = each_once(stored(&file));
        let acknowledged = each_once(all.acknowledged);
        println!(
            "SIGTERM among {CLIENTS} connections that write: {} acknowledged, {} stored, {} refused, {} met a server that was gone, \
             of which {} had been done; exit {status} after {took:.2?}",
            acknowledged.len(),
            stored.len(),
            all.refused.len(),
            all.unanswered.len(),
            all.unanswered.intersection(&stored).count(),
        );
        assert_eq!(status.code(), Some(0));
        assert!(took < Duration::from_secs(5));
        assert!(acknowledged.len() > 20, "there was a load");
        // Every write that was done was also acknowledged.
        assert_eq!(stored, acknowledged);
        let sql = connect(&file);
        assert_eq!(sql.query_row("SELECT count(*) FROM integrity_violations", [], |row| row.get(0)), Ok(0));
        assert_eq!(sql.query_row("PRAGMA integrity_check", [], |row| row.get(0)), Ok("ok".to_owned()));
        drop(streams);
    }
}

/// A write that waits for another program's lock is reported as not done before the server ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_fails_writes_that_wait_for_a_lock() {
    let _alone = alone().await;
    let talk = Talk::on(Server::start()).await;
    let mut admin = Shell::open(&talk.server.db());
    admin.run("BEGIN IMMEDIATE");
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS as u64 {
        let sender = talk.sender();
        clients.spawn(async move { sender.send(number).await });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let server = talk.server;
    let begun = Instant::now();
    let (folder, status) = tokio::task::spawn_blocking(|| server.stop(Signal::SIGTERM)).await.unwrap();
    let took = begun.elapsed();
    let answers = clients.join_all().await;
    admin.run("COMMIT");
    println!(
        "SIGTERM while another program holds the lock: {} answered, exit {status} after {took:.2?}",
        answers.len()
    );
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.code.as_str()), (503, "stopping"));
    }
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5));
    assert_eq!(stored(&folder.path().join("presence.db")), Vec::<u64>::new());
}
