//! Requests with the header `Idempotency-Key`: a retry is not carried out again, and gets the answer of the first request.

use std::time::Duration;

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::scenes::{Scene, participants};
use crate::support::openapi::{operations, parameters};
use crate::support::{Person, Server, answer, assert_refused};

/// A request with a key.
fn keyed(request: RequestBuilder, key: &str) -> RequestBuilder {
    request.header("idempotency-key", key)
}

/// Sends a request twice with a new key, and fails unless both have the same answer and the second changes nothing.
async fn twice(server: &Server, request: RequestBuilder) -> Value {
    let key = server.value::<String>("SELECT 'key ' || count(*) FROM idempotency_keys").replace(' ', "-");
    let again = request.try_clone().unwrap();
    let first = answer(keyed(request, &key)).await;
    assert_eq!(first.0, 200, "{}", first.1);
    let before = server.rows();
    assert_eq!(answer(keyed(again, &key)).await, first);
    assert_eq!(server.rows(), before);
    first.1
}

fn initiate(person: &Person, channel: &str) -> RequestBuilder {
    person.posting_json("/calls/initiate", json!({ "channel": channel }))
}

#[tokio::test]
async fn every_action_on_a_call_is_carried_out_once() {
    let server = Server::start();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| server.person(name));
    let begun = twice(&server, initiate(&alice, "dm:alice:bob:carol")).await;
    assert_eq!(begun["participants"], json!(["alice", "bob", "carol"]));
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls"), 1);
    let path = |what: &str| format!("/calls/{}/{what}", begun["call_id"].as_str().unwrap());
    let of = |name: &str| json!({ "username": name });

    let accepted = twice(&server, bob.posting(&path("accept"))).await;
    assert_eq!(accepted["participants"], json!(["alice", "bob"]));
    twice(&server, carol.posting(&path("reject"))).await;
    assert_eq!(twice(&server, alice.posting_json(&path("invite"), of("carol"))).await["busy"], json!([]));
    assert_eq!(twice(&server, alice.posting_json(&path("gone"), of("bob"))).await["status"], "ignored");
    assert_eq!(twice(&server, alice.posting_json(&path("gone"), of("nobody"))).await["status"], "ignored");
    twice(&server, alice.posting_json(&path("screenshare"), json!({ "on": true }))).await;
    let signal = json!({ "to": "bob", "type": "offer", "payload": 1 });
    twice(&server, alice.posting_json(&path("signal"), signal)).await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM call_signals"), 1);
    let init = alice.posting_bytes(&path("media?init=1&mime=video/webm"), *b"init");
    assert_eq!(twice(&server, init).await["seq"], -1);
    let seq = twice(&server, alice.posting_bytes(&path("media"), *b"chunk")).await["seq"].clone();
    assert_eq!(json!(server.value::<i64>("SELECT id FROM call_media WHERE NOT is_init")), seq);
    twice(&server, alice.posting_json(&path("remove"), of("carol"))).await;
    assert_eq!(twice(&server, bob.posting(&path("leave"))).await["status"], "left");
    twice(&server, alice.posting(&path("end"))).await;
    twice(&server, carol.posting_json("/calls/missed/seen", json!({}))).await;
    server.assert_integrity();
}

#[tokio::test]
async fn every_action_on_a_share_is_carried_out_once() {
    let server = Server::start();
    let [alice, bob] = ["alice", "bob"].map(|name| server.person(name));
    let start = alice.posting_json("/screenshare/start", json!({ "channel": "dm:alice:bob" }));
    let share = twice(&server, start).await["share_id"].as_str().unwrap().to_owned();
    let path = |what: &str| format!("/screenshare/{share}/{what}");
    let signal = json!({ "to": "alice", "type": "offer", "payload": 1 });
    twice(&server, bob.posting_json(&path("signal"), signal)).await;
    let init = alice.posting_bytes(&path("media"), *b"init").header("x-init", "1").header("x-mime", "video/webm");
    assert_eq!(twice(&server, init).await["seq"], -1);
    let seq = twice(&server, alice.posting_bytes(&path("media"), *b"chunk")).await["seq"].clone();
    assert_eq!(json!(server.value::<i64>("SELECT id FROM share_media WHERE NOT is_init")), seq);
    twice(&server, alice.posting(&path("stop"))).await;
    server.assert_integrity();
}

