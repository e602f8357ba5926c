//! `/screenshare`: screen shares outside calls.

use base64_simd::STANDARD;
use serde_json::{Value, json};

use crate::scenes::keys;
use crate::support::{Person, Server};

/// alice shares her screen in a channel with bob and carol. dave is not a member.
struct Share {
    server: Server,
    people: [Person; 4],
    channel: String,
    id: String,
}

impl Share {
    async fn active() -> Self {
        let server = Server::start();
        let people = ["alice", "bob", "carol", "dave"].map(|name| server.person(name));
        let channel = server.private_channel(&["alice", "bob", "carol"]);
        let id = start(&people[0], &channel).await;
        Self { server, people, channel, id }
    }

    fn path(&self, what: &str) -> String {
        format!("/screenshare/{}/{what}", self.id)
    }

    async fn stop(&self) {
        let stopped = self.people[0].post(&self.path("stop")).await;
        assert_eq!(stopped, (200, json!({ "status": "ok" })));
    }
}

async fn start(sharer: &Person, channel: &str) -> String {
    let (status, body) = sharer.post_json("/screenshare/start", json!({ "channel": channel })).await;
    assert_eq!((status, keys(&body)), (200, vec!["share_id"]), "{body}");
    body["share_id"].as_str().unwrap().to_owned()
}

fn offer(to: &str) -> Value {
    json!({ "to": to, "type": "offer", "payload": {} })
}

#[tokio::test]
async fn members_see_a_share_until_it_is_stopped() {
    let share = Share::active().await;
    let [alice, bob, ..] = &share.people;
    let active = format!("/screenshare/active?channel={}", share.channel);
    let started: f64 = share.server.value("SELECT started_ts FROM screenshares");
    let expected = json!([{ "share_id": share.id, "channel": share.channel, "sharer": "alice", "sharer_display_name": "alice",
                 "started_ts": started }]);
    assert_eq!(alice.read(&active).await, expected);
    assert_eq!(bob.read(&active).await, expected);
    share.stop().await;
    assert_eq!(bob.read(&active).await, json!([]));
    let before = share.server.rows();
    share.stop().await;
    assert_eq!(share.server.rows(), before, "stopping twice changes nothing");
    share.server.assert_integrity();
}

#[tokio::test]
async fn a_new_share_ends_the_sharers_earlier_one_in_the_channel() {
    let share = Share::active().await;
    let [alice, bob, ..] = &share.people;
    let of_bob = start(bob, &share.channel).await;
    let of_dm = start(alice, "dm:bob:alice").await;
    assert_eq!(alice.post_bytes(&share.path("media"), b"x".as_slice()).await.0, 200);
    let second = start(alice, &share.channel).await;
    let ids = |shares: Value| -> Vec<String> {
        let shares = shares.as_array().unwrap();
        shares.iter().map(|share| share["share_id"].as_str().unwrap().to_owned()).collect()
    };
    let active = format!("/screenshare/active?channel={}", share.channel);
    assert_eq!(ids(bob.read(&active).await), [of_bob, second]);
    // Both orders of a DM's names are one channel.
    for spelling in ["dm:alice:bob", "dm:bob:alice"] {
        let active = bob.read(&format!("/screenshare/active?channel={spelling}")).await;
        assert_eq!(active[0]["channel"], "dm:alice:bob");
        assert_eq!(ids(active), [of_dm.as_str()]);
    }
    let again = start(alice, "dm:alice:bob").await;
    assert_eq!(ids(bob.read("/screenshare/active?channel=dm:bob:alice").await), [again]);
    // Ending a share deletes its media.
    let read = bob.read(&share.path("media")).await;
    assert_eq!((&read["active"], &read["chunks"]), (&json!(false), &json!([])));
    share.server.assert_integrity();
}

