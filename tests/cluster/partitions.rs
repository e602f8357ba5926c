//! Partitions of the network between members, in both directions and in one.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::cluster::{Cluster, Login};
use crate::ledger::{self, Clients, Outcome, send};
use crate::network::{Network, from, to};
use crate::small_disk::is_in_namespace;
use crate::{TIMEOUT, lock_machine};

/// The ways in which a member is cut off from the others.
const CUTS: [&str; 3] = ["both ways", "to the others", "from the others"];

fn cut(network: &Network, node: u64, how: &str) {
    match how {
        "both ways" => network.block(from(node).chain(to(node))),
        "to the others" => network.block(from(node)),
        _ => network.block(to(node)),
    }
}

async fn wait_for_all(cluster: &Cluster) {
    for node in cluster.nodes() {
        cluster.wait_for_health(node, true).await;
    }
}

/// Cuts a member off while clients write at all of them. The others continue, and nothing acknowledged is lost.
async fn cut_off(rounds: usize) {
    let mut people = Vec::new();
    let (network, cluster) = Network::start(|server| people = ledger::prepare(server)).await;
    let clients = Clients::start(&cluster, &people).await;
    clients.wait_for_more(50);
    for round in 0..rounds {
        let how = CUTS[round % CUTS.len()];
        // Three leaders, then three followers.
        let is_leader = (round / CUTS.len()).is_multiple_of(2);
        let node = if is_leader { cluster.leader() } else { cluster.follower() };
        let begun = Instant::now();
        cut(&network, node, how);
        if is_leader {
            cluster.wait_for_health(node, false).await;
        }
        let first = clients.wait_for_acknowledgement(begun);
        clients.wait_for_more(50);
        network.heal();
        wait_for_all(&cluster).await;
        clients.wait_for_more(30);
        println!("member {node}, leader: {is_leader}, cut off {how}: the first write after {first:.1?}");
    }
    let ledger = clients.stop().await;
    ledger.check(&cluster);
    println!("{rounds} partitions: {} acknowledged, lost 0; (refused, unknown) {:?}", ledger.len(), ledger.failed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_lose_nothing() {
    let _machine = lock_machine().await;
    if is_in_namespace("partitions::partitions_lose_nothing") {
        cut_off(CUTS.len()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn cluster_cut_thirty_times_loses_nothing() {
    let _machine = lock_machine().await;
    if is_in_namespace("partitions::cluster_cut_thirty_times_loses_nothing") {
        cut_off(30).await;
    }
}

/// People who call in the same channel at the same moment.
const CALLERS: usize = 6;

/// All callers, at all members, start a call in one channel at once: one of them wins, and the next round begins when that
/// call has ended. Meanwhile a leader is killed or cut off.
async fn race(rounds: usize) {
    let mut people: Vec<Login> = Vec::new();
    let mut channel = String::new();
    let (network, mut cluster) = Network::start(|server| {
        server.lift_limits();
        server.execute("UPDATE settings SET value = 3600 WHERE name IN ('ringing_timeout', 'presence_timeout')");
        people.extend((0..CALLERS).map(|number| Login::prepare(server, &format!("caller{number}"))));
        let names: Vec<&str> = people.iter().map(|login| login.name.as_str()).collect();
        channel = server.private_channel(&names);
    })
    .await;
    let (mut winners, mut unanswered, mut failed_before) = (0, 0, false);
    for round in 0..rounds {
        let at = |caller: usize, node: u64| cluster.at(node, &people[caller]);
        let nodes = cluster.nodes();
        let fault = round % 5;
        let leader = cluster.leader();
        let mut starts = JoinSet::new();
        for caller in 0..CALLERS {
            let person = at(caller, nodes[caller % nodes.len()]);
            let body = json!({ "channel": channel });
            starts.spawn(async move { send(person.posting_json("/calls/initiate", body)).await });
        }
        // At some moment while they are under way.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..8))).await;
        match fault {
            0 => {}
            1 => cluster.kill(leader),
            _ => cut(&network, leader, CUTS[fault - 2]),
        }
        let outcomes = starts.join_all().await;
        let won: Vec<_> = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done(_))).collect();
        assert!(won.len() <= 1, "round {round}: {outcomes:?}");
        winners += won.len();
        let failed = outcomes.iter().any(|outcome| matches!(outcome, Outcome::NotDone | Outcome::Unknown));
        unanswered += usize::from(failed);
        // A start of the round before that had no answer may come first.
        assert!(failed || failed_before || won.len() == 1, "round {round}: {outcomes:?}");
        failed_before = failed;
        network.heal();
        if fault == 1 {
            cluster.restart(leader);
        }
        wait_for_all(&cluster).await;
        end_what_lives(&cluster, &people, &channel).await;
    }
    cluster.assert_equal();
    let overlapping: i64 = cluster.value(
        1,
        "SELECT count(*) FROM calls AS one JOIN calls AS other ON one.channel = other.channel \
         AND one.call_id < other.call_id AND one.started_ts < other.ended_ts AND other.started_ts < one.ended_ts",
    );
    assert_eq!(overlapping, 0);
    assert_eq!(cluster.value::<i64>(1, "SELECT count(*) FROM calls WHERE state <> 'ended'"), 0);
    println!("{rounds} races of {CALLERS}: {winners} winners; in {unanswered} rounds some had no answer");
}

/// Ends the live call of a channel. One that was started without an answer may begin late.
async fn end_what_lives(cluster: &Cluster, people: &[Login], channel: &str) {
    let deadline = Instant::now() + TIMEOUT;
    let mut quiet_at = 0;
    for node in cluster.nodes().into_iter().cycle() {
        assert!(Instant::now() < deadline, "a call does not end");
        let person = cluster.at(node, &people[0]);
        match send(person.getting(&format!("/calls/active?channel={channel}"))).await {
            Outcome::Done(active) if active["call"].is_null() => quiet_at += 1,
            Outcome::Done(active) => {
                let (call, caller) = (active["call"]["call_id"].as_str(), active["call"]["initiator"].as_str());
                let caller = people.iter().find(|login| Some(login.name.as_str()) == caller).unwrap();
                send(cluster.at(node, caller).posting(&format!("/calls/{}/end", call.unwrap()))).await;
                quiet_at = 0;
            }
            outcome => panic!("{outcome:?}"),
        }
        if quiet_at == cluster.nodes().len() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_callers_wins() {
    let _machine = lock_machine().await;
    if is_in_namespace("partitions::one_of_many_callers_wins") {
        race(5).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn one_of_many_callers_wins_in_fifty_rounds() {
    let _machine = lock_machine().await;
    if is_in_namespace("partitions::one_of_many_callers_wins_in_fifty_rounds") {
        race(50).await;
    }
}