#[tokio::test]
async fn a_guest_has_keys_too() {
    let scene = Scene::active().await;
    let guest = scene.server.guest(&scene.link("dm:alice:bob").await, "Gwen").await;
    let dismiss = scene.bob.posting_json(&scene.path("dismiss"), json!({ "username": guest.name }));
    twice(&scene.server, dismiss).await;
    let guest = scene.server.guest(&scene.link("dm:alice:bob").await, "Gwen").await;
    twice(&scene.server, scene.bob.posting_json(&scene.path("invite"), json!({ "username": guest.name }))).await;
    twice(&scene.server, guest.posting(&scene.path("accept"))).await;
    twice(&scene.server, guest.posting(&scene.path("leave"))).await;
}

/// The answer is that of the first request, not of the present.
#[tokio::test]
async fn a_retry_gets_the_answer_of_then() {
    let scene = Scene::ringing().await;
    let Scene { server, alice, bob, .. } = &scene;
    let accept = || answer(keyed(bob.posting(&scene.path("accept")), "accept"));
    let upload = || answer(keyed(bob.posting_bytes(&scene.path("media"), *b"chunk"), "media"));
    let signal = json!({ "to": "alice", "type": "offer", "payload": 1 });
    let send = || answer(keyed(bob.posting_json(&scene.path("signal"), signal.clone()), "signal"));
    let first = (accept().await, upload().await, send().await);
    assert_eq!((first.0.0, first.1.0, first.2.0), (200, 200, 200), "{first:?}");
    assert_eq!(alice.post(&scene.path("end")).await.0, 200);
    assert_eq!((accept().await, upload().await, send().await), first);
    assert_eq!(participants(&scene.state().await), "alice left, bob left");
    assert_eq!(server.value::<i64>("SELECT count(*) FROM call_media"), 0);
    // Others, and other keys, get the answer of now.
    let end = keyed(bob.posting_bytes(&scene.path("media"), *b"chunk"), "another");
    server.assert_refuses(end, 409, "call_finished").await;
}

#[tokio::test]
async fn a_key_is_for_one_request() {
    let scene = Scene::active().await;
    let Scene { server, alice, .. } = &scene;
    let signal = |payload: i64| {
        let body = json!({ "to": "bob", "type": "offer", "payload": payload });
        keyed(alice.posting_json(&scene.path("signal"), body), "k")
    };
    assert_eq!(answer(signal(1)).await.0, 200);
    for other in [
        signal(2),
        keyed(alice.posting(&scene.path("leave")), "k"),
        keyed(alice.posting_json("/calls/none/signal", json!({ "to": "bob", "type": "offer", "payload": 1 })), "k"),
        keyed(initiate(alice, "dm:alice:carol"), "k"),
        keyed(alice.posting_bytes(&scene.path("media"), *b"x"), "k"),
    ] {
        server.assert_refuses(other, 422, "idempotency_key_reused").await;
    }
    // What marks an upload is a part of it.
    let media = |query: &str| keyed(alice.posting_bytes(&scene.path(&format!("media{query}")), *b"x"), "m");
    assert_eq!(answer(media("")).await.0, 200);
    server.assert_refuses(media("?init=1&mime=video/webm"), 422, "idempotency_key_reused").await;
    let init = media("").header("x-init", "1").header("x-mime", "video/webm");
    server.assert_refuses(init, 422, "idempotency_key_reused").await;
    // A quoted key is the same key.
    let quoted = alice.posting_json(&scene.path("signal"), json!({ "to": "bob", "type": "offer", "payload": 2 }));
    server.assert_refuses(keyed(quoted, "\"k\""), 422, "idempotency_key_reused").await;
}