#[tokio::test]
async fn starting_requires_membership() {
    let share = Share::active().await;
    let [alice, _, _, dave] = &share.people;
    for (person, channel, status, code) in [
        (alice, "", 400, "bad_body"),
        (alice, "general", 403, "channel_not_callable"),
        (alice, "private:999", 403, "not_a_member"),
        (alice, "dm:bob:carol", 403, "not_a_member"),
        (alice, "dm:alice:ghost", 403, "channel_names_nobody"),
        (dave, &share.channel, 403, "not_a_member"),
    ] {
        let request = person.posting_json("/screenshare/start", json!({ "channel": channel }));
        share.server.assert_refuses(request, status, code).await;
    }
    for body in [json!({}), json!({ "channel": null }), json!({ "channel": 7 })] {
        let request = alice.posting_json("/screenshare/start", body);
        share.server.assert_refuses(request, 400, "bad_body").await;
    }
}

#[tokio::test]
async fn only_the_sharer_stops_a_share() {
    let share = Share::active().await;
    let [alice, bob, _, dave] = &share.people;
    for person in [bob, dave] {
        let request = person.posting(&share.path("stop"));
        share.server.assert_refuses(request, 403, "not_the_sharer").await;
    }
    let unknown = alice.posting("/screenshare/none/stop");
    share.server.assert_refuses(unknown, 404, "share_not_found").await;
    // A call's id is not found as a share.
    let call = alice.call("dm:alice:bob").await;
    let of_call = alice.posting(&format!("/screenshare/{call}/stop"));
    share.server.assert_refuses(of_call, 404, "share_not_found").await;
}

#[tokio::test]
async fn listing_shares_requires_membership() {
    let share = Share::active().await;
    let dave = &share.people[3];
    for (query, status, code) in [
        ("", 400, "query_missing"),
        ("?channel=", 400, "query_missing"),
        ("?channel=general", 403, "channel_not_callable"),
        ("?channel=dm:alice:bob", 403, "not_a_member"),
        (&format!("?channel={}", share.channel), 403, "not_a_member"),
    ] {
        let request = dave.getting(&format!("/screenshare/active{query}"));
        share.server.assert_refuses(request, status, code).await;
    }
}

#[tokio::test]
async fn signals_of_a_share_are_between_the_sharer_and_a_member() {
    let share = Share::active().await;
    let [alice, bob, carol, dave] = &share.people;
    let (signal, signals) = (share.path("signal"), share.path("signals"));
    assert_eq!(bob.post_json(&signal, offer("alice")).await, (200, json!({ "status": "ok" })));
    assert_eq!(alice.post_json(&signal, offer("bob")).await.0, 200);
    let for_alice = alice.read(&signals).await;
    assert_eq!(keys(&for_alice[0]), ["from", "id", "payload", "ts", "type"]);
    assert_eq!(for_alice[0]["from"], "bob");
    let id = for_alice[0]["id"].as_i64().unwrap();
    assert_eq!(alice.read(&format!("{signals}?after={id}")).await, json!([]));
    assert_eq!(bob.read(&signals).await[0]["from"], "alice");
    assert_eq!(carol.read(&signals).await, json!([]));

    let server = &share.server;
    for (person, to, status, code) in [
        (bob, "carol", 403, "recipient_not_in_share"),
        (alice, "dave", 403, "recipient_not_in_share"),
        (alice, "ghost", 403, "recipient_not_in_share"),
        (alice, "alice", 400, "call_signals_between_two"),
        (dave, "alice", 403, "not_a_member"),
    ] {
        server.assert_refuses(person.posting_json(&signal, offer(to)), status, code).await;
    }
    for (body, status, code) in [
        (json!({ "to": "bob", "type": "offer" }), 400, "bad_body"),
        (json!({ "to": "bob", "type": "bye", "payload": 1 }), 400, "call_signals_type_known"),
        (json!({ "to": "bob", "type": "offer", "payload": null }), 400, "call_signals_payload_is_json"),
        (json!({ "to": "bob", "type": "offer", "payload": "x".repeat(65536) }), 413, "signal_too_large"),
    ] {
        server.assert_refuses(alice.posting_json(&signal, body), status, code).await;
    }
    let unknown = alice.posting_json("/screenshare/none/signal", offer("bob"));
    server.assert_refuses(unknown, 404, "share_not_found").await;
    server.assert_refuses(alice.getting("/screenshare/none/signals"), 404, "share_not_found").await;
    server.assert_refuses(dave.getting(&signals), 403, "not_a_member").await;
    assert_eq!(bob.read(&format!("{signals}?after=x")).await, bob.read(&signals).await);

    share.stop().await;
    assert_eq!(bob.read(&signals).await, json!([]), "ending a share deletes its signals");
    server.assert_refuses(bob.posting_json(&signal, offer("alice")), 409, "share_ended").await;
    server.assert_refuses(dave.posting_json(&signal, offer("alice")), 403, "not_a_member").await;
    server.assert_refuses(dave.getting(&signals), 403, "not_a_member").await;
    server.assert_integrity();
}

