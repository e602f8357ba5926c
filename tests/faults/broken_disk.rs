//! Writes and fsyncs that fail.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::task::JoinSet;

use crate::scenes::{Answered, Numbers, Stream, Talk, answered, each_once, stored};
use crate::shell::Shell;
use crate::strace::{Broken, SYNC, WRITE};
use crate::support::Server;
use crate::{PATIENCE, alone};

/// The write-ahead log of a server's file.
fn log(server: &Server) -> PathBuf {
    server.folder.path().join("presence.db-wal")
}

/// Every write is refused, nothing of any is stored, reading goes on, and so does writing afterwards.
async fn refuses_writes_alone(faults: &[(&str, &str)], status: u16, code: &str) {
    let _alone = alone().await;
    let talk = Talk::on(Server::start()).await;
    talk.server.person("carol");
    let sender = talk.sender();
    let mut stream = Stream::open(&talk.bob).await;
    for number in 0..10 {
        assert_eq!(sender.send(number).await.unwrap().status, 200);
    }
    stream.hears(r#""number":9"#).await;
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
    assert_eq!(talk.server.rows(), before, "what was refused was not done");
    drop(broken);

    let mended = Instant::now();
    for number in 10..30 {
        assert_eq!(sender.send(number).await.unwrap().status, 200);
    }
    let took = mended.elapsed();
    stream.hears(r#""number":29"#).await;
    assert_eq!(each_once(talk.stored()), (0..30).collect());
    talk.server.assert_integrity();
    println!(
        "{faults:?}: {refused} writes refused with {status} {code}; then 20 done in {took:.1?}, on the same stream"
    );

    // What was answered is in the file, and nothing that was not.
    let (folder, _) = talk.server.stop(Signal::SIGKILL);
    let file = folder.path().join("presence.db");
    assert_eq!(each_once(stored(&file)), (0..30).collect());
    Server::start_in(folder, &[]).assert_integrity();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_cannot_be_synced_are_refused() {
    refuses_writes_alone(&[(SYNC, "error=EIO")], 503, "database_broken").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_cannot_be_written_are_refused() {
    refuses_writes_alone(&[(WRITE, "error=EIO")], 503, "database_broken").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_the_disk_has_no_room_for_are_refused() {
    refuses_writes_alone(&[(WRITE, "error=ENOSPC")], 507, "disk_full").await;
}

/// Reads that fail are 503, and no more than that: the same connections are good again when the disk is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_fail_are_told_and_work_again() {
    let _alone = alone().await;
    let talk = Talk::on(Server::start()).await;
    let sender = talk.sender();
    let mut stream = Stream::open(&talk.bob).await;
    assert_eq!(sender.send(0).await.unwrap().status, 200);
    let Some(broken) = Broken::on(&talk.server, &log(&talk.server), &[("pread64,read", "error=EIO")]) else { return };
    let (mut good, mut bad) = (0, 0);
    for round in 0..20 {
        // A commit of another's makes every connection read anew.
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
    println!("while reads failed: {good} answered all the same, {bad} told with 503");
    assert!(bad > 0);
    talk.assert_reads().await;
    assert_eq!(sender.send(1).await.unwrap().status, 200);
    stream.hears(r#""number":1"#).await;
    assert_eq!(each_once(talk.stored()), (0..=1).collect());
    talk.server.assert_integrity();
}

/// A disk on which every third fsync, or write, of the log fails, under sixteen clients who send each number once: what was
/// answered with 200 is stored, once, and what was refused is not, even though both share transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_now_and_then_loses_nothing_and_does_nothing_that_it_refused() {
    let _alone = alone().await;
    for (calls, when) in
        [(SYNC, "error=EIO:when=2+3"), (WRITE, "error=EIO:when=50+97"), (WRITE, "error=ENOSPC:when=30+131")]
    {
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

/// The pages of a commit whose fsync failed stand in the log, complete, until something is written over them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_was_refused_does_not_come_back_after_a_crash() {
    let _alone = alone().await;
    let mut rounds = 0;
    for _ in 0..10 {
        let talk = Talk::on(Server::start()).await;
        let sender = talk.sender();
        assert_eq!(sender.send(0).await.unwrap().status, 200);
        let Some(broken) = Broken::on(&talk.server, &log(&talk.server), &[(SYNC, "error=EIO:when=1")]) else { return };
        // Housekeeping may be the one that meets the failure.
        let answer = sender.send(1).await.unwrap();
        let (folder, _) = talk.server.stop(Signal::SIGKILL);
        drop(broken);
        if answer.status == 200 {
            continue;
        }
        assert_eq!((answer.status, answer.code.as_str()), (503, "database_broken"));
        assert_eq!(stored(&folder.path().join("presence.db")), [0], "after the log was read anew");
        rounds += 1;
    }
    assert!(rounds > 0);
    println!("{rounds} crashes right after a refusal, and none had done what was refused");
}

/// How many pages are in the log, and how many of them in the file (`PRAGMA wal_checkpoint`, without doing one).
fn progress(server: &Server) -> (i64, i64) {
    let sql = server.sql();
    sql.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| Ok((row.get(1)?, row.get(2)?))).unwrap()
}

/// Sends media until the log has so many pages.
async fn fill_log(talk: &Talk, pages: i64) {
    while progress(&talk.server).0 < pages {
        let upload = talk.alice.posting_bytes(&talk.path("media"), vec![7; 64 * 1024]);
        assert_eq!(answered(upload).await.unwrap().status, 200);
    }
}

/// Where in the file pages were written, out of strace's `pwrite64(9, "..."..., 4096, 8192) = 4096`.
fn places<'a>(calls: impl IntoIterator<Item = &'a String>) -> BTreeSet<&'a str> {
    let writes = calls.into_iter().filter(|call| call.contains("pwrite64(") && call.ends_with(" = 4096"));
    writes.map(|call| call.rsplit_once(')').unwrap().0.rsplit_once(' ').unwrap().1).collect()
}

/// Linux takes pages that it could not write for written, once an fsync has said so. So the next checkpoint must write them all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_fails_is_done_again_from_the_log() {
    let _alone = alone().await;
    let mut stopped = 0;
    while stopped < 20 {
        let talk = Talk::on(Server::start()).await;
        let sender = talk.sender();
        // Once, and once more.
        let faults = [(SYNC, "error=EIO:when=1..2"), ("pwrite64", "")];
        let Some(broken) = Broken::on(&talk.server, &talk.server.db(), &faults) else { return };
        let mut acknowledged = 0;
        let mut logged = 0;
        let begun = Instant::now();
        let goes_on = loop {
            match sender.send(acknowledged).await {
                Ok(answer) => assert_eq!(answer.status, 200, "{answer:?}"),
                Err(_) => break false,
            }
            acknowledged += 1;
            let now = progress(&talk.server);
            if logged >= 1000 && (now.0 == now.1 || now.0 < logged) {
                break true;
            }
            logged = now.0;
            assert!(begun.elapsed() < 2 * PATIENCE, "the checkpoint is made up for");
        };
        if !goes_on {
            // Somebody's read cut a checkpoint short, which is the next test's case.
            let (folder, status) = talk.server.stop(Signal::SIGTERM);
            assert_eq!(status.code(), Some(74));
            let stored = each_once(stored(&folder.path().join("presence.db")));
            assert!(stored.is_superset(&(0..acknowledged).collect()), "{acknowledged} were answered: {stored:?}");
            stopped += 1;
            continue;
        }
        let calls = broken.mend();
        let failures: Vec<usize> = (0..calls.len()).filter(|at| calls[*at].contains("EIO")).collect();
        assert_eq!(failures.len(), 2, "{calls:?}");
        let (first, again) = (places(&calls[..failures[0]]), places(&calls[failures[1]..]));
        assert!(first.len() > 20 && again.is_superset(&first), "{first:?}, then {again:?}");
        assert_eq!(each_once(talk.stored()), (0..acknowledged).collect());
        talk.server.assert_integrity();
        let (folder, status) = talk.server.stop(Signal::SIGTERM);
        assert_eq!(status.code(), Some(0));
        let file = folder.path().join("presence.db");
        assert!(!file.with_extension("db-wal").exists(), "everything is in the file");
        assert_eq!(each_once(stored(&file)), (0..acknowledged).collect());
        println!(
            "two checkpoints of {} pages and more failed, and the third wrote them again, among {} ({stopped} rounds ended as in \
             the next test)",
            first.len(),
            again.len()
        );
        return;
    }
    panic!("a read always came in between");
}

/// The one case in which SQLite would lose what was answered: a part of the log is taken into the file while somebody reads an
/// older snapshot, the disk loses it, and only the fsync of a later checkpoint, which does not write that part again, says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_file_the_disk_has_damaged_stops_and_recovers_from_the_log() {
    let _alone = alone().await;
    let talk = Talk::on(Server::start()).await;
    let sender = talk.sender();
    for number in 0..20 {
        assert_eq!(sender.send(number).await.unwrap().status, 200);
    }
    fill_log(&talk, 900).await;
    assert_eq!(progress(&talk.server).1, 0, "nothing was taken into the file yet");
    let on_disk = fs::read(talk.server.db()).unwrap();
    let mut admin = Shell::open(&talk.server.db());
    admin.run("BEGIN; SELECT count(*) FROM calls");
    fill_log(&talk, 1200).await;
    let begun = Instant::now();
    while progress(&talk.server).1 == 0 {
        assert!(begun.elapsed() < PATIENCE, "a part of the log is taken into the file");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (logged, in_file) = progress(&talk.server);
    assert!(in_file < logged, "{in_file} of {logged}");

    let Some(broken) = Broken::on(&talk.server, &talk.server.db(), &[(SYNC, "error=EIO:when=1")]) else { return };
    drop(admin);
    let mut acknowledged = 20;
    while sender.send(acknowledged).await.is_ok_and(|answer| answer.status == 200) {
        acknowledged += 1;
        assert!(begun.elapsed() < PATIENCE, "the server goes on with a file that is damaged");
    }
    let (folder, status) = talk.server.stop(Signal::SIGTERM);
    assert_eq!(status.code(), Some(74), "it stopped by itself");
    drop(broken);
    println!("{in_file} of {logged} pages lost by the disk; stopped after {acknowledged} writes were answered");

    // What was written since the last fsync that succeeded has never reached the disk.
    let file = folder.path().join("presence.db");
    fs::write(&file, on_disk).unwrap();
    // The last may be there without its answer.
    let stored = each_once(stored(&file));
    assert!(stored.is_superset(&(0..acknowledged).collect()), "{acknowledged} were answered: {stored:?}");
    Server::start_in(folder, &[]).assert_integrity();
}
