//! Writes and fsyncs that fail. A failed write is refused; a failed fsync ends the server with status 74.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::active_call::{ActiveCall, Clients, Numbers, Outcome, Sent, outcome, stored_numbers, unique};
use crate::shell::Shell;
use crate::strace::{InjectedFaults, SYNC, WRITE};
use crate::support::{EventStream, Server};
use crate::{TIMEOUT, lock_machine};

/// The write-ahead log of a server's file.
fn log_of(server: &Server) -> PathBuf {
    server.folder.path().join("presence.db-wal")
}

/// Fails unless, during these faults, every write is refused and stores nothing, and reads succeed. After them, writes must
/// succeed again.
async fn assert_refuses_only_writes(faults: &[(&str, &str)], status: u16, code: &str) {
    let _machine = lock_machine().await;
    let call = ActiveCall::start(Server::start()).await;
    call.server.person("carol");
    let sender = call.sender();
    let (mut stream, _) = EventStream::open_with_snapshot(&call.bob).await;
    for number in 0..10 {
        assert_eq!(sender.send(number).await.unwrap().status, 200);
    }
    stream.expect_data(r#""number":9"#).await;
    let before = call.server.rows();

    let Some(injected) = InjectedFaults::start(&call.server, &log_of(&call.server), faults) else { return };
    let mut refused = 0;
    for (index, number) in (10..30).enumerate() {
        let requests = [
            call.alice.posting_json("/calls/initiate", json!({ "channel": "dm:alice:carol" })),
            call.alice.posting_bytes(&call.path("media"), vec![7; 100_000]),
            call.alice.posting_json(&call.path("screenshare"), json!({ "on": true })),
            call.alice.posting("/logout"),
            call.alice.posting(&call.path("end")),
        ];
        let request = requests.into_iter().nth(index % 5).unwrap();
        for answer in [sender.send(number).await.unwrap(), outcome(request).await.unwrap()] {
            assert_eq!((answer.status, answer.code.as_str()), (status, code), "{answer:?}");
            assert_eq!(answer.retry_after.is_some(), status == 503, "{answer:?}");
            refused += 1;
        }
        call.assert_reads().await;
    }
    assert_eq!(call.server.rows(), before, "a refused write changed rows");
    drop(injected);

    let repaired_at = Instant::now();
    for number in 10..30 {
        assert_eq!(sender.send(number).await.unwrap().status, 200);
    }
    let took = repaired_at.elapsed();
    stream.expect_data(r#""number":29"#).await;
    assert_eq!(unique(call.stored_numbers()), (0..30).collect());
    call.server.assert_integrity();
    println!(
        "{faults:?}: {refused} writes refused with {status} {code}; then 20 done in {took:.1?}, with the same event stream"
    );

    // Acknowledged writes are in the file, and no others.
    let (folder, _) = call.server.stop(Signal::SIGKILL);
    let file = folder.path().join("presence.db");
    assert_eq!(unique(stored_numbers(&file)), (0..30).collect());
    Server::start_in(folder, &[]).assert_integrity();
}

/// Sixteen clients send each number once, in unsynced commits, while an fsync of the log fails: of housekeeping, of a
/// checkpoint, or of a commit that restarts the log. The server ends, and no acknowledged write is lost. A refused write is
/// not stored. A write without a response may be stored or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_fsync_behind_unsynced_commits_ends_the_server() {
    let _machine = lock_machine().await;
    for when in ["error=EIO:when=1", "error=EIO:when=2", "error=EIO:when=3", "error=EIO:when=7"] {
        let call = ActiveCall::start(Server::start()).await;
        let Some(injected) = InjectedFaults::start(&call.server, &log_of(&call.server), &[(SYNC, when)]) else {
            return;
        };
        let Sent { acknowledged, refused, .. } = Clients::start(&call, 16).join().await;
        let acknowledged = unique(acknowledged);
        let (folder, status) = call.server.stop(Signal::SIGTERM);
        drop(injected);
        assert_eq!(status.code(), Some(74));
        let file = folder.path().join("presence.db");
        assert!(
            file.with_extension("db-wal").metadata().unwrap().len() > 0,
            "no connection was closed with a checkpoint"
        );
        let stored = unique(stored_numbers_in_copy(&folder));
        assert!(stored.is_superset(&acknowledged), "{when}: {acknowledged:?} were acknowledged: {stored:?}");
        assert!(stored.is_disjoint(&refused), "{when}: {refused:?} were refused: {stored:?}");
        Server::start_in(folder, &[]).assert_integrity();
        println!("{when}: {} acknowledged, {} refused, {} stored", acknowledged.len(), refused.len(), stored.len());
    }
}

/// The fsync of a synced commit fails, and unsynced ones were acknowledged before it. The synced write gets no response,
/// and the server ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_fsync_of_a_commit_ends_the_server() {
    let _machine = lock_machine().await;
    let call = ActiveCall::start(Server::start()).await;
    let sender = call.sender();
    let Some(injected) = InjectedFaults::start(&call.server, &log_of(&call.server), &[(SYNC, "error=EIO:when=1")])
    else {
        return;
    };
    let mut acknowledged = 0;
    for number in 0..3 {
        acknowledged += u64::from(sender.send(number).await.is_ok_and(|answer| answer.status == 200));
    }
    let claim = outcome(call.alice.posting_json(&call.path("screenshare"), json!({ "on": true }))).await;
    assert!(claim.as_ref().map_or(true, |answer| answer.status == 503), "{claim:?}");
    let (folder, status) = call.server.stop(Signal::SIGTERM);
    drop(injected);
    assert_eq!(status.code(), Some(74));
    let stored = unique(stored_numbers_in_copy(&folder));
    assert!(stored.is_superset(&(0..acknowledged).collect()), "{acknowledged} were acknowledged: {stored:?}");
    Server::start_in(folder, &[]).assert_integrity();
}