#[tokio::test]
async fn keys_of_a_person_mean_nothing_to_others() {
    let scene = Scene::active().await;
    let accept = |person: &Person| keyed(person.posting(&scene.path("accept")), "k");
    assert_eq!(answer(accept(&scene.bob)).await.0, 200);
    scene.server.assert_refuses(accept(&scene.carol), 403, "not_a_member").await;
    assert_eq!(answer(keyed(initiate(&scene.carol, "dm:alice:carol"), "k")).await.0, 200);
    // Another session of the person is the person.
    let tablet = scene.server.person("bob");
    let other = keyed(initiate(&tablet, "dm:bob:carol"), "k");
    scene.server.assert_refuses(other, 422, "idempotency_key_reused").await;
    assert_eq!(answer(accept(&tablet)).await.0, 200);
}

#[tokio::test]
async fn a_malformed_key_is_refused_by_every_action() {
    let scene = Scene::active().await;
    let Scene { server, alice, call, .. } = &scene;
    let longest = "k".repeat(128);
    let leave = || alice.posting(&scene.path("leave"));
    for key in ["", "\"\"", "a b", "\"a", "\"a\";p", &format!("{longest}k")] {
        server.assert_refuses(keyed(leave(), key), 400, "idempotency_key_malformed").await;
    }
    server.assert_refuses(keyed(keyed(leave(), "a"), "b"), 400, "idempotency_key_malformed").await;
    let not_ascii = leave().header("idempotency-key", "ä".as_bytes());
    server.assert_refuses(not_ascii, 400, "idempotency_key_malformed").await;

    // The routes that take a key are those that the description has.
    let body = json!({
        "channel": "dm:alice:carol", "username": "bob", "to": "bob", "type": "offer", "payload": 1, "on": true,
    });
    let (mut with_key, mut without) = (0, 0);
    let (_, share) = alice.post_json("/screenshare/start", json!({ "channel": "dm:alice:bob" })).await;
    for operation in operations().iter().filter(|operation| operation.method == "POST") {
        let of_calls_or_shares = ["/calls/", "/screenshare/"].iter().any(|above| operation.path.starts_with(above));
        let has_parameter = parameters(*operation).iter().any(|parameter| parameter["name"] == "Idempotency-Key");
        assert_eq!(has_parameter, of_calls_or_shares, "{}", operation.path);
        if !has_parameter {
            without += 1;
            continue;
        }
        with_key += 1;
        let path = operation.path.replace("{call_id}", call).replace("{share_id}", share["share_id"].as_str().unwrap());
        let request = alice.posting_json(&path, body.clone());
        server.assert_refuses(keyed(request, "a b"), 400, "idempotency_key_malformed").await;
    }
    assert!(with_key >= 17 && without > 5, "{with_key} {without}");
    assert_eq!(answer(keyed(leave(), &longest)).await.0, 200);
}

