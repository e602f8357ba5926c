//! Rows that an admin adds by hand. None of them may stop the events of others.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{EventStream, PROGRAM, Server};

#[tokio::test]
async fn a_call_without_participants_is_shown_and_delivered() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let (mut stream, _) = EventStream::open_with_snapshot(&bob).await;
    server.execute(
        "INSERT INTO calls (call_id, channel, initiator, state, started_ts) \
         SELECT 'by_hand', 'dm:alice:bob', 'alice', 'ringing', ts FROM now",
    );
    let call = stream.expect("call").await;
    assert_eq!((&call.data["call_id"], &call.data["participants"]), (&json!("by_hand"), &json!([])));
    assert_eq!(alice.read("/calls/by_hand/state").await["participants"], json!([]));
    for path in ["/me", "/calls/incoming", "/calls/active?channel=dm:alice:bob"] {
        alice.read(path).await;
    }
    EventStream::open_with_snapshot(&alice).await;
    alice.post_json("/screenshare/start", json!({ "channel": "dm:alice:bob" })).await;
    // The call ends soon, because nobody answers it.
    while stream.next().await.expect("push continues").name != "share" {}
}

#[tokio::test]
async fn an_event_that_cannot_be_rendered_is_logged_and_skipped() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("stderr");
    let mut program = Command::new("sh");
    program.args(["-c", "exec \"$0\" \"$@\" 2>\"$LOG\"", PROGRAM]).env("LOG", &log);
    let server = Server::start_as(program, "127.0.0.1:0", folder, &[]);
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let call = alice.call("dm:alice:bob").await;
    assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
    let (mut stream, snapshot) = EventStream::open_with_snapshot(&bob).await;

    // A payload that is not JSON.
    let sql = server.sql();
    sql.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
    sql.execute(
        "INSERT INTO call_signals (call_id, from_user, to_user, signal_type, payload, ts) \
         SELECT ?1, 'alice', 'bob', 'offer', '{', ts FROM now",
        [&call],
    )
    .unwrap();
    let poison: i64 = server.value("SELECT max(id) FROM call_signals");
    let offer = json!({ "to": "bob", "type": "offer", "payload": "after" });
    assert_eq!(alice.post_json(&format!("/calls/{call}/signal"), offer).await.0, 200);

    let delivered = stream.expect("signal").await;
    assert_eq!(delivered.data["payload"], Value::from("after"));
    assert!(poison > snapshot.id && delivered.id > poison);
    let log = fs::read_to_string(log).unwrap();
    let line = log.lines().find(|line| line.contains("cannot be rendered")).expect("the event is logged");
    assert!(line.contains(&format!("event={poison}")) && line.contains(&call), "{line}");
    assert!(!log.contains("cannot read the event log"), "{log}");

    // A client that resumes skips the event, too.
    let resumed = EventStream::open(&bob, Some(snapshot.id)).await.expect("signal").await;
    assert_eq!(resumed.id, delivered.id);
}