/// The setting makes the next commit wait for its fsync, without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_sync_all_a_signal_waits_for_its_fsync() {
    let _machine = lock_machine().await;
    let call = ActiveCall::start(Server::start()).await;
    let sender = call.sender();
    assert_eq!(sender.send(0).await.unwrap().status, 200);
    call.server.execute("UPDATE settings SET value = 1 WHERE name = 'sync_all'");
    assert_eq!(sender.send(1).await.unwrap().status, 200);
    let Some(injected) = InjectedFaults::start(&call.server, &log_of(&call.server), &[(SYNC, "error=EIO:when=1")])
    else {
        return;
    };
    let unsynced = sender.send(2).await;
    assert!(unsynced.as_ref().map_or(true, |answer| answer.status == 503), "{unsynced:?}");
    let (_, status) = call.server.stop(Signal::SIGTERM);
    drop(injected);
    assert_eq!(status.code(), Some(74));
}

/// A commit takes longer than the deadline of a write. Its own write succeeds; a write that waits behind it expires and is
/// not stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_commit_succeeds_and_the_write_behind_it_expires() {
    let _machine = lock_machine().await;
    let call = ActiveCall::start(Server::start()).await;
    let faults = [(SYNC, "delay_enter=8000000:when=1")];
    let Some(injected) = InjectedFaults::start(&call.server, &log_of(&call.server), &faults) else { return };
    let claim = call.alice.posting_json(&call.path("screenshare"), json!({ "on": true }));
    let sent = Instant::now();
    let slow = tokio::spawn(async move { (outcome(claim).await.unwrap(), sent.elapsed()) });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let expired = call.sender().send(1).await.unwrap();
    let waited = sent.elapsed();
    assert_eq!((expired.status, expired.code.as_str()), (503, "database_busy"), "{expired:?}");
    assert!(waited < Duration::from_secs(8), "{waited:?}");
    let (slow, took) = slow.await.unwrap();
    assert_eq!(slow.status, 200, "{slow:?}");
    assert!(took > Duration::from_secs(8), "{took:?}");
    drop(injected);
    assert_eq!(call.sender().send(2).await.unwrap().status, 200);
    assert_eq!(unique(call.stored_numbers()), [2].into());
    assert_eq!(call.alice.read(&call.path("state")).await["screenshare_user"], "alice");
    println!("a commit took {took:.1?}; a write behind it failed after {waited:.1?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_errors_refuse_writes_with_503() {
    assert_refuses_only_writes(&[(WRITE, "error=EIO")], 503, "database_broken").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enospc_refuses_writes_with_507() {
    assert_refuses_only_writes(&[(WRITE, "error=ENOSPC")], 507, "disk_full").await;
}

/// Failed reads are 503. The connections to the file are usable again after the fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_reads_are_503_and_connections_recover() {
    let _machine = lock_machine().await;
    let call = ActiveCall::start(Server::start()).await;
    let sender = call.sender();
    let (mut stream, _) = EventStream::open_with_snapshot(&call.bob).await;
    assert_eq!(sender.send(0).await.unwrap().status, 200);
    let Some(injected) = InjectedFaults::start(&call.server, &log_of(&call.server), &[("pread64,read", "error=EIO")])
    else {
        return;
    };
    let (mut succeeded, mut failed) = (0, 0);
    for round in 0..20 {
        // A commit of another program makes every connection read the log again.
        let commit = format!("UPDATE settings SET value = {} WHERE name = 'ringing_timeout'", 30 + round);
        call.server.execute(&commit);
        for path in [&call.path("state"), &call.path("signals?after=0"), "/calls/incoming", "/calls/history", "/me"] {
            let answer = outcome(call.bob.getting(path)).await.unwrap();
            match (answer.status, answer.code.as_str()) {
                (200, _) => succeeded += 1,
                (503, "database_broken") => failed += 1,
                _ => panic!("{path}: {answer:?}"),
            }
        }
        let answer = sender.send(0).await.unwrap();
        assert_eq!((answer.status, answer.code.as_str()), (503, "database_broken"));
    }
    drop(injected);
    println!("while reads failed: {succeeded} succeeded, {failed} were 503");
    assert!(failed > 0);
    call.assert_reads().await;
    assert_eq!(sender.send(1).await.unwrap().status, 200);
    stream.expect_data(r#""number":1"#).await;
    assert_eq!(unique(call.stored_numbers()), (0..=1).collect());
    call.server.assert_integrity();
}

/// A file that cannot be read leaves one line for each part of the server that reads it, however many requests there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreadable_database_is_logged_once() {
    let _machine = lock_machine().await;
    let logs = TempDir::new().unwrap();
    let log = logs.path().join("log");
    let call = ActiveCall::start(Server::start_logging(TempDir::new().unwrap(), &log)).await;
    let Some(injected) = InjectedFaults::start(&call.server, &log_of(&call.server), &[("pread64,read", "error=EIO")])
    else {
        return;
    };
    let mut failed = 0;
    for round in 0..10 {
        call.server.execute(&format!("UPDATE settings SET value = {} WHERE name = 'ringing_timeout'", 30 + round));
        for path in ["/calls/incoming", "/me"] {
            failed += usize::from(outcome(call.bob.getting(path)).await.unwrap().status == 503);
        }
    }
    drop(injected);
    call.assert_reads().await;
    let log = fs::read_to_string(&log).unwrap();
    let lines = log.lines().filter(|line| line.contains("requests are refused")).count();
    assert!(failed > 10 && lines == 1, "{failed} requests failed: {log}");
    // SQLite reports a failed read as damage while it reads the log's index.
    assert!(log.contains("code=\"database_broken\" reason=\"reading failed: the "), "{log}");
    assert_eq!(log.matches("cannot read the event log").count(), 1, "{log}");
}