#[tokio::test]
async fn a_refused_request_is_tried_again() {
    let scene = Scene::active().await;
    let Scene { server, alice, bob, carol, .. } = &scene;
    let call = || keyed(initiate(alice, "dm:alice:bob"), "k");
    let refused = server.assert_refuses(call(), 409, "channel_has_live_call").await;
    assert_eq!(refused["call_id"], scene.call.as_str(), "the details of a refusal are there");
    assert_eq!(bob.post(&scene.path("end")).await.0, 200);
    let first = answer(call()).await;
    assert_eq!(first.0, 200, "{}", first.1);
    assert_eq!(answer(call()).await, first);
    // A refusal stores nothing, so the key is free for another request.
    let accept = keyed(carol.posting(&scene.path("accept")), "k");
    server.assert_refuses(accept, 403, "not_a_member").await;
    assert_eq!(answer(keyed(initiate(carol, "dm:bob:carol"), "k")).await.0, 200);
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_while() {
    let server = Server::start();
    let alice = server.person("alice");
    let mark = |up_to: i64| keyed(alice.posting_json("/calls/missed/seen", json!({ "up_to": up_to })), "k");
    assert_eq!(answer(mark(1)).await.0, 200);
    // The times that measure elapsed time move into the past.
    server.execute("INSERT INTO clock_step (seconds) VALUES (-290)");
    server.assert_refuses(mark(2), 422, "idempotency_key_reused").await;
    server.execute("INSERT INTO clock_step (seconds) VALUES (-10)");
    assert_eq!(answer(mark(2)).await.0, 200);
    server.assert_refuses(mark(1), 422, "idempotency_key_reused").await;
    // Nobody has to ask for the sweep.
    server.execute("INSERT INTO clock_step (seconds) VALUES (-300)");
    server.eventually("SELECT count(*) = 0 FROM idempotency_keys", Duration::from_secs(5)).await;
}

#[tokio::test]
async fn the_oldest_keys_of_a_person_make_way() {
    let scene = Scene::active().await;
    let Scene { server, alice, bob, .. } = &scene;
    server.execute("INSERT INTO set_setting (name, value) VALUES ('idempotency_keys_per_person', 3)");
    let send = |person: &Person, to: &str, key: &str| {
        let body = json!({ "to": to, "type": "offer", "payload": 1 });
        answer(keyed(person.posting_json(&scene.path("signal"), body), key))
    };
    assert_eq!(send(bob, "alice", "mine").await.0, 200);
    for key in ["a", "b", "c", "d", "e"] {
        assert_eq!(send(alice, "bob", key).await.0, 200);
    }
    let keys: String = server.value("SELECT group_concat(key) FROM (SELECT key FROM idempotency_keys ORDER BY 1)");
    assert_eq!(keys, "c,d,e,mine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_requests_at_once_one_acts() {
    let server = Server::start();
    let alice = server.person("alice");
    server.person("bob");
    for round in 0..5 {
        let key = format!("round-{round}");
        let answers = join_all((0..8).map(|_| answer(keyed(initiate(&alice, "dm:alice:bob"), &key)))).await;
        assert_eq!(answers[0].0, 200, "{}", answers[0].1);
        assert!(answers.iter().all(|other| *other == answers[0]), "{answers:?}");
        assert_eq!(server.value::<i64>("SELECT count(*) FROM calls"), round + 1);
        let end = format!("/calls/{}/end", answers[0].1["call_id"].as_str().unwrap());
        assert_eq!(alice.post(&end).await.0, 200);
    }
    server.assert_integrity();
}

#[tokio::test]
async fn a_retry_finds_its_answer_after_a_kill() {
    let server = Server::start();
    let alice = server.person("alice");
    server.person("bob");
    let first = answer(keyed(initiate(&alice, "dm:alice:bob"), "k")).await;
    assert_eq!(first.0, 200);
    let (folder, _) = server.stop(Signal::SIGKILL);
    let server = Server::start_in(folder, &[]);
    let alice = server.moved(&alice);
    assert_eq!(answer(keyed(initiate(&alice, "dm:alice:bob"), "k")).await, first);
    assert_eq!(server.value::<i64>("SELECT count(*) FROM calls"), 1);
    let other = answer(keyed(initiate(&alice, "dm:alice:alice"), "k")).await;
    assert_refused(&other, 422, "idempotency_key_reused");
    server.assert_integrity();
}

/// Without the header, a request stores nothing more than before.
#[tokio::test]
async fn a_request_without_a_key_keeps_no_answer() {
    let scene = Scene::active().await;
    assert_eq!(scene.alice.post(&scene.path("end")).await.0, 200);
    assert_eq!(scene.server.value::<i64>("SELECT count(*) FROM idempotency_keys"), 0);
}
