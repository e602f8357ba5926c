//! `status` in the response of an action: `ok`, as the original MiniMost answers. Only routes that it does not have answer
//! with other words.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::openapi::{Operation, operations, resolve};
use crate::support::{Person, Server};

/// A route that the original does not have, and that answers `ok` nevertheless.
const OWN: &str = "GET /healthz";

#[tokio::test]
async fn every_route_of_the_original_answers_ok() {
    let server = Server::start();
    let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
    let channel = json!({ "channel": "dm:alice:bob:carol" });
    let call = alice.call("dm:alice:bob:carol").await;
    let share = alice.post_json("/screenshare/start", channel).await.1["share_id"].as_str().unwrap().to_owned();
    let signal = json!({ "to": "alice", "type": "offer", "payload": {} });

    let empty = || json!({});
    let requests: [(&Person, &str, &str, Value); 11] = [
        (&carol, "/calls/ID/reject", &call, empty()),
        (&bob, "/calls/ID/accept", &call, empty()),
        (&bob, "/calls/ID/invite", &call, json!({ "username": "carol" })),
        (&bob, "/calls/ID/signal", &call, signal.clone()),
        (&bob, "/calls/ID/screenshare", &call, json!({ "on": true })),
        (&bob, "/calls/ID/screenshare", &call, json!({ "on": false })),
        (&bob, "/calls/ID/media", &call, json!("a chunk")),
        (&bob, "/calls/ID/end", &call, empty()),
        (&bob, "/screenshare/ID/signal", &share, signal),
        (&alice, "/screenshare/ID/media", &share, json!("a chunk")),
        (&alice, "/screenshare/ID/stop", &share, empty()),
    ];
    let mut answered = BTreeSet::from([OWN.to_owned()]);
    for (person, path, id, body) in requests {
        let (status, answer) = person.post_json(&path.replace("ID", id), body).await;
        assert_eq!((status, &answer["status"]), (200, &json!("ok")), "{path}");
        let variable = if path.starts_with("/calls") { "{call_id}" } else { "{share_id}" };
        answered.insert(format!("POST {}", path.replace("ID", variable)));
    }

    // The description has no other route with this status.
    let is_ok = |operation: &Operation| {
        let (_, response) = operation.response(200).unwrap();
        let schema = &response["content"]["application/json"]["schema"];
        resolve(schema)["properties"]["status"]["const"] == "ok"
    };
    let described = operations().into_iter().filter(is_ok);
    let described: BTreeSet<String> =
        described.map(|operation| format!("{} {}", operation.method, operation.path)).collect();
    assert_eq!(described, answered);
}
