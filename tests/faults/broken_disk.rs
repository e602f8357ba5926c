//! Writes and fsyncs that fail. A failed write is refused; a failed fsync ends the server with status 74.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::scenes::{Answered, Numbers, Stream, Talk, answered, each_once, stored};
use crate::shell::Shell;
use crate::strace::{Broken, SYNC, WRITE};
use crate::support::Server;
use crate::{TIMEOUT, alone};

/// The write-ahead log of a server's file.
fn log(server: &Server) -> PathBuf {
    server.folder.path().join("presence.db-wal")
}

/// Every write is refused and stores nothing; reads succeed; writes succeed again after the fault.
async fn assert_refuses_only_writes(faults: &[(&str, &str)], status: u16, code: &str) {
    let _alone = alone().await;
    let talk = Talk::on(Server::start()).await;
    talk.server.person("carol");
    let sender = talk.sender();
    let mut stream = Stream::open(&talk.bob).await;
    for number in 0..10 {
        assert_eq!(sender.send(number).await.unwrap().status, 200);
    }
    stream.reads_until(r#""number":9"#).await;
    let before = talk.server.rows();

    let Some(broken) = Broken::on(&talk.server, &log(&talk.server), faults) else { return };
    let mut refused = 0;
    for number in 10..30 {
        let requests = [
            talk.alice.posting_json("/calls/initiate", json!({ "channel": "dm:alice:carol" })),
            talk.alice.posting_bytes(&talk.path("media"), vec![7; 100_000]),
            talk.alice.posting_json(&talk.path("screenshare"), json!({ "on": true })),
            talk.alice.posting("/logout"),
            talk.alice.posting(&talk.path("end")),
        ];
        let request = requests.into_iter().nth(number as usize % 5).unwrap();
        for answer in [sender.send(number).await.unwrap(), answered(request).await.unwrap()] {
            assert_eq!((answer.status, answer.code.as_str()), (status, code), "{answer:?}");
            assert_eq!(answer.retry_after.is_some(), status == 503, "{answer:?}");
            refused += 1;
        }
        talk.assert_reads().await;
    }
    assert_eq!(talk.server.rows(), before, "a refused write changed rows");
    drop(broken);

    let repaired = Instant::now();
    for number in 10..30 {
        assert_eq!(sender.send(number).await.unwrap().status, 200);
    }
    let took = repaired.elapsed();
    stream.reads_until(r#""number":29"#).await;
    assert_eq!(each_once(talk.stored()), (0..30).collect());
    talk.server.assert_integrity();
    println!(
        "{faults:?}: {refused} writes refused with {status} {code}; then 20 done in {took:.1?}, on the same stream"
    );

    // Acknowledged writes are in the file, and no others.
    let (folder, _) = talk.server.stop(Signal::SIGKILL);
    let file = folder.path().join("presence.db");
    assert_eq!(each_once(stored(&file)), (0..30).collect());
    Server::start_in(folder, &[]).assert_integrity();
}

/// Sixteen clients send each number once while an fsync of the log fails. The server ends, and nothing that it
/// acknowledged is lost. A write without a response may be done or not; a refused one is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_fsync_of_a_commit_ends_the_server() {
    let _alone = alone().await;
    for when in ["error=EIO:when=1", "error=EIO:when=7"] {
        let talk = Talk::on(Server::start()).await;
        let Some(broken) = Broken::on(&talk.server, &log(&talk.server), &[(SYNC, when)]) else { return };
        let numbers = Numbers::default();
        let mut clients = JoinSet::new();
        for _ in 0..16 {
            let (sender, numbers) = (talk.sender(), numbers.clone());
            clients.spawn(async move {
                let (mut acknowledged, mut refused) = (Vec::new(), BTreeSet::new());
                loop {
                    let number = numbers.next();
                    match sender.send(number).await {
                        Ok(answer) if answer.status == 200 => acknowledged.push(number),
                        Ok(answer) => {
                            assert_eq!((answer.status, answer.code.as_str()), (503, "stopping"));
                            refused.insert(number);
                        }
                        Err(_) => return (acknowledged, refused),
                    }
                }
            });
        }
        let (mut acknowledged, mut refused) = (Vec::new(), BTreeSet::new());
        for (done, not_done) in clients.join_all().await {
            acknowledged.extend(done);
            refused.extend(not_done);
        }
        let acknowledged = each_once(acknowledged);
        let (folder, status) = talk.server.stop(Signal::SIGTERM);
        drop(broken);
        assert_eq!(status.code(), Some(74));
        let file = folder.path().join("presence.db");
        assert!(
            file.with_extension("db-wal").metadata().unwrap().len() > 0,
            "no connection was closed with a checkpoint"
        );
        let stored = each_once(stored_in_copy(&folder));
        assert!(stored.is_superset(&acknowledged), "{when}: {acknowledged:?} were acknowledged: {stored:?}");
        assert!(stored.is_disjoint(&refused), "{when}: {refused:?} were refused: {stored:?}");
        Server::start_in(folder, &[]).assert_integrity();
        println!("{when}: {} acknowledged, {} refused, {} stored", acknowledged.len(), refused.len(), stored.len());
    }
}

/// A commit takes longer than a write may wait. It is reported as done; a write that waits behind it expires and is not
/// done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_behind_a_slow_commit_expires_and_the_slow_one_is_done() {
    let _alone = alone().await;
    let talk = Talk::on(Server::start()).await;
    let faults = [(SYNC, "delay_enter=8000000:when=1")];
    let Some(broken) = Broken::on(&talk.server, &log(&talk.server), &faults) else { return };
    let sender = talk.sender();
    let sent = Instant::now();
    let slow = tokio::spawn(async move { (sender.send(0).await.unwrap(), sent.elapsed()) });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let expired = talk.sender().send(1).await.unwrap();
    let waited = sent.elapsed();
    assert_eq!((expired.status, expired.code.as_str()), (503, "database_busy"), "{expired:?}");
    assert!(waited < Duration::from_secs(8), "{waited:?}");
    let (slow, took) = slow.await.unwrap();
    assert_eq!(slow.status, 200, "{slow:?}");
    assert!(took > Duration::from_secs(8), "{took:?}");
    drop(broken);
    assert_eq!(talk.sender().send(2).await.unwrap().status, 200);
    assert_eq!(each_once(talk.stored()), [0, 2].into());
    println!("a commit took {took:.1?}; a write behind it failed after {waited:.1?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_cannot_be_written_are_refused() {
    assert_refuses_only_writes(&[(WRITE, "error=EIO")], 503, "database_broken").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_the_disk_has_no_room_for_are_refused() {
    assert_refuses_only_writes(&[(WRITE, "error=ENOSPC")], 507, "disk_full").await;
}

/// Failed reads are 503, and the same connections work again after the fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_reads_are_503_and_connections_recover() {
    let _alone = alone().await;
    let talk = Talk::on(Server::start()).await;
    let sender = talk.sender();
    let mut stream = Stream::open(&talk.bob).await;
    assert_eq!(sender.send(0).await.unwrap().status, 200);
    let Some(broken) = Broken::on(&talk.server, &log(&talk.server), &[("pread64,read", "error=EIO")]) else { return };
    let (mut good, mut bad) = (0, 0);
    for round in 0..20 {
        // A commit of another program makes every connection read the log again.
        let commit = format!("UPDATE settings SET value = {} WHERE name = 'ringing_timeout'", 30 + round);
        talk.server.execute(&commit);
        for path in [&talk.path("state"), &talk.path("signals?after=0"), "/calls/incoming", "/calls/history", "/me"] {
            let answer = answered(talk.bob.getting(path)).await.unwrap();
            match (answer.status, answer.code.as_str()) {
                (200, _) => good += 1,
                (503, "database_broken") => bad += 1,
                _ => panic!("{path}: {answer:?}"),
            }
        }
        let answer = sender.send(0).await.unwrap();
        assert_eq!((answer.status, answer.code.as_str()), (503, "database_broken"));
    }
    drop(broken);
    println!("while reads failed: {good} served from the cache, {bad} were 503");
    assert!(bad > 0);
    talk.assert_reads().await;
    assert_eq!(sender.send(1).await.unwrap().status, 200);
    stream.reads_until(r#""number":1"#).await;
    assert_eq!(each_once(talk.stored()), (0..=1).collect());
    talk.server.assert_integrity();
}

/// Some writes to the log fail while sixteen clients send each number once. Acknowledged numbers are stored once and
/// refused ones are not, although they share transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn occasional_write_errors_lose_nothing_and_store_nothing_refused() {
    let _alone = alone().await;
    for (calls, when) in [(WRITE, "error=EIO:when=50+97"), (WRITE, "error=ENOSPC:when=30+131")] {
        let talk = Talk::on(Server::start()).await;
        let Some(broken) = Broken::on(&talk.server, &log(&talk.server), &[(calls, when)]) else { return };
        let numbers = Numbers::default();
        let mut clients = JoinSet::new();
        for _ in 0..16 {
            let (sender, numbers) = (talk.sender(), numbers.clone());
            clients.spawn(async move {
                let mut acknowledged = Vec::new();
                let mut refused = 0;
                for _ in 0..25 {
                    let number = numbers.next();
                    let Answered { status, code, .. } = sender.send(number).await.unwrap();
                    match (status, code.as_str()) {
                        (200, _) => acknowledged.push(number),
                        (503, "database_broken") | (507, "disk_full") => refused += 1,
                        _ => panic!("{status} {code}"),
                    }
                }
                (acknowledged, refused)
            });
        }
        let (mut acknowledged, mut refused) = (Vec::new(), 0);
        for (numbers, count) in clients.join_all().await {
            acknowledged.extend(numbers);
            refused += count;
        }
        let acknowledged = each_once(acknowledged);
        assert_eq!(each_once(talk.stored()), acknowledged, "{calls}:{when}");
        assert!(refused > 0 && !acknowledged.is_empty(), "{} acknowledged, {refused} refused", acknowledged.len());
        talk.server.assert_integrity();
        println!("{calls}:{when}: {} acknowledged and stored, {refused} refused and not", acknowledged.len());
        drop(broken);
        assert_eq!(talk.sender().send(numbers.next()).await.unwrap().status, 200);
    }
}

/// A crash right after a refusal does not bring the refused write back from the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_write_does_not_come_back_after_a_crash() {
    let _alone = alone().await;
    let mut rounds = 0;
    for when in ["error=EIO:when=1", "error=EIO:when=2", "error=EIO:when=3", "error=ENOSPC:when=2"] {
        let talk = Talk::on(Server::start()).await;
        let sender = talk.sender();
        assert_eq!(sender.send(0).await.unwrap().status, 200);
        let Some(broken) = Broken::on(&talk.server, &log(&talk.server), &[(WRITE, when)]) else { return };
        // Housekeeping may run into the failure first.
        let answer = sender.send(1).await.unwrap();
        let (folder, _) = talk.server.stop(Signal::SIGKILL);
        drop(broken);
        if answer.status == 200 {
            continue;
        }
        assert!(matches!(answer.status, 503 | 507), "{answer:?}");
        assert_eq!(stored(&folder.path().join("presence.db")), [0], "after recovery from the log");
        rounds += 1;
    }
    assert!(rounds > 0);
    println!("{rounds} crashes right after a refusal, and no refused write came back");
}

