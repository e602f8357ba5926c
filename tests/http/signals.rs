//! `POST /calls/ID/signal` and `GET /calls/ID/signals`. Those of shares are in `screenshares`.

use serde_json::{Value, json};

use crate::scenes::{Talk, keys};
use crate::support::answer;

fn offer(to: &str) -> Value {
    json!({ "to": to, "type": "offer", "payload": { "type": "offer", "sdp": "v=0\r\n" } })
}

#[tokio::test]
async fn signals_reach_their_recipient_in_order_and_nobody_else() {
    let talk = Talk::ringing().await;
    let (signal, signals) = (talk.path("signal"), talk.path("signals"));
    // The caller may signal while it still rings.
    assert_eq!(talk.alice.post_json(&signal, offer("bob")).await, (200, json!({ "status": "sent" })));
    assert_eq!(talk.bob.post(&talk.path("accept")).await.0, 200);
    for candidate in 1..=3 {
        let body = json!({ "to": "bob", "type": "ice_candidate", "payload": { "candidate": candidate } });
        assert_eq!(talk.alice.post_json(&signal, body).await.0, 200);
    }
    let answer = json!({ "to": "alice", "type": "answer", "payload": { "type": "answer" } });
    assert_eq!(talk.bob.post_json(&signal, answer).await.0, 200);

    let for_bob = talk.bob.read(&signals).await;
    let for_bob = for_bob.as_array().unwrap();
    let payloads: Vec<_> = for_bob.iter().map(|signal| &signal["payload"]["candidate"]).collect();
    assert_eq!(payloads, [&Value::Null, &json!(1), &json!(2), &json!(3)]);
    assert_eq!(keys(&for_bob[0]), ["from", "id", "payload", "ts", "type"]);
    assert_eq!(for_bob[0]["from"], "alice");
    assert_eq!(for_bob[0]["type"], "offer");
    assert_eq!(for_bob[1]["type"], "ice_candidate");
    assert!(for_bob[0]["ts"].as_f64().unwrap() > 1.6e9);
    let ids: Vec<i64> = for_bob.iter().map(|signal| signal["id"].as_i64().unwrap()).collect();
    assert!(ids.is_sorted() && ids[0] > 0, "{ids:?}");

    // The cursor: what comes after an id, any number of times.
    for _ in 0..2 {
        let rest = talk.bob.read(&format!("{signals}?after={}", ids[1])).await;
        assert_eq!(rest.as_array().unwrap().as_slice(), &for_bob[2..]);
    }
    assert_eq!(talk.bob.read(&format!("{signals}?after={}", ids[3])).await, json!([]));
    assert_eq!(talk.bob.read(&format!("{signals}?after=-5")).await.as_array().unwrap().len(), 4);

    let for_alice = talk.alice.read(&signals).await;
    assert_eq!(for_alice.as_array().unwrap().len(), 1);
    assert_eq!(for_alice[0]["from"], "bob");
}