/// Some writes to the log fail while sixteen clients send each number once. Acknowledged numbers are stored once. Refused
/// numbers are not stored, although they share transactions with the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn occasional_write_errors_lose_nothing_and_store_nothing_refused() {
    let _machine = lock_machine().await;
    for (calls, when) in [(WRITE, "error=EIO:when=50+97"), (WRITE, "error=ENOSPC:when=30+131")] {
        let call = ActiveCall::start(Server::start()).await;
        let Some(injected) = InjectedFaults::start(&call.server, &log_of(&call.server), &[(calls, when)]) else {
            return;
        };
        let numbers = Numbers::default();
        let mut clients = JoinSet::new();
        for _ in 0..16 {
            let (sender, numbers) = (call.sender(), numbers.clone());
            clients.spawn(async move {
                let mut acknowledged = Vec::new();
                let mut refused = 0;
                for _ in 0..25 {
                    let number = numbers.next();
                    let Outcome { status, code, .. } = sender.send(number).await.unwrap();
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
        let acknowledged = unique(acknowledged);
        assert_eq!(unique(call.stored_numbers()), acknowledged, "{calls}:{when}");
        assert!(refused > 0 && !acknowledged.is_empty(), "{} acknowledged, {refused} refused", acknowledged.len());
        call.server.assert_integrity();
        println!("{calls}:{when}: {} acknowledged and stored, {refused} refused and not stored", acknowledged.len());
        drop(injected);
        assert_eq!(call.sender().send(numbers.next()).await.unwrap().status, 200);
    }
}

/// Recovery after a crash does not restore a write that was refused just before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_write_is_not_restored_after_a_crash() {
    let _machine = lock_machine().await;
    let mut rounds = 0;
    for when in ["error=EIO:when=1", "error=EIO:when=2", "error=EIO:when=3", "error=ENOSPC:when=2"] {
        let call = ActiveCall::start(Server::start()).await;
        let sender = call.sender();
        assert_eq!(sender.send(0).await.unwrap().status, 200);
        let Some(injected) = InjectedFaults::start(&call.server, &log_of(&call.server), &[(WRITE, when)]) else {
            return;
        };
        // The fault may hit housekeeping instead of this write.
        let answer = sender.send(1).await.unwrap();
        let (folder, _) = call.server.stop(Signal::SIGKILL);
        drop(injected);
        if answer.status == 200 {
            continue;
        }
        assert!(matches!(answer.status, 503 | 507), "{answer:?}");
        assert_eq!(stored_numbers(&folder.path().join("presence.db")), [0], "after recovery from the log");
        rounds += 1;
    }
    assert!(rounds > 0);
    println!("{rounds} crashes right after a refusal: no refused write was restored");
}

/// The numbers of pages in the log, and of those that are copied into the file.
fn log_pages(server: &Server) -> (i64, i64) {
    let sql = server.sql();
    sql.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| Ok((row.get(1)?, row.get(2)?))).unwrap()
}

/// Uploads media until the log has `pages` pages.
async fn fill_log(call: &ActiveCall, pages: i64) {
    while log_pages(&call.server).0 < pages {
        let upload = call.alice.posting_bytes(&call.path("media"), vec![7; 64 * 1024]);
        assert_eq!(outcome(upload).await.unwrap().status, 200);
    }
}

/// The process does not sync the file again after a failed fsync. The next start copies all pages from the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_fsync_of_a_checkpoint_ends_the_server() {
    let _machine = lock_machine().await;
    let call = ActiveCall::start(Server::start()).await;
    assert_eq!(log_pages(&call.server).1, 0, "no page was copied since the start");
    let on_disk = fs::read(call.server.db()).unwrap();
    let Some(injected) = InjectedFaults::start(&call.server, &call.server.db(), &[(SYNC, "error=EIO:when=1")]) else {
        return;
    };
    let sender = call.sender();
    let mut acknowledged = 0;
    let begun = Instant::now();
    while sender.send(acknowledged).await.is_ok_and(|answer| answer.status == 200) {
        acknowledged += 1;
        assert!(begun.elapsed() < 2 * TIMEOUT, "a checkpoint runs every few hundred pages");
    }
    let (folder, status) = call.server.stop(Signal::SIGTERM);
    assert_eq!(status.code(), Some(74));
    drop(injected);
    assert_recovers_from_the_log(folder, &on_disk, acknowledged);
    println!("the server ended after {acknowledged} writes, and the next start recovered all of them");
}

