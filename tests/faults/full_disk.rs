//! A full disk: a small file system in memory, in a separate mount namespace.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::active_call::{ActiveCall, outcome};
use crate::lock_machine;
use crate::small_disk::{SmallDisk, is_in_namespace};
use crate::support::{EventStream, PROGRAM, Server, connect};

/// The size of the disk. A new database has about 1 MiB.
const DISK: u64 = 24 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_refuses_writes_with_507_until_there_is_space() {
    let _machine = lock_machine().await;
    if !is_in_namespace("full_disk::full_disk_refuses_writes_with_507_until_there_is_space") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let disk = SmallDisk::mount(folder.path(), DISK);
    assert_refuses_only_writes(&disk).await;
}

async fn assert_refuses_only_writes(small_disk: &SmallDisk) {
    let disk = small_disk.path();
    let call = ActiveCall::start(Server::start_in(TempDir::new_in(disk).unwrap(), &[])).await;
    call.server.person("carol");
    let (mut stream, _) = EventStream::open_with_snapshot(&call.bob).await;
    let sender = call.sender();

    // While this reader sees the first writes, the log is never written again from its start: each write needs space.
    let reader = connect(&call.server.db());
    reader.execute_batch("BEGIN; SELECT count(*) FROM calls").unwrap();
    small_disk.fill(2 << 20);
    let mut uploads = JoinSet::new();
    for client in 0..8_u8 {
        let (alice, path) = (call.alice.clone(), call.path("media"));
        uploads.spawn(async move {
            let (mut done, mut refused) = (0, Vec::new());
            while refused.len() < 10 {
                let answer = outcome(alice.posting_bytes(&path, vec![client; 32 * 1024])).await.unwrap();
                match answer.status {
                    200 => done += 1,
                    // SQLite reports an I/O error when the file of the log's index cannot grow.
                    507 | 503 => refused.push((answer.status, answer.code)),
                    _ => panic!("{answer:?}"),
                }
            }
            (client, done, refused)
        });
    }
    let (mut done, mut refused) = (0, Vec::new());
    for (client, count, refusals) in uploads.join_all().await {
        let stored: i64 = call.server.value(&format!(
            "SELECT count(*) FROM call_media WHERE substr(data, 1, 1) = x'{client:02x}' AND length(data) = 32768"
        ));
        assert_eq!(stored, count, "client {client}: uploads stored and acknowledged differ");
        done += count;
        refused.extend(refusals);
    }
    let disk_full = refused.iter().filter(|refusal| **refusal == (507, "disk_full".to_owned())).count();
    let io_errors = refused.iter().filter(|refusal| **refusal == (503, "database_broken".to_owned())).count();
    assert!(disk_full > 0 && disk_full + io_errors == refused.len(), "{refused:?}");

    // Not even a write of a few rows fits.
    small_disk.fill(0);
    let before = call.server.rows();
    let mut small = 0;
    for _ in 0..5 {
        for request in [
            call.alice.posting_json("/calls/initiate", json!({ "channel": "dm:alice:carol" })),
            call.alice.posting_json("/screenshare/start", json!({ "channel": "dm:alice:bob" })),
            call.alice.posting(&call.path("end")),
        ] {
            let answer = outcome(request).await.unwrap();
            assert!(matches!(answer.status, 503 | 507), "{answer:?}");
            small += 1;
        }
        call.assert_reads().await;
    }
    assert_eq!(call.server.rows(), before, "a refused write changed rows");
    call.server.assert_integrity();
    assert_another_file_is_refused(disk);

    drop(reader);
    small_disk.free();
    let freed_at = Instant::now();
    for number in 0..20 {
        assert_eq!(sender.send(number).await.unwrap().status, 200);
    }
    let took = freed_at.elapsed();
    stream.expect_data(r#""number":19"#).await;
    call.server.assert_integrity();
    assert_eq!(call.stored_numbers(), (0..20).collect::<Vec<_>>());
    println!(
        "{done} uploads of 32 KiB stored, then {disk_full} refused with 507 and {io_errors} with 503, then {small} small writes \
         refused; with free space again 20 writes in {took:.1?}, with the same event stream"
    );

    let (folder, status) = call.server.stop(Signal::SIGTERM);
    assert_eq!(status.code(), Some(0));
    let sql = connect(&folder.path().join("presence.db"));
    let media: i64 = sql.query_row("SELECT count(*) FROM call_media", [], |row| row.get(0)).unwrap();
    assert_eq!(media, done);
    drop(sql);
    Server::start_in(folder, &[]).assert_integrity();
}

/// A server that cannot create its file prints one line and ends.
fn assert_another_file_is_refused(disk: &Path) {
    let output = Command::new(PROGRAM)
        .args(["--db", disk.join("another.db").to_str().unwrap(), "serve", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(stderr.contains("another.db") && stderr.trim_end().lines().count() == 1, "{stderr}");
}
