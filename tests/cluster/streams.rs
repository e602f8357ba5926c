//! Event streams that move from one member to another.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{sleep, timeout};

use crate::cluster::{Cluster, Login};
use crate::support::{EventStream, Person, assert_refused};
use crate::{TIMEOUT, lock_machine};

/// Three members, and the sessions of alice and bob.
fn cluster() -> (Cluster, Vec<Login>) {
    let mut people = Vec::new();
    let cluster = Cluster::start(3, |server| {
        server.lift_limits();
        people.extend(["alice", "bob"].map(|name| Login::prepare(server, name)));
    });
    (cluster, people)
}

/// A call that bob rejects.
async fn rejected_call(alice: &Person, bob: &Person) -> String {
    let call = alice.call("dm:alice:bob").await;
    assert_eq!(bob.post(&format!("/calls/{call}/reject")).await.0, 200);
    call
}

/// The client has an event that this member does not have yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_waits_for_events_that_another_member_has_sent() {
    let _machine = lock_machine().await;
    let (cluster, people) = cluster();
    let (alice, bob) = (cluster.at(1, &people[0]), cluster.at(1, &people[1]));
    let (mut stream, _) = EventStream::open_with_snapshot(&alice).await;
    rejected_call(&alice, &bob).await;
    stream.expect_data("rejected").await;
    for node in cluster.nodes() {
        let newest: i64 = cluster.value(1, "SELECT newest_event FROM clock");
        let elsewhere = cluster.at(node, &people[0]);
        let opening = tokio::spawn(async move { EventStream::open(&elsewhere, Some(newest + 1)).await });
        // Longer than a member takes that does not wait.
        sleep(Duration::from_millis(300)).await;
        assert!(!opening.is_finished(), "member {node} does not wait");
        let call = rejected_call(&alice, &bob).await;
        let mut resumed = timeout(TIMEOUT, opening).await.unwrap().unwrap();
        let first = resumed.next().await.unwrap();
        assert_eq!(first.name, "call", "member {node}: {first:?}");
        assert_eq!(first.data["call_id"], call.as_str());
        assert!(first.id > newest + 1, "event {} of {newest} comes again", first.id);
    }
    // An event that no member has is of a log before a restore.
    let mut stream = EventStream::open(&alice, Some(1_000_000)).await;
    assert_eq!(stream.expect("snapshot").await.data["lost"], true);
}

/// Its clients would get no events, and would not count as present.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_a_majority_ends_its_streams() {
    let _machine = lock_machine().await;
    let (mut cluster, people) = cluster();
    let left = cluster.follower();
    let alice = cluster.at(left, &people[0]);
    let (mut stream, snapshot) = EventStream::open_with_snapshot(&alice).await;
    let others: Vec<u64> = cluster.nodes().into_iter().filter(|node| *node != left).collect();
    for node in &others {
        cluster.stop(*node, Signal::SIGKILL);
    }
    while stream.next().await.is_some() {}
    let resuming = || alice.getting("/events").header("last-event-id", snapshot.id.to_string());
    assert_refused(&crate::support::answer(resuming()).await, 503, "no_leader");
    for node in others {
        cluster.restart(node);
    }
    cluster.wait_for_voters(3);
    // It resumes where it was.
    let mut stream = EventStream::from_request(resuming()).await;
    let call = alice.call("dm:alice:bob").await;
    assert_eq!(stream.next().await.unwrap().data["call_id"], call.as_str());
}