#[tokio::test]
async fn a_payload_is_handed_on_as_it_was_written() {
    let talk = Talk::active().await;
    let deep = format!("{}{}", "[".repeat(900), "]".repeat(900));
    let payloads = [
        "0",
        "false",
        "\"\"",
        "{}",
        "[]",
        "-1.5e3",
        "12345678901234567890123",
        "0.30000000000000004",
        "1e400",
        r#""null""#,
        r#"{"b":1,"a":[true,null,"\u0000 \ud83d\ude00 ü"]}"#,
        r#"{"lone":"\ud800"}"#,
        &deep,
    ];
    for payload in payloads {
        let body = format!(r#"{{"to":"bob","type":"offer","payload":{payload}}}"#);
        let (status, answer) = answer(talk.alice.posting_bytes(&talk.path("signal"), body)).await;
        assert_eq!(status, 200, "{payload}: {answer}");
    }
    let response = talk.bob.getting(&talk.path("signals")).send().await.unwrap();
    let text = response.text().await.unwrap();
    for payload in payloads {
        assert!(text.contains(&format!(r#""payload":{payload}"#)), "{payload} is not in {text}");
    }
}

#[tokio::test]
async fn signals_are_between_those_on_the_call() {
    let talk = Talk::ringing().await;
    let (server, signal) = (&talk.server, talk.path("signal"));
    server.assert_refuses(talk.bob.posting_json(&signal, offer("alice")), 403, "not_accepted").await;
    assert_eq!(talk.bob.post(&talk.path("accept")).await.0, 200);
    for (person, to, status, code) in [
        (&talk.alice, "carol", 403, "recipient_not_in_call"),
        (&talk.alice, "ghost", 403, "recipient_not_in_call"),
        (&talk.alice, "", 403, "recipient_not_in_call"),
        (&talk.alice, "bob\0", 403, "recipient_not_in_call"),
        (&talk.alice, "alice", 400, "call_signals_between_two"),
        (&talk.carol, "bob", 403, "not_a_participant"),
        (&talk.carol, "carol", 403, "not_a_participant"),
    ] {
        server.assert_refuses(person.posting_json(&signal, offer(to)), status, code).await;
    }
    let unknown = talk.alice.posting_json("/calls/none/signal", offer("bob"));
    server.assert_refuses(unknown, 404, "call_not_found").await;
    // The id of a share is no call's.
    let (_, share) = talk.alice.post_json("/screenshare/start", json!({ "channel": "dm:alice:bob" })).await;
    let of_share = format!("/calls/{}/signal", share["share_id"].as_str().unwrap());
    server.assert_refuses(talk.alice.posting_json(&of_share, offer("bob")), 404, "call_not_found").await;

    assert_eq!(talk.bob.post(&talk.path("end")).await.0, 200);
    server.assert_refuses(talk.alice.posting_json(&signal, offer("bob")), 409, "call_finished").await;
    server.assert_refuses(talk.carol.posting_json(&signal, offer("bob")), 403, "not_a_participant").await;
}

#[tokio::test]
async fn whoever_left_gets_no_signals() {
    let talk = Talk::active().await;
    assert_eq!(talk.alice.post_json(&talk.path("invite"), json!({ "username": "carol" })).await.0, 200);
    assert_eq!(talk.carol.post(&talk.path("accept")).await.0, 200);
    assert_eq!(talk.carol.post(&talk.path("leave")).await.0, 200);
    let request = talk.alice.posting_json(&talk.path("signal"), offer("carol"));
    talk.server.assert_refuses(request, 403, "recipient_not_in_call").await;
    let request = talk.carol.posting_json(&talk.path("signal"), offer("alice"));
    talk.server.assert_refuses(request, 403, "not_accepted").await;
    assert_eq!(talk.carol.read(&talk.path("signals")).await, json!([]));
}

#[tokio::test]
async fn a_signal_has_a_recipient_a_type_and_a_payload() {
    let talk = Talk::active().await;
    for (body, code) in [
        (json!({}), "bad_body"),
        (json!({ "type": "offer", "payload": {} }), "bad_body"),
        (json!({ "to": "bob", "payload": {} }), "bad_body"),
        (json!({ "to": "bob", "type": "offer" }), "bad_body"),
        (json!({ "to": 1, "type": "offer", "payload": {} }), "bad_body"),
        (json!({ "to": "bob", "type": 1, "payload": {} }), "bad_body"),
        (json!({ "to": "bob", "type": null, "payload": {} }), "bad_body"),
        (json!({ "to": "bob", "type": "bye", "payload": {} }), "call_signals_type_known"),
        (json!({ "to": "bob", "type": "Offer", "payload": {} }), "call_signals_type_known"),
        (json!({ "to": "bob", "type": "", "payload": {} }), "call_signals_type_known"),
        (json!({ "to": "bob", "type": "offer", "payload": null }), "call_signals_payload_is_json"),
    ] {
        let request = talk.alice.posting_json(&talk.path("signal"), body);
        talk.server.assert_refuses(request, 400, code).await;
    }
    let too_deep = format!(r#"{{"to":"bob","type":"offer","payload":{}{}}}"#, "[".repeat(2000), "]".repeat(2000));
    let request = talk.alice.posting_bytes(&talk.path("signal"), too_deep);
    talk.server.assert_refuses(request, 400, "call_signals_payload_is_json").await;
}

#[tokio::test]
async fn a_payload_has_64_kib_at_most() {
    let talk = Talk::active().await;
    let of = |bytes: usize| json!({ "to": "bob", "type": "offer", "payload": "x".repeat(bytes - 2) });
    let signal = talk.path("signal");
    assert_eq!(talk.alice.post_json(&signal, of(65536)).await.0, 200);
    talk.server.assert_refuses(talk.alice.posting_json(&signal, of(65537)), 413, "signal_too_large").await;
    // Characters are not bytes.
    let wide = json!({ "to": "bob", "type": "offer", "payload": "ü".repeat(32768) });
    talk.server.assert_refuses(talk.alice.posting_json(&signal, wide), 413, "signal_too_large").await;
    talk.server.assert_refuses(talk.alice.posting_json(&signal, of(1_200_000)), 413, "body_too_large").await;
}

#[tokio::test]
async fn the_oldest_signals_make_way() {
    let talk = Talk::active().await;
    talk.server.execute("UPDATE settings SET value = 3 WHERE name = 'signals_per_call_max'");
    for number in 1..=5 {
        let body = json!({ "to": "bob", "type": "ice_candidate", "payload": number });
        assert_eq!(talk.alice.post_json(&talk.path("signal"), body).await.0, 200);
    }
    let signals = talk.bob.read(&talk.path("signals")).await;
    let payloads: Vec<_> = signals.as_array().unwrap().iter().map(|signal| &signal["payload"]).collect();
    assert_eq!(payloads, [&json!(3), &json!(4), &json!(5)]);
}

#[tokio::test]
async fn reading_signals_is_for_participants() {
    let talk = Talk::active().await;
    let signals = talk.path("signals");
    let server = &talk.server;
    server.assert_refuses(talk.carol.getting(&signals), 403, "not_a_participant").await;
    server.assert_refuses(talk.alice.getting("/calls/none/signals"), 404, "call_not_found").await;
    for after in ["", "x", "1.5", "9223372036854775808", "1%20", "0x1"] {
        let request = talk.alice.getting(&format!("{signals}?after={after}"));
        server.assert_refuses(request, 400, "bad_cursor").await;
    }
    assert_eq!(talk.bob.read(&format!("{signals}?after=9223372036854775807")).await, json!([]));
}
