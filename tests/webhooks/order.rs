//! What a receiver gets of calls, and in which order.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::json;

use crate::SOON;
use crate::receiver::{Received, Receiver, Reply, add_webhook, kept, retry_now};
use crate::support::{Server, eventually};

/// All events of a call, by requests and by an admin in `sqlite3`.
#[tokio::test]
async fn every_event_of_a_call_comes_once() {
    let server = Server::start();
    let receiver = Receiver::start();
    let [alice, bob] = ["alice", "bob"].map(|name| server.person(name));
    add_webhook(&server, "all", &receiver.url);
    let ends = Receiver::start();
    server.run(&["webhook", "add", "ends", &ends.url, "--allow-private", "--kind", "call.ended"], "");

    let call = alice.call("dm:alice:bob").await;
    assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
    assert_eq!(bob.post_json(&format!("/calls/{call}/screenshare"), json!({ "on": true })).await.0, 200);
    server.execute("INSERT INTO end_call_as_admin SELECT call_id FROM calls WHERE is_live");
    let kinds = ["call.started", "call.accepted", "call.sharer_changed", "call.ended"];
    receiver.expect(&call, &kinds).await;
    ends.expect(&call, &["call.ended"]).await;
    let last = receiver.received().pop().unwrap();
    let data = &last.body["data"];
    assert_eq!((&data["ended_reason"], &data["channel"]), (&json!("admin"), &json!("dm:alice:bob")));
    assert_eq!(last.headers["content-type"], "application/json");
    assert!(last.headers["user-agent"].starts_with("minimost-calls/"), "{last:?}");
    let ids: BTreeSet<String> = receiver.received().iter().map(|it| it.id().to_owned()).collect();
    assert_eq!(ids.len(), kinds.len());
    // Acknowledged rows are deleted.
    eventually(SOON, "rows", 0, || kept(&server)).await;
    server.assert_integrity();

    // A removed webhook gets nothing more.
    server.run(&["webhook", "remove", "all"], "");
    let call = alice.call("dm:alice:bob").await;
    assert_eq!(alice.post(&format!("/calls/{call}/end")).await.0, 200);
    ends.expect(&call, &["call.ended"]).await;
    assert_eq!(receiver.kinds(&call), [""; 0]);
}

/// A receiver that refuses the first event of one call: the later ones of that call wait, those of another do not.
#[tokio::test]
async fn a_failure_delays_one_call_alone() {
    let server = Server::start();
    let people = ["alice", "bob", "carol", "dave"].map(|name| server.person(name));
    let [alice, bob, carol, dave] = &people;
    let refused = Mutex::new(2);
    let refuse = move |received: &Received| {
        let mut refused = refused.lock().unwrap();
        if received.body["data"]["channel"] == "dm:alice:bob" && *refused > 0 {
            *refused -= 1;
            return Reply::Status(500);
        }
        Reply::Status(200)
    };
    let receiver = Receiver::replying(refuse);
    add_webhook(&server, "chat", &receiver.url);

    let failing = alice.call("dm:alice:bob").await;
    assert_eq!(bob.post(&format!("/calls/{failing}/accept")).await.0, 200);
    let other = carol.call("dm:carol:dave").await;
    assert_eq!(dave.post(&format!("/calls/{other}/accept")).await.0, 200);
    assert_eq!(carol.post(&format!("/calls/{other}/end")).await.0, 200);
    receiver.expect(&other, &["call.started", "call.accepted", "call.ended"]).await;
    receiver.expect(&failing, &["call.started"]).await;
    let failed = "SELECT count(*) FROM webhook_deliveries WHERE attempts = 1 AND last_status = 500";
    server.eventually(failed, SOON).await;

    retry_now(&server);
    receiver.expect(&failing, &["call.started"; 2]).await;
    server.eventually("SELECT count(*) FROM webhook_deliveries WHERE attempts = 2", SOON).await;
    retry_now(&server);
    receiver.expect(&failing, &["call.started", "call.started", "call.started", "call.accepted"]).await;
    // The id is that of the event, and the time that of the attempt.
    let ids: BTreeSet<String> =
        receiver.received().iter().filter(|it| it.kind() == "call.started").map(|it| it.id().to_owned()).collect();
    assert_eq!(ids.len(), 2);
    eventually(SOON, "rows", 0, || kept(&server)).await;
    server.assert_integrity();
}
