//! Guests by link: `/links`, `POST /guest` and `POST /calls/ID/dismiss`.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::scenes::{Scene, keys, participants};
use crate::support::{EventStream, Person, Server, answer};

/// How long a sweep may take on a busy machine.
const SWEEP: Duration = Duration::from_secs(10);

/// Makes a link with this body: its id and its token.
async fn make_link(person: &Person, body: Value) -> (String, String) {
    let (status, link) = person.post_json("/links", body).await;
    assert_eq!((status, keys(&link)), (200, vec!["channel", "expires_ts", "id", "token"]), "{link}");
    (link["id"].as_str().unwrap().to_owned(), link["token"].as_str().unwrap().to_owned())
}

/// A scene with an active call, and a guest who waits for it.
async fn with_waiting_guest() -> (Scene, Person) {
    let scene = Scene::active().await;
    let token = scene.link("dm:alice:bob").await;
    let gwen = scene.server.guest(&token, "Gwen").await;
    (scene, gwen)
}

/// As `with_waiting_guest`, and bob has admitted the guest, who has accepted.
async fn with_guest_on_the_call() -> (Scene, Person) {
    let (scene, gwen) = with_waiting_guest().await;
    assert_eq!(invite(&scene, &scene.bob, &gwen.name).await.0, 200);
    assert_eq!(gwen.post(&scene.path("accept")).await.0, 200);
    (scene, gwen)
}

async fn invite(scene: &Scene, person: &Person, name: &str) -> (u16, Value) {
    person.post_json(&scene.path("invite"), json!({ "username": name })).await
}

#[tokio::test]
async fn members_make_list_and_revoke_links() {
    let scene = Scene::active().await;
    let Scene { server, alice, bob, carol, .. } = &scene;
    let now: f64 = server.value("SELECT ts FROM now");
    let (first, token) = make_link(alice, json!({ "channel": "dm:bob:alice" })).await;
    let body = json!({ "channel": "dm:alice:bob", "seconds": 60, "uses": 1000, "admit": false });
    let (second, _) = make_link(bob, body).await;

    let links = alice.read("/links?channel=dm:bob:alice").await;
    assert_eq!(links, bob.read("/links?channel=dm:alice:bob").await);
    let link = &links[0];
    assert_eq!(
        keys(link),
        ["admit", "channel", "created_by", "created_ts", "expires_ts", "id", "uses_left"],
        "no token: {links}"
    );
    assert_eq!(
        (&link["id"], &link["channel"], &link["created_by"]),
        (&json!(first), &json!("dm:alice:bob"), &json!("alice"))
    );
    assert_eq!((&link["uses_left"], &link["admit"]), (&json!(10), &json!(true)));
    let lifetime = link["expires_ts"].as_f64().unwrap() - link["created_ts"].as_f64().unwrap();
    assert!((lifetime - 86_400.0).abs() < 0.01, "{link}");
    assert!(link["created_ts"].as_f64().unwrap() >= now, "{link}");
    let link = &links[1];
    assert_eq!((&link["id"], &link["created_by"]), (&json!(second), &json!("bob")));
    assert_eq!((&link["uses_left"], &link["admit"]), (&json!(1000), &json!(false)));
    assert_eq!(links.as_array().unwrap().len(), 2);
    // The file does not have the token.
    assert_eq!(server.value::<i64>(&format!("SELECT count(*) FROM links WHERE token_hash = '{token}'")), 0);

    let revoking = |person: &Person, id: &str| person.request(Method::DELETE, &format!("/links/{id}"));
    server.assert_refuses(carol.getting("/links?channel=dm:alice:bob"), 403, "not_a_member").await;
    server.assert_refuses(revoking(carol, &first), 404, "link_not_found").await;
    for unknown in ["0000000000000000", "%25", "x", &first[..15]] {
        server.assert_refuses(revoking(alice, unknown), 404, "link_not_found").await;
    }
    assert_eq!(answer(revoking(bob, &first)).await, (200, json!({ "status": "revoked" })));
    server.assert_refuses(revoking(bob, &first), 404, "link_not_found").await;
    server.assert_refuses(server.opening_link(&token, "Gwen"), 404, "link_not_found").await;
    assert_eq!(alice.read("/links?channel=dm:alice:bob").await[0]["id"], json!(second));
    server.assert_integrity();
}

