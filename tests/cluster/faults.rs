//! Disks that fail or are full, and clocks that differ.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::{Cluster, Login, wait_for};
use crate::fake_clock::FakeClock;
use crate::ledger::{self, Clients};
use crate::small_disk::{SmallDisk, is_in_namespace};
use crate::strace::{InjectedFaults, SYNC, WRITE};
use crate::support::{EventStream, PROGRAM};
use crate::{TIMEOUT, lock_machine};

/// The size of a member's disk. Its files begin with about 2 MiB.
const DISK: u64 = 24 << 20;

/// Waits for the end of a member whose disk has failed. It ends with status 74, and says why in one line
/// after the `before` that its log had.
fn assert_fails(cluster: &mut Cluster, node: u64, before: usize) {
    let status = cluster.wait_for_end(node);
    assert_eq!(status.code(), Some(74), "{:?}", errors(cluster, node));
    let errors = errors(cluster, node);
    assert_eq!(errors.len(), before + 1, "{errors:?}");
    println!("member {node}: {}", errors[before]);
}

/// The lines in which a member has said why it ended.
fn errors(cluster: &Cluster, node: u64) -> Vec<String> {
    cluster.log(node).lines().filter(|line| line.starts_with("error: ")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_a_broken_disk_ends_and_comes_back() {
    let _machine = lock_machine().await;
    let mut people = Vec::new();
    let mut cluster = Cluster::start(3, |server| people = ledger::prepare(server));
    let clients = Clients::start(&cluster, &people).await;
    clients.wait_for_more(50);
    for (file, calls, of_leader) in [
        ("-raft-wal", SYNC, false),
        ("-raft-wal", SYNC, true),
        ("-raft-wal", WRITE, false),
        ("-wal", WRITE, false),
        ("-wal", WRITE, true),
    ] {
        let node = if of_leader { cluster.leader() } else { cluster.follower() };
        let file = cluster.beside(node, file);
        println!("{calls} of {}, leader: {of_leader}", file.display());
        let before = errors(&cluster, node).len();
        let Some(injected) = InjectedFaults::start_in(cluster.process(node), &file, &[(calls, "error=EIO")]) else {
            return;
        };
        assert_fails(&mut cluster, node, before);
        drop(injected);
        clients.wait_for_more(30);
        cluster.restart(node);
        cluster.wait_for_health(node, true).await;
        clients.wait_for_more(30);
    }
    clients.stop().await.check(&cluster);
}

/// The file of a member is not synced before an entry is removed from the log, or a checkpoint. A failure there ends it, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_file_cannot_be_synced_ends_and_comes_back() {
    let _machine = lock_machine().await;
    let mut people = Vec::new();
    let mut cluster = Cluster::start(3, |server| people = ledger::prepare(server));
    let node = cluster.follower();
    let other = cluster.nodes().into_iter().find(|other| *other != node).unwrap();
    let [alice, bob] = [0, 1].map(|person: usize| cluster.at(other, &people[0][person]));
    let call = alice.call("dm:sender0:reader0").await;
    assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
    let media = format!("/calls/{call}/media");
    assert_eq!(alice.post_bytes(&format!("{media}?init=1&mime=video/webm"), vec![1; 1000]).await.0, 200);
    let wal = cluster.beside(node, "-wal");
    let before = errors(&cluster, node).len();
    let Some(injected) = InjectedFaults::start_in(cluster.process(node), &wal, &[(SYNC, "error=EIO")]) else { return };
    let deadline = Instant::now() + TIMEOUT;
    while cluster.health(node).await.is_some() {
        assert!(Instant::now() < deadline, "the member syncs nothing");
        assert_eq!(alice.post_bytes(&media, vec![7; 2_000_000]).await.0, 200);
    }
    assert_fails(&mut cluster, node, before);
    drop(injected);
    cluster.restart(node);
    cluster.wait_for_health(node, true).await;
    cluster.assert_equal();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_a_full_disk_ends_and_comes_back() {
    let _machine = lock_machine().await;
    if !is_in_namespace("faults::a_member_with_a_full_disk_ends_and_comes_back") {
        return;
    }
    let mut people = Vec::new();
    let mut cluster = Cluster::new(3, Box::new(|_| std::process::Command::new(PROGRAM)), |server| {
        people = ledger::prepare(server);
    });
    let prepared = std::fs::read(cluster.db(1)).unwrap();
    let disks = [1, 2, 3].map(|node| SmallDisk::mount(&cluster.folder_of(node), DISK));
    std::fs::write(cluster.db(1), prepared).unwrap();
    // A machine that has no room for the copy with which it joins.
    cluster.spawn(3);
    let waits = "waiting for the other members";
    wait_for(TIMEOUT, "wait for the others", || cluster.log(3).contains(waits).then_some(()));
    disks[2].fill(0);
    for node in [1, 2] {
        cluster.spawn(node);
    }
    for node in [1, 2] {
        cluster.wait_until_serving(node);
    }
    assert_fails(&mut cluster, 3, 0);
    disks[2].free();
    cluster.run(1, &["cluster", "replace", "3"]);
    cluster.lose(3, |_| true);
    cluster.restart(3);
    cluster.wait_for_voters(3);
    let clients = Clients::start(&cluster, &people).await;
    clients.wait_for_more(50);
    for of_leader in [false, true] {
        let node = if of_leader { cluster.leader() } else { cluster.follower() };
        let disk = &disks[usize::try_from(node).unwrap() - 1];
        let before = errors(&cluster, node).len();
        disk.fill(0);
        assert_fails(&mut cluster, node, before);
        clients.wait_for_more(50);
        disk.free();
        cluster.restart(node);
        cluster.wait_for_health(node, true).await;
        clients.wait_for_more(50);
    }
    clients.stop().await.check(&cluster);
    drop(cluster);
    drop(disks);
}

/// How long an invitation rings in the test, in seconds.
const RING: f64 = 9.0;

/// The clocks of the members are an hour apart, so that each failover sets the clock of the cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failovers_between_wrong_clocks_end_nothing_early_and_keep_nothing_late() {
    let _machine = lock_machine().await;
    let offsets = ["+0", "+3600", "-3600"];
    let clocks = std::sync::Arc::new(offsets.map(FakeClock::showing));
    let mut people: Vec<Login> = Vec::new();
    let launcher = std::sync::Arc::clone(&clocks);
    let mut cluster = Cluster::start_with(
        3,
        Box::new(move |node| launcher[usize::try_from(node).unwrap() - 1].program()),
        |server| {
            server.lift_limits();
            server.execute(&format!(
                "UPDATE settings SET value = 1 WHERE name = 'presence_interval';
                 UPDATE settings SET value = 3 WHERE name = 'gone_after';
                 UPDATE settings SET value = 6 WHERE name = 'presence_timeout';
                 UPDATE settings SET value = {RING} WHERE name = 'ringing_timeout'"
            ));
            people.extend(["alice", "bob", "carol", "dave"].map(|name| Login::prepare(server, name)));
        },
    );
    // Time goes an hour forward or back with each.
    for round in 0..2 {
        let leader = cluster.leader();
        let stays = cluster.follower();
        let [alice, bob, carol, dave] = [0, 1, 2, 3].map(|person: usize| cluster.at(stays, &people[person]));
        let active = alice.call("dm:alice:bob").await;
        assert_eq!(bob.post(&format!("/calls/{active}/accept")).await.0, 200);
        let answered = Instant::now();
        let streams = [
            EventStream::naming(&alice, &format!("call={active}")).await,
            EventStream::naming(&bob, &format!("call={active}")).await,
        ];
        let asked = Instant::now();
        let ring = carol.call("dm:carol:dave").await;
        let rings = Instant::now();
        cluster.kill(leader);
        let (mut last_ring, mut silent_since) = (asked, None);
        let ended = loop {
            assert!(rings.elapsed() < TIMEOUT, "round {round}: it rings for {:?}", rings.elapsed());
            let begun = Instant::now();
            let (status, calls) = dave.get("/calls/incoming").await;
            match status {
                // A follower learns the time of a new leader up to a heartbeat later than the moved rows.
                200 if calls == json!([]) => match silent_since {
                    None => silent_since = Some(Instant::now()),
                    Some(since) if since.elapsed() > Duration::from_millis(300) => break since,
                    Some(_) => {}
                },
                200 => (last_ring, silent_since) = (begun, None),
                503 => {}
                _ => panic!("{status} {calls}"),
            }
            let state = "SELECT state, (SELECT count(*) FROM call_participants AS p WHERE p.call_id = c.call_id \
                         AND p.state = 'accepted') FROM calls AS c WHERE call_id = ?1";
            let sql = cluster.connect(stays);
            let state: (String, i64) = sql.query_row(state, [&active], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            assert_eq!(state, ("active".to_owned(), 2), "round {round}, after {:?}", answered.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!((ended - asked).as_secs_f64() >= RING - 0.2, "round {round}: no ring after {:?}", ended - asked);
        assert!((last_ring - rings).as_secs_f64() < RING + 2.0, "round {round}: a ring after {:?}", last_ring - rings);
        let new = cluster.leader();
        println!(
            "clock {} after {}: rang for {:.1?}",
            offsets[usize::try_from(new).unwrap() - 1],
            offsets[usize::try_from(leader).unwrap() - 1],
            ended - rings
        );
        assert_eq!(bob.post(&format!("/calls/{active}/end")).await.0, 200);
        let passed = answered.elapsed().as_secs_f64();
        let history = bob.read("/calls/history").await;
        let duration = history[0]["duration"].as_f64().unwrap();
        assert!((duration - passed).abs() < 3.0, "{passed} seconds have passed: {history}");
        wait_for(TIMEOUT, "end of the ring in the file", || {
            let state = format!("SELECT state FROM calls WHERE call_id = '{ring}'");
            (cluster.value::<String>(stays, &state) != "ringing").then_some(())
        });
        drop(streams);
        cluster.restart(leader);
        cluster.wait_for_health(leader, true).await;
        cluster.wait_until_equal();
        // By the clock of the cluster: by another one, events are of the future.
        assert_eq!(cluster.sql(leader, "SELECT violation FROM integrity_violations"), "");
    }
}
