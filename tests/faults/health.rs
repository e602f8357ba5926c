//! `/healthz` while a disk hangs, and while another program holds the file's write lock.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::active_call::{ActiveCall, outcome};
use crate::shell::Shell;
use crate::strace::{InjectedFaults, SYNC};
use crate::support::Server;
use crate::{TIMEOUT, lock_machine};

/// The status and code of `/healthz`.
async fn health(call: &ActiveCall) -> (u16, String) {
    let answer = outcome(call.alice.getting("/healthz")).await.unwrap();
    (answer.status, answer.code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hung_disk_is_unhealthy_until_it_responds() {
    let _machine = lock_machine().await;
    let call = ActiveCall::start(Server::start()).await;
    let log = call.server.folder.path().join("presence.db-wal");
    let Some(injected) = InjectedFaults::start(&call.server, &log, &[(SYNC, "delay_enter=6000000:when=1")]) else {
        return;
    };
    let begun = Instant::now();
    let claim = call.alice.posting_json(&call.path("screenshare"), json!({ "on": true }));
    let claim = tokio::spawn(async move { outcome(claim).await.unwrap().status });
    let hung = (503, "writer_hangs".to_owned());
    while health(&call).await != hung {
        assert!(begun.elapsed() < Duration::from_secs(5), "a hung disk is healthy");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let noticed = begun.elapsed();
    assert!(noticed > Duration::from_millis(1400), "{noticed:?}");
    assert_eq!(claim.await.unwrap(), 200);
    drop(injected);
    while health(&call).await.0 != 200 {
        assert!(begun.elapsed() < TIMEOUT, "a disk that responds is unhealthy");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("a hung fsync was noticed after {noticed:.1?}");
}

/// A restart would not help. Housekeeping and a write wait for the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_of_another_program_is_healthy() {
    let _machine = lock_machine().await;
    let call = ActiveCall::start(Server::start()).await;
    call.server.person("carol");
    let mut admin = Shell::open(&call.server.db());
    // A ring is overdue, so each housekeeping wants to write.
    let invite = call.alice.posting_json(&call.path("invite"), json!({ "username": "carol" }));
    assert_eq!(outcome(invite).await.unwrap().status, 200);
    admin.run("UPDATE call_participants SET invited_ts = invited_ts - 3600 WHERE state = 'pending'; BEGIN IMMEDIATE");
    let begun = Instant::now();
    let claim = call.alice.posting_json(&call.path("screenshare"), json!({ "on": true }));
    let claim = tokio::spawn(async move { outcome(claim).await.unwrap() });
    while begun.elapsed() < Duration::from_secs(8) {
        assert_eq!(health(&call).await, (200, String::new()), "after {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let claim = claim.await.unwrap();
    assert_eq!((claim.status, claim.code.as_str()), (503, "database_busy"));
    admin.run("ROLLBACK");
}
