//! The basic call: alice calls bob.

use serde_json::json;

use crate::support::Server;

#[tokio::test]
async fn alice_calls_bob_and_hangs_up() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let call = alice.call("dm:bob:alice").await;

    let (_, incoming) = bob.get("/calls/incoming").await;
    assert_eq!(incoming[0]["call_id"], call.as_str());
    assert_eq!(incoming[0]["channel"], "dm:alice:bob");

    let (status, accepted) = bob.post(&format!("/calls/{call}/accept")).await;
    assert_eq!((status, &accepted["participants"]), (200, &json!(["alice", "bob"])));
    assert_eq!(bob.get("/calls/incoming").await, (200, json!([])));

    let offer = json!({ "to": "bob", "type": "offer", "payload": { "type": "offer", "sdp": "v=0" } });
    assert_eq!(alice.post_json(&format!("/calls/{call}/signal"), offer).await.0, 200);
    let (_, signals) = bob.get(&format!("/calls/{call}/signals?after=0")).await;
    assert_eq!(signals[0]["payload"], json!({ "type": "offer", "sdp": "v=0" }));

    assert_eq!(alice.post(&format!("/calls/{call}/end")).await, (200, json!({ "status": "ok" })));
    let (_, state) = bob.get(&format!("/calls/{call}/state")).await;
    assert_eq!((&state["state"], &state["ended_reason"]), (&json!("ended"), &json!("hangup")));
    server.assert_integrity();
}
