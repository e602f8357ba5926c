//! A rule that refuses the sweep of the time limits: a defect, here a trigger that an admin's shell made.

use std::time::Duration;

use serde_json::json;

use crate::scenes::{Scene, participants};
use crate::support::{answer, assert_refused};

#[tokio::test]
async fn a_refused_sweep_stops_no_valid_request_and_is_nobody_elses_refusal() {
    let scene = Scene::active().await;
    let Scene { server, alice, bob, carol, .. } = &scene;
    let overdue = carol.call("dm:alice:carol").await;
    // The code of the defect is one that requests get, too.
    server.execute(
        "CREATE TRIGGER defect BEFORE UPDATE OF state ON call_participants WHEN NEW.missed_ts IS NOT OLD.missed_ts \
         BEGIN SELECT RAISE(ABORT, 'call_finished'); END",
    );
    server.age_invitations(1000.0);
    let stays = format!("SELECT state = 'ringing' FROM calls WHERE call_id = '{overdue}'");

    let signal = json!({ "to": "bob", "type": "offer", "payload": 1 });
    for _ in 0..3 {
        assert_eq!(alice.post_json(&scene.path("signal"), signal.clone()).await.0, 200);
    }
    assert_eq!(bob.post_bytes(&scene.path("media"), b"chunk".as_slice()).await.0, 200);
    let started = bob.call("dm:bob:carol").await;
    assert_eq!(carol.post(&format!("/calls/{started}/end")).await.0, 200);
    assert!(server.value::<bool>(&stays), "the sweep is refused");

    // Readers apply the time limits themselves.
    let state = carol.read(&format!("/calls/{overdue}/state")).await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("rejected"), &json!("timeout")));
    assert_eq!(alice.read("/calls/incoming").await, json!([]));

    // A refusal may come from the row that should have been swept, as this one does.
    let again = || carol.posting_json("/calls/initiate", json!({ "channel": "dm:alice:carol" }));
    let response = again().send().await.unwrap();
    assert_eq!(response.headers()["retry-after"], "10");
    server.assert_refuses(again(), 503, "sweep_refused").await;
    server.assert_refuses(carol.posting(&scene.path("accept")), 503, "sweep_refused").await;
    // One that no write was needed for is what it was.
    assert_refused(&answer(carol.getting(&scene.path("state"))).await, 403, "not_a_member");

    server.execute("DROP TRIGGER defect");
    server
        .eventually(
            &format!("SELECT state = 'rejected' FROM calls WHERE call_id = '{overdue}'"),
            Duration::from_secs(5),
        )
        .await;
    let state = carol.read(&format!("/calls/{overdue}/state")).await;
    assert_eq!(participants(&state), "carol left, alice rejected");
    assert_eq!(again().send().await.unwrap().status(), 200);
    assert_refused(&answer(carol.posting(&scene.path("accept"))).await, 403, "not_a_member");
    server.assert_integrity();
}
