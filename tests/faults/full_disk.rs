//! A disk that is full: a small file system in memory, in a mount namespace of the test's own.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::scenes::{Stream, Talk, answered};
use crate::support::{PROGRAM, Server, connect};
use crate::{alone, skipped};

/// Set where the test runs in a namespace of its own.
const INSIDE: &str = "FAULTS_TEST_IN_A_NAMESPACE";

/// The size of the disk. A new database has about 1 MiB.
const DISK: u64 = 24 << 20;

/// Runs this test again in a mount namespace; false where none is allowed.
fn runs_in_a_namespace(test: &str) -> bool {
    // Root needs no user namespace and may have none. Other users need one.
    let namespaces = [&["--mount"][..], &["--user", "--map-root-user", "--mount"]];
    let probe = "mount -t tmpfs -o size=64k none /mnt";
    let may_mount = |options: &&&[&str]| {
        let probing = Command::new("unshare").args(**options).args(["sh", "-c", probe]).output();
        probing.is_ok_and(|output| output.status.success())
    };
    let Some(options) = namespaces.iter().find(may_mount) else { return false };
    let status = Command::new("unshare")
        .args(*options)
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "see above");
    true
}

/// Fills the disk except for `free` bytes.
fn fill(disk: &Path, free: u64) {
    let mut filler = fs::File::options().create(true).append(true).open(disk.join("filler")).unwrap();
    while filler.write(&[0; 64 * 1024]).is_ok_and(|count| count > 0) {}
    filler.set_len(filler.metadata().unwrap().len() - free).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_disk_refuses_writes_with_507_until_there_is_space() {
    let _alone = alone().await;
    if std::env::var_os(INSIDE).is_none() {
        if !runs_in_a_namespace("full_disk::full_disk_refuses_writes_with_507_until_there_is_space") {
            skipped("this user may not mount here, and has no user namespace, so no disk can be filled");
        }
        return;
    }
    let disk = TempDir::new().unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={DISK}"), "none"])
        .arg(disk.path())
        .status()
        .unwrap();
    assert!(mount.success());
    on(disk.path()).await;
    assert!(Command::new("umount").arg(disk.path()).status().unwrap().success());
}

async fn on(disk: &Path) {
    let talk = Talk::on(Server::start_in(TempDir::new_in(disk).unwrap(), &[])).await;
    talk.server.person("carol");
    let mut stream = Stream::open(&talk.bob).await;
    let sender = talk.sender();

    fill(disk, 2 << 20);
    let mut uploads = JoinSet::new();
    for client in 0..8_u8 {
        let (alice, path) = (talk.alice.clone(), talk.path("media"));
        uploads.spawn(async move {
            let (mut done, mut refused) = (0, Vec::new());
            while refused.len() < 10 {
                let answer = answered(alice.posting_bytes(&path, vec![client; 32 * 1024])).await.unwrap();
                match answer.status {
                    200 => done += 1,
                    // The log's index is a file, too; SQLite reports an I/O error when it cannot grow.
                    507 | 503 => refused.push((answer.status, answer.code)),
                    _ => panic!("{answer:?}"),
                }
            }
            (client, done, refused)
        });
    }
    let (mut done, mut refused) = (0, Vec::new());
    for (client, count, refusals) in uploads.join_all().await {
        let stored: i64 = talk.server.value(&format!(
            "SELECT count(*) FROM call_media WHERE substr(data, 1, 1) = x'{client:02x}' AND length(data) = 32768"
        ));
        assert_eq!(stored, count, "client {client}: uploads stored and acknowledged differ");
        done += count;
        refused.extend(refusals);
    }
    let full = refused.iter().filter(|refusal| **refusal == (507, "disk_full".to_owned())).count();
    let broken = refused.iter().filter(|refusal| **refusal == (503, "database_broken".to_owned())).count();
    assert!(full > 0 && full + broken == refused.len(), "{refused:?}");

    // Now not even a write of a few rows fits.
    fill(disk, 0);
    let before = talk.server.rows();
    let mut little = 0;
    for _ in 0..5 {
        for request in [
            talk.alice.posting_json("/calls/initiate", json!({ "channel": "dm:alice:carol" })),
            talk.alice.posting_json("/screenshare/start", json!({ "channel": "dm:alice:bob" })),
            talk.alice.posting(&talk.path("end")),
        ] {
            let answer = answered(request).await.unwrap();
            assert!(matches!(answer.status, 503 | 507), "{answer:?}");
            little += 1;
        }
        talk.assert_reads().await;
    }
    assert_eq!(talk.server.rows(), before, "a refused write changed rows");
    talk.server.assert_integrity();
    assert_another_file_is_refused(disk);

    fs::remove_file(disk.join("filler")).unwrap();
    let room = Instant::now();
    for number in 0..20 {
        assert_eq!(sender.send(number).await.unwrap().status, 200);
    }
    let took = room.elapsed();
    stream.reads_until(r#""number":19"#).await;
    talk.server.assert_integrity();
    assert_eq!(talk.stored(), (0..20).collect::<Vec<_>>());
    println!(
        "{done} uploads of 32 KiB done and stored, then {full} refused with 507 and {broken} with 503, then {little} of little, \
         and none half done; with room again 20 writes in {took:.1?}, on the same stream"
    );

    let (folder, status) = talk.server.stop(Signal::SIGTERM);
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
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("another.db") && said.trim_end().lines().count() == 1, "{said}");
}