#[tokio::test]
async fn the_sharer_uploads_media_and_members_read_it() {
    let share = Share::active().await;
    let [alice, bob, _, dave] = &share.people;
    let media = share.path("media");
    let empty = json!({ "mime_type": null, "init": null, "chunks": [], "active": true });
    assert_eq!(bob.read(&media).await, empty);
    let init = share.path("media?init=1&mime=video/webm");
    let stored = alice.post_bytes(&init, b"header".as_slice()).await;
    assert_eq!(stored, (200, json!({ "status": "ok", "seq": -1 })));
    let mut seqs = Vec::new();
    for data in [b"one".as_slice(), b"two"] {
        let (status, body) = alice.post_bytes(&media, data).await;
        assert_eq!(status, 200, "{body}");
        seqs.push(body["seq"].as_i64().unwrap());
    }
    assert_eq!(
        bob.read(&format!("{media}?after={}", seqs[0])).await,
        json!({
            "mime_type": "video/webm", "init": STANDARD.encode_to_string("header"), "active": true,
            "chunks": [{ "seq": seqs[1], "data": STANDARD.encode_to_string("two") }],
        })
    );
    assert_eq!(bob.read(&media).await["chunks"][0]["seq"], seqs[0]);

    let server = &share.server;
    let chunk = b"chunk".as_slice();
    for person in [bob, dave] {
        server.assert_refuses(person.posting_bytes(&media, chunk), 403, "not_the_sharer").await;
    }
    server.assert_refuses(dave.getting(&media), 403, "not_a_member").await;
    assert_eq!(bob.read(&format!("{media}?after=x")).await, bob.read(&media).await);
    for (path, data, status, code) in [
        ("media", b"".as_slice(), 400, "chunk_empty"),
        ("media?init=1", chunk, 400, "mime_missing"),
        ("media?init=1&mime=%00", chunk, 400, "share_media_mime_type_length"),
        ("media", &vec![0; (4 << 20) + 1], 413, "media_chunk_too_large"),
    ] {
        server.assert_refuses(alice.posting_bytes(&share.path(path), data), status, code).await;
    }
    let screen = alice.posting_bytes(&media, chunk).header("x-track", "screen");
    server.assert_refuses(screen, 400, "track_unknown").await;
    let unknown = "/screenshare/none/media";
    server.assert_refuses(alice.posting_bytes(unknown, chunk), 404, "share_not_found").await;
    server.assert_refuses(alice.getting(unknown), 404, "share_not_found").await;

    share.stop().await;
    let ended = json!({ "mime_type": null, "init": null, "chunks": [], "active": false });
    assert_eq!(bob.read(&media).await, ended);
    server.assert_refuses(alice.posting_bytes(&media, chunk), 409, "share_ended").await;
    server.assert_refuses(bob.posting_bytes(&media, chunk), 403, "not_the_sharer").await;
    server.assert_refuses(dave.getting(&media), 403, "not_a_member").await;
    server.assert_integrity();
}