/// Starts a server as after a power loss: the file has its content at the last successful fsync, and the log is whole.
fn assert_recovers_from_the_log(folder: TempDir, on_disk: &[u8], acknowledged: u64) {
    let file = folder.path().join("presence.db");
    fs::write(&file, on_disk).unwrap();
    // The last write may be stored without a response.
    let stored = unique(stored_numbers_in_copy(&folder));
    assert!(stored.is_superset(&(0..acknowledged).collect()), "{acknowledged} were acknowledged: {stored:?}");
    // The start copies the log into the file before it serves.
    let server = Server::start_in(folder, &[]);
    server.assert_integrity();
    let (folder, _) = server.stop(Signal::SIGKILL);
    let file = fs::read(folder.path().join("presence.db")).unwrap();
    assert!(file.len() >= on_disk.len() && file != on_disk, "the log was not copied");
}

/// The numbers that a stopped server has stored. Reads a copy of the file and its log: a start would end the call, which
/// deletes the signals, and a connection to the file itself would run the checkpoint under test.
fn stored_numbers_in_copy(folder: &TempDir) -> Vec<u64> {
    let copy = TempDir::new().unwrap();
    for name in ["presence.db", "presence.db-wal"] {
        fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    }
    stored_numbers(&copy.path().join("presence.db"))
}

