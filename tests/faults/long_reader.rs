//! An admin's open transaction, which keeps the write-ahead log from being restarted.

use std::time::{Duration, Instant};

use crate::active_call::{ActiveCall, measure_reads, outcome};
use crate::shell::Shell;
use crate::support::Server;
use crate::{TIMEOUT, lock_machine};

const UPLOAD: usize = 2 << 20;
const UPLOADS: usize = 60;
const MIB: u64 = 1 << 20;

/// The `journal_size_limit` of our connections: a restarted log is truncated to this.
const LIMIT: u64 = 64 * MIB;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_snapshot_grows_the_log_only_while_it_lasts() {
    let _machine = lock_machine().await;
    let call = ActiveCall::start(Server::start()).await;
    let log = call.server.folder.path().join("presence.db-wal");
    let log_size = || std::fs::metadata(&log).unwrap().len();
    let upload = async || {
        let answer = outcome(call.alice.posting_bytes(&call.path("media"), vec![7; UPLOAD])).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    };

    // Without a reader the log stays short.
    for _ in 0..UPLOADS / 2 {
        upload().await;
    }
    let without_reader = log_size();

    let mut admin = Shell::open(&call.server.db());
    admin.run("BEGIN; SELECT count(*) FROM calls");
    let begun = Instant::now();
    let (reads, ()) =
        futures_util::future::join(measure_reads(&call.bob, "/calls/incoming", Duration::from_secs(2)), async {
            for _ in 0..UPLOADS {
                upload().await;
            }
        })
        .await;
    let took = begun.elapsed();
    let written = (UPLOAD * UPLOADS) as u64;
    let with_reader = log_size();
    call.assert_reads().await;

    admin.run("COMMIT");
    drop(admin);
    let released = Instant::now();
    // The first write after a complete checkpoint restarts the log.
    let sender = call.sender();
    let mut writes = 0;
    while log_size() > LIMIT {
        assert!(released.elapsed() < TIMEOUT, "the log does not shrink");
        assert_eq!(sender.send(writes).await.unwrap().status, 200);
        writes += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "log without a reader: {} MiB; with one, after {} MiB more were written in {took:.1?}: {} MiB; {:.1?} and {writes} writes \
         after it ended: {} MiB",
        without_reader / MIB,
        written / MIB,
        with_reader / MIB,
        released.elapsed(),
        log_size() / MIB
    );
    println!("reads during that: {}", reads.summary());
    // Three thousand pages, and two uploads.
    assert!(without_reader < 24 * MIB);
    // A chunk is written twice: on insert, and with its position in the stream.
    assert!(with_reader > written && with_reader < without_reader + written * 5 / 2);
    call.server.assert_integrity();
}
