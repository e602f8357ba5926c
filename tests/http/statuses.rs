//! `status` in the response of an action: `ok`, as the original MiniMost answers. Only routes that it does not have answer
//! with other words.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::methods::table;
use crate::support::{Person, Server};

/// The routes that the original does not have, besides those at /admin/ and /sessions.
const OWN: [&str; 7] = [
    "GET /healthz",
    "POST /calls/ID/gone",
    "POST /calls/ID/leave",
    "POST /calls/ID/remove",
    "POST /calls/missed/seen",
    "POST /logout",
    "POST /quiet",
];

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
    let mut answered = BTreeSet::from(OWN.map(str::to_owned));
    for (person, path, id, body) in requests {
        let (status, answer) = person.post_json(&path.replace("ID", id), body).await;
        assert_eq!((status, &answer["status"]), (200, &json!("ok")), "{path}");
        answered.insert(format!("POST {path}"));
    }

    // The documentation knows no other route with a status.
    let rows = table("| route | answers | refuses |").into_iter();
    let is_own = |row: &[String]| row[0].contains(" /admin/") || row[0].contains(" /sessions/");
    let rows = rows.filter(|row| !is_own(row));
    let with_status = rows.filter(|row| row[1].contains("status") || row[1].starts_with("as for calls, by the sharer"));
    let documented: BTreeSet<String> =
        with_status.map(|row| row[0].split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(documented, answered);
}