/// A reader of an older snapshot makes a checkpoint partial, and the disk loses the pages that it copied. Only the fsync
/// of a later checkpoint, which does not copy those pages again, reports the loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_fsync_after_a_partial_checkpoint_ends_the_server() {
    let _machine = lock_machine().await;
    let call = ActiveCall::start(Server::start()).await;
    let sender = call.sender();
    for number in 0..20 {
        assert_eq!(sender.send(number).await.unwrap().status, 200);
    }
    fill_log(&call, 350).await;
    assert_eq!(log_pages(&call.server).1, 0, "no page was copied yet");
    let on_disk = fs::read(call.server.db()).unwrap();
    let mut admin = Shell::open(&call.server.db());
    admin.run("BEGIN; SELECT count(*) FROM calls");
    fill_log(&call, 800).await;
    let begun = Instant::now();
    while log_pages(&call.server).1 == 0 {
        assert!(begun.elapsed() < TIMEOUT, "no part of the log is copied");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (in_log, in_file) = log_pages(&call.server);
    assert!(in_file < in_log, "{in_file} of {in_log}");

    let Some(injected) = InjectedFaults::start(&call.server, &call.server.db(), &[(SYNC, "error=EIO:when=1")]) else {
        return;
    };
    drop(admin);
    let mut acknowledged = 20;
    while sender.send(acknowledged).await.is_ok_and(|answer| answer.status == 200) {
        acknowledged += 1;
        assert!(begun.elapsed() < TIMEOUT, "the server continues with a damaged file");
    }
    let (folder, status) = call.server.stop(Signal::SIGTERM);
    assert_eq!(status.code(), Some(74), "the server did not end before the signal");
    drop(injected);
    println!("the disk lost {in_file} of {in_log} pages; the server ended after {acknowledged} writes");

    assert_recovers_from_the_log(folder, &on_disk, acknowledged);
}