#[tokio::test]
async fn links_have_bounds() {
    let server = Server::start();
    let (alice, carol) = (server.person("alice"), server.person("carol"));
    server.person("bob");
    let with = |member: &str, value: Value| {
        let mut body = json!({ "channel": "dm:alice:bob" });
        body[member] = value;
        alice.posting_json("/links", body)
    };
    for seconds in [json!(59.9), json!(31_536_001), json!(-1), json!(1e300)] {
        server.assert_refuses(with("seconds", seconds), 400, "links_lifetime_in_range").await;
    }
    for uses in [json!(0), json!(-1), json!(1001), json!(i64::MAX)] {
        server.assert_refuses(with("uses", uses), 400, "links_uses_in_range").await;
    }
    for (member, value) in [
        ("seconds", json!("60")),
        ("uses", json!(1.5)),
        ("uses", json!(u64::MAX)),
        ("admit", json!(1)),
        ("channel", json!(null)),
        ("channel", json!(" ")),
    ] {
        server.assert_refuses(with(member, value), 400, "bad_body").await;
    }
    for (channel, status, code) in [
        ("lobby", 403, "channel_not_callable"),
        ("private:7", 403, "not_a_member"),
        ("dm:bob:carol", 403, "not_a_member"),
        ("dm:alice:ghost", 404, "user_not_found"),
    ] {
        server.assert_refuses(with("channel", json!(channel)), status, code).await;
    }
    server
        .assert_refuses(carol.posting_json("/links", json!({ "channel": "dm:alice:bob" })), 403, "not_a_member")
        .await;
    server.assert_refuses(alice.getting("/links"), 400, "query_missing").await;

    server.execute("INSERT INTO set_setting (name, value) VALUES ('links_per_person', 1)");
    make_link(&alice, json!({ "channel": "dm:alice:bob" })).await;
    server.assert_refuses(with("uses", json!(1)), 429, "too_many_links").await;

    let mut nobody = alice.clone();
    nobody.token = String::new();
    for request in [
        nobody.posting_json("/links", json!({ "channel": "dm:alice:bob" })),
        nobody.getting("/links?channel=dm:alice:bob"),
        nobody.request(Method::DELETE, "/links/0000000000000000"),
    ] {
        server.assert_refuses(request, 401, "unauthorized").await;
    }
}

#[tokio::test]
async fn a_guest_who_waits_sees_nothing() {
    let (scene, gwen) = with_waiting_guest().await;
    let server = &scene.server;
    assert!(gwen.name.starts_with("guest-"), "{}", gwen.name);
    server.assert_refuses(gwen.getting(&scene.path("state")), 403, "not_a_member").await;
    server.assert_refuses(gwen.posting(&scene.path("accept")), 403, "not_a_member").await;
    let me = gwen.read("/me").await;
    assert_eq!(
        (&me["username"], &me["display_name"], &me["role"]),
        (&json!(gwen.name), &json!("Gwen"), &json!("guest"))
    );
    assert_eq!((&me["people"], &me["channels"], &me["calls"]), (&json!([]), &json!([]), &json!([])));
    assert_eq!(me["display_names"], json!({ &gwen.name: "Gwen" }));
    assert_eq!(gwen.read("/calls/history").await, json!([]));
    assert_eq!(gwen.read("/calls/incoming").await, json!([]));

    // The others see who waits, and do not find guests among the people.
    let waiting = json!([{ "username": gwen.name, "display_name": "Gwen" }]);
    assert_eq!(scene.state().await["waiting"], waiting);
    assert_eq!(participants(&scene.state().await), "alice accepted, bob accepted");
    assert!(!scene.bob.read("/me").await.to_string().contains("guest-"));
    server.assert_integrity();
}

