//! Members that are killed, frozen or away, under load: nothing acknowledged is lost.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::cluster::{Cluster, wait_for};
use crate::ledger::{self, Clients, Ledger};
use crate::{TIMEOUT, lock_machine};

/// A cluster under load.
async fn loaded() -> (Cluster, Clients) {
    let mut people = Vec::new();
    let cluster = Cluster::start(3, |server| people = ledger::prepare(server));
    let clients = Clients::start(&cluster, &people).await;
    clients.wait_for_more(50);
    (cluster, clients)
}

fn print(what: &str, ledger: &Ledger) {
    let (refused, unknown) = ledger.failed();
    println!("{what}: {} acknowledged, lost 0; {refused} signals refused, {unknown} unknown", ledger.len());
}

/// Kills the leader `kills` times. Returns the times until a write was acknowledged again.
async fn kill_leaders(kills: usize) -> Vec<Duration> {
    let (mut cluster, clients) = loaded().await;
    let mut gaps = Vec::new();
    for _ in 0..kills {
        let leader = cluster.leader();
        let killed = Instant::now();
        cluster.kill(leader);
        gaps.push(clients.wait_for_acknowledgement(killed));
        println!("member {leader} killed: the next write after {:.1?}", gaps.last().unwrap());
        cluster.restart(leader);
        cluster.wait_for_health(leader, true).await;
        clients.wait_for_more(50);
    }
    let ledger = clients.stop().await;
    ledger.check(&cluster);
    gaps.sort();
    let percentile = |percent: usize| gaps[(gaps.len() * percent / 100).min(gaps.len() - 1)];
    let (median, high, longest) = (percentile(50), percentile(99), percentile(100));
    print(
        &format!("leader killed {kills} times, without one for p50 {median:.1?}, p99 {high:.1?}, max {longest:.1?}"),
        &ledger,
    );
    gaps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_killed_ten_times_loses_nothing() {
    let _machine = lock_machine().await;
    kill_leaders(10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn leader_killed_a_hundred_times_loses_nothing() {
    let _machine = lock_machine().await;
    let gaps = kill_leaders(100).await;
    assert!(gaps[gaps.len() * 99 / 100] < Duration::from_secs(3), "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_leader_is_replaced_and_loses_nothing() {
    let _machine = lock_machine().await;
    freeze_leaders(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn leader_frozen_twenty_times_loses_nothing() {
    let _machine = lock_machine().await;
    freeze_leaders(20).await;
}

/// The others elect another leader, and the one that continues follows it.
async fn freeze_leaders(rounds: usize) {
    let (cluster, clients) = loaded().await;
    for _ in 0..rounds {
        let leader = cluster.leader();
        let frozen = Instant::now();
        cluster.freeze(leader);
        let gap = clients.wait_for_acknowledgement(frozen);
        clients.wait_for_more(200);
        let others: Vec<u64> = cluster.nodes().into_iter().filter(|node| *node != leader).collect();
        let new = cluster.leader_seen_by(others[0]).unwrap();
        assert_ne!(new, leader);
        cluster.thaw(leader);
        wait_for(TIMEOUT, "agreement on the leader", || {
            let seen: Vec<_> = cluster.nodes().into_iter().map(|node| cluster.leader_seen_by(node)).collect();
            (seen[0].is_some() && seen.iter().all(|leader| *leader == seen[0])).then_some(())
        });
        cluster.wait_for_health(leader, true).await;
        clients.wait_for_more(50);
        println!("leader frozen for {:.1?}: the first write after {gap:.1?}", frozen.elapsed());
    }
    let ledger = clients.stop().await;
    ledger.check(&cluster);
    print("leaders frozen", &ledger);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_members_killed_at_once_lose_nothing() {
    let _machine = lock_machine().await;
    let (mut cluster, clients) = loaded().await;
    for _ in 0..2 {
        // Frozen first, so that none of them sees another's end.
        let nodes = cluster.nodes();
        for node in &nodes {
            cluster.freeze(*node);
        }
        for node in &nodes {
            cluster.kill(*node);
        }
        let started = Instant::now();
        cluster.restart_all(&nodes);
        let gap = clients.wait_for_acknowledgement(started);
        clients.wait_for_more(100);
        println!("all killed: the first write {gap:.1?} after the start");
    }
    let ledger = clients.stop().await;
    ledger.check(&cluster);
    print("all killed twice", &ledger);
}

/// A member that is away while the others remove from their logs what it lacks gets a copy of the file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_for_long_gets_a_copy() {
    let _machine = lock_machine().await;
    let mut people = Vec::new();
    let mut cluster = Cluster::start(3, |server| people = ledger::prepare(server));
    let away = cluster.follower();
    let leader = cluster.leader();
    let [alice, bob] = [0, 1].map(|person: usize| cluster.at(leader, &people[0][person]));
    let call = alice.call("dm:sender0:reader0").await;
    assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
    let media = format!("/calls/{call}/media");
    assert_eq!(alice.post_bytes(&format!("{media}?init=1&mime=video/webm"), vec![1; 1000]).await.0, 200);
    cluster.kill(away);
    let applied = cluster.value::<i64>(away, "SELECT log_id ->> '$.index' FROM cluster");
    let first = || {
        let log = crate::support::connect(&cluster.beside(leader, "-raft"));
        log.query_row("SELECT min(id) FROM log", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let deadline = Instant::now() + 3 * TIMEOUT;
    while first() <= applied + 1 {
        assert!(Instant::now() < deadline, "the log begins with {}, and {applied} is applied", first());
        for _ in 0..4 {
            assert_eq!(alice.post_bytes(&media, vec![7; 4_000_000]).await.0, 200);
        }
    }
    // What a member leaves that is killed while it receives a copy.
    let left = cluster.db(away).with_file_name(".presence.db-copy-left");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("presence.db-wal"), [0; 4096]).unwrap();
    cluster.restart(away);
    cluster.wait_for_health(away, true).await;
    cluster.assert_equal();
    assert_eq!(cluster.copies(away), Vec::<PathBuf>::new());
    let bob = cluster.at(away, &people[0][1]);
    assert_eq!(bob.read(&format!("/calls/{call}/state")).await["state"], "active");
    assert_eq!(bob.post(&format!("/calls/{call}/end")).await.0, 200);
    cluster.assert_equal();
}

/// One of three members still serves reads, and refuses writes in time. None of them is done later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_reads_work_and_writes_are_refused_in_time() {
    let _machine = lock_machine().await;
    let mut people = Vec::new();
    let mut cluster = Cluster::start(3, |server| people = ledger::prepare(server));
    // Once the leader is left, and once a follower.
    for keeps_leader in [true, false] {
        let leader = cluster.leader();
        let left = if keeps_leader { leader } else { cluster.follower() };
        let [alice, bob] = [0, 1].map(|person: usize| cluster.at(left, &people[0][person]));
        let call = alice.call("dm:sender0:reader0").await;
        assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
        let others: Vec<u64> = cluster.nodes().into_iter().filter(|node| *node != left).collect();
        for node in &others {
            cluster.kill(*node);
        }

        // The first may be under way while the leader still believes in its majority.
        let mut writes = JoinSet::new();
        for number in 0..8_u64 {
            let (alice, path) = (alice.clone(), format!("/calls/{call}/signal"));
            let body = json!({ "to": "reader0", "type": "offer", "payload": { "number": number } });
            writes.spawn(async move {
                tokio::time::sleep(Duration::from_millis(250 * number)).await;
                let asked = Instant::now();
                (number, alice.post_json(&path, body).await, asked.elapsed())
            });
        }
        // It waits for a leader as long as a request.
        let command = cluster.try_run(left, &["setting", "set", "ringing_timeout", "31"], "");
        assert_eq!(command.status.code(), Some(1), "{command:?}");
        assert_eq!(String::from_utf8_lossy(&command.stderr).lines().count(), 1, "{command:?}");
        let mut refused = Vec::new();
        for (number, (status, body), took) in writes.join_all().await {
            assert!(took < Duration::from_secs(11), "answered after {took:?}");
            match (status, body["code"].as_str().unwrap()) {
                (503, "no_leader") => refused.push(number),
                (504, "outcome_unknown") => assert!(number < 6, "the member has noticed by now"),
                _ => panic!("{status} {body}"),
            }
        }
        assert!(!refused.is_empty());
        assert_eq!(cluster.health(left).await, Some(503));
        assert_eq!(bob.read(&format!("/calls/{call}/state")).await["state"], "active");
        let active = bob.read("/calls/active?channel=dm:sender0:reader0").await;
        assert_eq!(active["call"]["call_id"], call.as_str());
        cluster.restart_all(&others);
        cluster.wait_for_health(left, true).await;
        let body = json!({ "to": "reader0", "type": "offer", "payload": { "number": 1000 } });
        assert_eq!(alice.post_json(&format!("/calls/{call}/signal"), body).await.0, 200);
        cluster.assert_equal();
        for number in refused {
            let done = format!(
                "SELECT count(*) FROM call_signals WHERE call_id = '{call}' AND payload ->> '$.number' = {number}"
            );
            assert_eq!(cluster.value::<i64>(left, &done), 0, "signal {number} was refused, and is done");
        }
        assert_eq!(alice.post(&format!("/calls/{call}/end")).await.0, 200);
    }
}