/// The pages in the log, and those of them that are copied into the file.
fn progress(server: &Server) -> (i64, i64) {
    let sql = server.sql();
    sql.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| Ok((row.get(1)?, row.get(2)?))).unwrap()
}

/// Uploads media until the log has `pages` pages.
async fn fill_log(talk: &Talk, pages: i64) {
    while progress(&talk.server).0 < pages {
        let upload = talk.alice.posting_bytes(&talk.path("media"), vec![7; 64 * 1024]);
        assert_eq!(answered(upload).await.unwrap().status, 200);
    }
}

/// The pages that the disk reported as lost are never synced again by this process. The next start copies them from the
/// log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_fsync_of_a_checkpoint_ends_the_server() {
    let _alone = alone().await;
    let talk = Talk::on(Server::start()).await;
    assert_eq!(progress(&talk.server).1, 0, "no page was copied since the start");
    let on_disk = fs::read(talk.server.db()).unwrap();
    let Some(broken) = Broken::on(&talk.server, &talk.server.db(), &[(SYNC, "error=EIO:when=1")]) else { return };
    let sender = talk.sender();
    let mut acknowledged = 0;
    let begun = Instant::now();
    while sender.send(acknowledged).await.is_ok_and(|answer| answer.status == 200) {
        acknowledged += 1;
        assert!(begun.elapsed() < 2 * TIMEOUT, "a checkpoint comes after a thousand pages");
    }
    let (folder, status) = talk.server.stop(Signal::SIGTERM);
    assert_eq!(status.code(), Some(74));
    drop(broken);
    recovers_from_the_log(folder, &on_disk, acknowledged);
    println!("the server ended after {acknowledged} writes, and the next one had them all");
}