#[tokio::test]
async fn a_member_admits_a_guest() {
    let scene = Scene::active().await;
    let (server, bob) = (&scene.server, &scene.bob);
    let (mut his, _) = EventStream::open_with_snapshot(bob).await;
    let token = scene.link("dm:alice:bob").await;
    let gwen = server.guest(&token, "Gwen").await;
    assert_eq!(his.expect_call("active").await.data["waiting"][0]["display_name"], "Gwen");
    let (mut hers, snapshot) = EventStream::open_with_snapshot(&gwen).await;
    assert!(!snapshot.data.to_string().contains(&scene.call), "{snapshot:?}");

    assert_eq!(invite(&scene, &scene.carol, &gwen.name).await.1["code"], "not_a_participant");
    assert_eq!(invite(&scene, bob, &gwen.name).await.0, 200);
    assert_eq!(his.expect_data(r#""waiting":[]"#).await.data["call_id"], json!(scene.call));
    assert_eq!(hers.expect_data(&scene.call).await.name, "incoming");
    assert_eq!(gwen.read("/calls/incoming").await[0]["call_id"], json!(scene.call));
    assert_eq!(gwen.post(&scene.path("accept")).await.0, 200);
    let state = gwen.read(&scene.path("state")).await;
    let (name, states) = (&gwen.name, participants(&state));
    assert_eq!(states, format!("alice accepted, bob accepted, {name} accepted"));
    assert_eq!(state["participants"][2]["display_name"], "Gwen");
    assert_eq!(gwen.read("/me").await["people"], json!(["alice", "bob"]));

    // Signals go both ways, and into no other call.
    for (from, to) in [(&gwen, bob), (bob, &gwen)] {
        let signal = json!({ "to": to.name, "type": "offer", "payload": { "sdp": from.name } });
        assert_eq!(from.post_json(&scene.path("signal"), signal).await.0, 200);
        let signals = to.read(&scene.path("signals")).await;
        assert_eq!((&signals[0]["from"], &signals[0]["payload"]["sdp"]), (&json!(from.name), &json!(from.name)));
    }

    // Their end is their own.
    assert_eq!(gwen.post(&scene.path("end")).await.0, 200);
    assert_eq!(participants(&scene.state().await), format!("alice accepted, bob accepted, {name} left"));
    assert_eq!(gwen.post(&scene.path("accept")).await.0, 200);
    server.assert_integrity();
}

#[tokio::test]
async fn people_on_the_call_turn_a_guest_away() {
    let (scene, gwen) = with_waiting_guest().await;
    let server = &scene.server;
    let (mut stream, _) = EventStream::open_with_snapshot(&scene.bob).await;
    let dismissing =
        |person: &Person, name: &str| person.posting_json(&scene.path("dismiss"), json!({ "username": name }));
    server.assert_refuses(dismissing(&scene.carol, &gwen.name), 403, "not_a_participant").await;
    server.assert_refuses(dismissing(&scene.bob, "alice"), 404, "guest_not_found").await;
    server.assert_refuses(dismissing(&scene.bob, "nobody"), 404, "guest_not_found").await;
    server.assert_refuses(scene.bob.posting_json(&scene.path("dismiss"), json!({})), 400, "bad_body").await;
    let unknown = scene.bob.posting_json("/calls/none/dismiss", json!({ "username": gwen.name }));
    server.assert_refuses(unknown, 404, "call_not_found").await;

    assert_eq!(answer(dismissing(&scene.bob, &gwen.name)).await, (200, json!({ "status": "dismissed" })));
    assert_eq!(stream.expect_call("active").await.data["waiting"], json!([]));
    server.assert_refuses(gwen.getting("/me"), 401, "unauthorized").await;
    server.assert_refuses(dismissing(&scene.bob, &gwen.name), 404, "guest_not_found").await;
    server.assert_integrity();
}

#[tokio::test]
async fn a_guest_who_gives_up_is_gone() {
    let (scene, gwen) = with_waiting_guest().await;
    assert_eq!(gwen.post("/logout").await.0, 200);
    assert_eq!(scene.state().await["waiting"], json!([]));
    scene.server.assert_refuses(gwen.getting("/me"), 401, "unauthorized").await;
    scene.server.assert_integrity();
}

#[tokio::test]
async fn nobody_waits_where_the_link_says_so() {
    let scene = Scene::active().await;
    let (server, alice) = (&scene.server, &scene.alice);
    let (_, token) = make_link(alice, json!({ "channel": "dm:alice:bob", "admit": false, "uses": 1 })).await;
    let hugo = server.guest(&token, " Hugo ").await;
    assert_eq!(participants(&scene.state().await), format!("alice accepted, bob accepted, {} pending", hugo.name));
    assert_eq!(hugo.post(&scene.path("accept")).await.0, 200);
    assert_eq!(hugo.read("/me").await["display_name"], "Hugo");
    // It was the last use.
    server.assert_refuses(server.opening_link(&token, "Ines"), 404, "link_not_found").await;
    assert_eq!(alice.read("/links?channel=dm:alice:bob").await, json!([]));
    server.assert_integrity();
}

#[tokio::test]
async fn a_link_opens_while_a_call_is_answered() {
    let scene = Scene::ringing().await;
    let server = &scene.server;
    let (id, token) = make_link(&scene.alice, json!({ "channel": "dm:alice:bob", "seconds": 60 })).await;
    server.assert_refuses(server.opening_link(&token, "Gwen"), 409, "no_active_call").await;
    assert_eq!(scene.bob.post(&scene.path("accept")).await.0, 200);
    for body in [json!({}), json!({ "link": token }), json!({ "link": 1, "name": "Gwen" }), json!([])] {
        let request = Client::new().post(format!("{}/guest", server.url)).json(&body);
        server.assert_refuses(request, 400, "bad_body").await;
    }
    for name in ["", " ", "a\u{7}b", "x\u{202e}y", &"n".repeat(101)] {
        server.assert_refuses(server.opening_link(&token, name), 400, "users_display_name_format").await;
    }
    for unknown in ["", "none", &id, &token[1..]] {
        server.assert_refuses(server.opening_link(unknown, "Gwen"), 404, "link_not_found").await;
    }

    // Guests of the call, and then of no call.
    server.execute("INSERT INTO set_setting (name, value) VALUES ('guests_per_call', 1)");
    let gwen = server.guest(&token, "Gwen").await;
    server.assert_refuses(server.opening_link(&token, "Hugo"), 429, "too_many_guests").await;
    assert_eq!(invite(&scene, &scene.bob, &gwen.name).await.0, 200);
    assert_eq!(gwen.post(&scene.path("accept")).await.0, 200);

    // A link that has expired lets nobody else in. Who came stays.
    server.execute("UPDATE links SET created_ts = created_ts - 60, expires_ts = expires_ts - 60");
    server.assert_refuses(server.opening_link(&token, "Hugo"), 404, "link_not_found").await;
    server.eventually("SELECT count(*) = 0 FROM links", SWEEP).await;
    assert_eq!(gwen.read(&scene.path("state")).await["state"], "active");
    server.assert_integrity();
}

#[tokio::test]
async fn a_revoked_link_leaves_its_guests_on_the_call() {
    let (scene, gwen) = with_guest_on_the_call().await;
    let links = scene.alice.read("/links?channel=dm:alice:bob").await;
    let path = format!("/links/{}", links[0]["id"].as_str().unwrap());
    assert_eq!(answer(scene.bob.request(Method::DELETE, &path)).await.0, 200);
    let states = participants(&gwen.read(&scene.path("state")).await);
    assert_eq!(states, format!("alice accepted, bob accepted, {} accepted", gwen.name));
}

#[tokio::test]
async fn a_guest_does_nothing_beyond_the_call() {
    let (scene, gwen) = with_guest_on_the_call().await;
    let server = &scene.server;
    let to_channel = |path: &str, channel: &str| gwen.posting_json(path, json!({ "channel": channel }));
    for path in ["/calls/initiate", "/screenshare/start", "/links"] {
        server.assert_refuses(to_channel(path, "dm:alice:bob"), 403, "not_a_member").await;
    }
    let own = format!("dm:alice:{}", gwen.name);
    server.assert_refuses(to_channel("/calls/initiate", &own), 404, "user_not_found").await;
    server.assert_refuses(to_channel("/screenshare/start", &own), 403, "channel_names_nobody").await;
    server.assert_refuses(to_channel("/links", &own), 404, "user_not_found").await;
    let naming = |action: &str, name: &str| gwen.posting_json(&scene.path(action), json!({ "username": name }));
    server.assert_refuses(naming("invite", "carol"), 403, "guest_may_not").await;
    server.assert_refuses(naming("dismiss", "carol"), 403, "guest_may_not").await;
    server.assert_refuses(naming("remove", "alice"), 403, "not_the_initiator").await;
    server.assert_refuses(gwen.getting("/links?channel=dm:alice:bob"), 403, "not_a_member").await;
    let password = gwen.posting_json("/password", json!({ "old": "", "new": "8 chars!" }));
    assert!((400..500).contains(&answer(password).await.0));
    server.assert_refuses(gwen.getting("/admin/people"), 403, "admin_only").await;
    // Nor does anybody else take them along.
    let guest = &gwen.name;
    let call = scene.carol.posting_json("/calls/initiate", json!({ "channel": format!("dm:carol:{guest}") }));
    server.assert_refuses(call, 404, "user_not_found").await;
    server.assert_integrity();
}

#[tokio::test]
async fn guests_are_gone_with_the_call() {
    let (scene, gwen) = with_guest_on_the_call().await;
    let server = &scene.server;
    assert_eq!(scene.alice.post(&scene.path("end")).await.0, 200);
    server.eventually("SELECT NOT EXISTS (SELECT 1 FROM users WHERE guest_of IS NOT NULL)", SWEEP).await;
    server.assert_refuses(gwen.getting("/me"), 401, "unauthorized").await;
    // The others find the name in the history.
    let state = scene.state().await;
    assert_eq!(state["participants"][2]["display_name"], "Gwen");
    server.assert_integrity();
}

#[tokio::test]
async fn the_answer_has_a_token_and_no_cookie() {
    let scene = Scene::active().await;
    let server = &scene.server;
    for waits in [true, false] {
        let (_, token) = make_link(&scene.alice, json!({ "channel": "dm:alice:bob", "admit": waits })).await;
        let response = server.opening_link(&token, "Gwen").send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("set-cookie"), "{:?}", response.headers());
        let guest: Value = response.json().await.unwrap();
        assert_eq!(keys(&guest), ["call_id", "expires_ts", "token", "username", "waits"]);
        assert_eq!((&guest["call_id"], &guest["waits"]), (&json!(scene.call), &json!(waits)));
        let now: f64 = server.value("SELECT ts FROM now");
        assert!(guest["expires_ts"].as_f64().unwrap() > now, "{guest}");
    }
}

/// Two people open a link that has one use left: one of them comes in.
#[tokio::test]
async fn one_guest_gets_the_last_use() {
    let scene = Scene::active().await;
    let server = &scene.server;
    for round in 0..5 {
        let (_, token) = make_link(&scene.alice, json!({ "channel": "dm:alice:bob", "uses": 1 })).await;
        let (one, other) =
            tokio::join!(answer(server.opening_link(&token, "Gwen")), answer(server.opening_link(&token, "Hugo")));
        let mut statuses = [one.0, other.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 404], "round {round}: {one:?} {other:?}");
        assert_eq!(server.value::<i64>("SELECT count(*) FROM waiting_guests"), round + 1);
    }
    server.assert_integrity();
}
