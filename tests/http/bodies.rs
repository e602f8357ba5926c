//! What the HTTP layer refuses: paths, methods, queries and bodies.

use reqwest::Method;
use serde_json::json;

use crate::admin;
use crate::scenes::Scene;
use crate::support::{Server, answer, assert_refused};

/// The routes that take a JSON object, with a valid one.
fn json_routes() -> [(&'static str, &'static str); 12] {
    [
        ("/calls/initiate", r#"{"channel":"dm:alice:carol"}"#),
        ("/calls/ID/invite", r#"{"username":"carol"}"#),
        ("/calls/ID/signal", r#"{"to":"bob","type":"offer","payload":1}"#),
        ("/calls/ID/screenshare", r#"{"on":true}"#),
        ("/screenshare/start", r#"{"channel":"dm:alice:carol"}"#),
        ("/login", r#"{"username":"alice","password":"x"}"#),
        ("/admin/people/bob/role", r#"{"role":"member"}"#),
        ("/admin/people/bob/display_name", r#"{"display_name":"Bob"}"#),
        ("/admin/channels/private:1/title", r#"{"title":"Team"}"#),
        ("/admin/channels/private:1/join", r#"{"username":"carol"}"#),
        ("/admin/channels", r#"{"title":"Team","members":["bob"]}"#),
        ("/admin/settings/gone_after", r#"{"value":11}"#),
    ]
}

#[tokio::test]
async fn every_route_refuses_a_body_that_is_not_a_json_object() {
    let scene = admin::scene().await;
    let too_deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
    for (path, good) in json_routes() {
        let path = path.replace("ID", &scene.call);
        let duplicate = format!("{},{}", &good[..good.len() - 1], &good[1..]);
        for (body, code) in [
            (b"".as_slice(), "bad_json"),
            (b" ", "bad_json"),
            (b"{", "bad_json"),
            (b"{]", "bad_json"),
            (b"}", "bad_json"),
            (b"{'channel':'dm:alice:bob'}", "bad_json"),
            (b"{\"channel\":}", "bad_json"),
            (b"channel=dm:alice:bob", "bad_json"),
            (format!("{good} {good}").as_bytes(), "bad_json"),
            (b"\xff\xfe{}", "bad_json"),
            (b"{\"channel\":\"\xff\"}", "bad_json"),
            (b"\xef\xbb\xbf{}", "bad_json"),
            (b"\0", "bad_json"),
            (b"NaN", "bad_json"),
            (b"null", "bad_body"),
            (b"true", "bad_body"),
            (b"17", "bad_body"),
            (b"\"dm:alice:bob\"", "bad_body"),
            (b"[]", "bad_body"),
            (b" [\"dm:alice:carol\"]", "bad_body"),
            (b"{}", "bad_body"),
            (b"{\"\":1}", "bad_body"),
            (duplicate.as_bytes(), "bad_body"),
            (&good.as_bytes()[..good.len() - 1], "bad_json"),
        ] {
            let request = scene.alice.posting_bytes(&path, body);
            scene.server.assert_refuses(request, 400, code).await;
        }
        let (status, body) = scene.alice.post_bytes(&path, too_deep.as_str()).await;
        assert_eq!(status, 400, "{path}: {body}");
    }
}

#[tokio::test]
async fn unknown_members_of_an_object_are_ignored() {
    let scene = admin::scene().await;
    for (path, good) in json_routes() {
        if path == "/login" {
            continue;
        }
        let more = format!("{},\"from_a_later_version\":[1,{{}}]}}", &good[..good.len() - 1]);
        let (status, body) = scene.alice.post_bytes(&path.replace("ID", &scene.call), more).await;
        assert_eq!(status, 200, "{path}: {body}");
    }
}

#[tokio::test]
async fn a_body_has_16_kib_at_most() {
    let scene = admin::scene().await;
    for (path, good) in json_routes() {
        let padded = |bytes: usize| format!("{good}{}", " ".repeat(bytes - good.len()));
        let path = path.replace("ID", &scene.call);
        let limit = if path.ends_with("/signal") { (1 << 20) + (16 << 10) } else { 16 << 10 };
        let request = scene.alice.posting_bytes(&path, padded(limit + 1));
        scene.server.assert_refuses(request, 413, "body_too_large").await;
        let (status, body) = scene.alice.post_bytes(&path, padded(limit)).await;
        assert!(status == 200 || path == "/login" && status == 401, "{path}: {body}");
    }
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let scene = Scene::active().await;
    let megabytes = vec![b' '; 3 << 20];
    let mut nobody = scene.alice.clone();
    nobody.token = "0".repeat(64);
    for (person, path, status, code) in [
        (&nobody, scene.path("media"), 401, "unauthorized"),
        (&nobody, scene.path("accept"), 401, "unauthorized"),
        (&scene.alice, scene.path("invite"), 413, "body_too_large"),
        (&scene.alice, "/nowhere".to_owned(), 404, "not_found"),
        (&scene.alice, "/calls/incoming".to_owned(), 405, "method_not_allowed"),
    ] {
        let request = person.posting_bytes(&path, megabytes.clone());
        scene.server.assert_refuses(request, status, code).await;
    }
    // A route without a body accepts one.
    assert_eq!(scene.alice.post_bytes(&scene.path("end"), megabytes).await.0, 200);
}

#[tokio::test]
async fn unknown_paths_are_not_found() {
    let server = Server::start();
    let alice = server.person("alice");
    for path in [
        "/index.html",
        "/calls",
        "/calls/",
        "/calls/x",
        "/calls/x/",
        "/calls/x/state/y",
        "/calls//state",
        "/calls/x/STATE",
        "/Calls/incoming",
        "/screenshare",
        "/screenshare/x",
        "/screenshare/x/state",
        "/favicon.ico",
        "/%00",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            server.assert_refuses(alice.request(method, path), 404, "not_found").await;
        }
    }
}

#[tokio::test]
async fn invalid_ids_are_not_found() {
    let scene = Scene::active().await;
    let alice = &scene.alice;
    let long = "x".repeat(5000);
    for id in [
        "0",
        "%00",
        "%27%20OR%201=1%20--",
        "%2F..%2F",
        "%ff%fe",
        "ID%20",
        "ID%00",
        &long,
        &scene.call.to_uppercase(),
        &format!("{}x", scene.call),
    ] {
        let id = id.replace("ID", &scene.call);
        for what in ["state", "signals", "media?sender=alice"] {
            let request = alice.getting(&format!("/calls/{id}/{what}"));
            scene.server.assert_refuses(request, 404, "call_not_found").await;
        }
        for what in ["accept", "reject", "end", "leave"] {
            let request = alice.posting(&format!("/calls/{id}/{what}"));
            scene.server.assert_refuses(request, 404, "call_not_found").await;
        }
        let request = alice.posting(&format!("/screenshare/{id}/stop"));
        scene.server.assert_refuses(request, 404, "share_not_found").await;
    }
}

#[tokio::test]
async fn unusual_queries_are_parsed_or_refused() {
    let scene = Scene::active().await;
    for (query, status) in [
        ("channel=dm:alice:bob&channel=dm:alice:bob", 400),
        ("&&channel=dm:alice:bob&", 200),
        ("channel=dm:alice:bob&x=%zz", 200),
        ("channel=dm%3aalice%3abob#fragment", 200),
        ("channel=dm:alice:b%6fb", 200),
        ("channel", 400),
        ("=", 400),
        ("%00=%00", 400),
        ("channel=%00", 403),
        ("channel=dm:alice+:bob", 403),
    ] {
        let (got, body) = scene.alice.get(&format!("/calls/active?{query}")).await;
        assert_eq!(got, status, "{query}: {body}");
    }
}

#[tokio::test]
async fn a_body_for_a_get_changes_nothing() {
    let scene = Scene::ringing().await;
    let request = scene.alice.getting("/calls/incoming").json(&json!({ "channel": "dm:alice:bob" }));
    assert_eq!(answer(request).await, (200, json!([])));
    let wrong_type = scene
        .alice
        .posting("/calls/initiate")
        .header("content-type", "text/plain")
        .body(r#"{"channel":"dm:alice:carol"}"#);
    // With a bearer token, the content type does not matter.
    assert_eq!(answer(wrong_type).await.0, 200);
    let twice = scene.alice.post_json("/calls/initiate", json!({ "channel": "dm:alice:carol" })).await;
    assert_refused(&twice, 409, "channel_has_live_call");
}

#[tokio::test]
async fn names_and_channels_are_trimmed_but_payloads_and_passwords_are_not() {
    let scene = Scene::active().await;
    let Scene { server, alice, bob, .. } = &scene;
    let post = async |path: &str, body: serde_json::Value| alice.post_json(path, body).await;
    for blank in [" ", "\t\n", "\u{a0}\u{3000}"] {
        let refused = post("/calls/initiate", json!({ "channel": blank })).await;
        assert_refused(&refused, 400, "bad_body");
        assert_refused(&post(&scene.path("invite"), json!({ "username": blank })).await, 400, "bad_body");
    }
    let live = post("/calls/initiate", json!({ "channel": " dm:bob:alice\r\n" })).await;
    assert_eq!(live.1["call_id"], scene.call.as_str(), "{live:?}");
    assert_eq!(post(&scene.path("invite"), json!({ "username": "\tcarol " })).await.0, 200);
    assert_eq!(post(&scene.path("remove"), json!({ "username": " carol\n" })).await.0, 200);
    assert_eq!(post(&scene.path("gone"), json!({ "username": " bob " })).await.0, 200);
    let signal = json!({ "to": " bob ", "type": "offer", "payload": " as it is " });
    assert_eq!(post(&scene.path("signal"), signal).await.0, 200);
    assert_eq!(bob.read(&scene.path("signals")).await[0]["payload"], " as it is ");
    let share = post("/screenshare/start", json!({ "channel": "\n dm:alice:bob " })).await.1;
    assert_eq!(bob.read("/screenshare/active?channel=%20dm:alice:bob%0a").await[0]["share_id"], share["share_id"]);
    assert_eq!(bob.read("/calls/active?channel=+dm:bob:alice+").await["call"]["call_id"], scene.call.as_str());
    assert_eq!(alice.post_bytes(&scene.path("media?init=1&mime=audio/webm"), *b"x").await.0, 200);
    let media = bob.read(&format!("/calls/{}/media?sender=%09alice%20", scene.call)).await;
    assert_eq!(media["mime_type"], "audio/webm");
    assert_eq!(bob.read(&format!("/calls/history?channel=%20dm:alice:bob&before=%20{}", i64::MAX)).await, json!([]));

    server.run(&["user", "add", "dave"], "a long password");
    for (username, password, status) in
        [(" dave\n", "a long password", 200), ("dave", " a long password", 401), ("dave", "a long password ", 401)]
    {
        let body = json!({ "username": username, "password": password });
        let login = answer(reqwest::Client::new().post(format!("{}/login", server.url)).json(&body)).await;
        assert_eq!(login.0, status, "{username:?} {password:?}");
        assert!(status != 200 || login.1["username"] == "dave", "{login:?}");
    }
}