/// A start after a power loss: the file is as it was at the last fsync that succeeded, and the log is whole.
fn recovers_from_the_log(folder: TempDir, on_disk: &[u8], acknowledged: u64) {
    let file = folder.path().join("presence.db");
    fs::write(&file, on_disk).unwrap();
    // The last write may be there without its response.
    let stored = each_once(stored_in_copy(&folder));
    assert!(stored.is_superset(&(0..acknowledged).collect()), "{acknowledged} were acknowledged: {stored:?}");
    // The start copies the log into the file before it serves.
    let server = Server::start_in(folder, &[]);
    server.assert_integrity();
    let (folder, _) = server.stop(Signal::SIGKILL);
    let file = fs::read(folder.path().join("presence.db")).unwrap();
    assert!(file.len() >= on_disk.len() && file != on_disk, "the log was not copied");
}

/// The numbers that a stopped server left. It reads a copy of the file and its log: a start ends the call, which
/// deletes them, and a connection to the file itself would run the checkpoint that is to be tested.
fn stored_in_copy(folder: &TempDir) -> Vec<u64> {
    let copy = TempDir::new().unwrap();
    for name in ["presence.db", "presence.db-wal"] {
        fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    }
    stored(&copy.path().join("presence.db"))
}

/// A reader of an older snapshot cuts a checkpoint short, and the disk loses the pages that it copied. Only the fsync
/// of a later checkpoint, which does not copy those pages again, reports it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_fsync_after_a_partial_checkpoint_ends_the_server() {
    let _alone = alone().await;
    let talk = Talk::on(Server::start()).await;
    let sender = talk.sender();
    for number in 0..20 {
        assert_eq!(sender.send(number).await.unwrap().status, 200);
    }
    fill_log(&talk, 900).await;
    assert_eq!(progress(&talk.server).1, 0, "no page was copied yet");
    let on_disk = fs::read(talk.server.db()).unwrap();
    let mut admin = Shell::open(&talk.server.db());
    admin.run("BEGIN; SELECT count(*) FROM calls");
    fill_log(&talk, 1200).await;
    let begun = Instant::now();
    while progress(&talk.server).1 == 0 {
        assert!(begun.elapsed() < TIMEOUT, "a part of the log is copied");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (logged, in_file) = progress(&talk.server);
    assert!(in_file < logged, "{in_file} of {logged}");

    let Some(broken) = Broken::on(&talk.server, &talk.server.db(), &[(SYNC, "error=EIO:when=1")]) else { return };
    drop(admin);
    let mut acknowledged = 20;
    while sender.send(acknowledged).await.is_ok_and(|answer| answer.status == 200) {
        acknowledged += 1;
        assert!(begun.elapsed() < TIMEOUT, "the server runs on with a damaged file");
    }
    let (folder, status) = talk.server.stop(Signal::SIGTERM);
    assert_eq!(status.code(), Some(74), "it ended without a signal");
    drop(broken);
    println!("the disk lost {in_file} of {logged} pages; the server ended after {acknowledged} writes");

    recovers_from_the_log(folder, &on_disk, acknowledged);
}
