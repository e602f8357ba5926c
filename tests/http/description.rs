//! `/openapi.json`: that it is served, that its bounds are those of the server, and that a generated client works. That
//! answers are as it has them is checked with each answer of the tests.

use std::panic::catch_unwind;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use minimost_calls::tokens::token_hash;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Map, Value, json};

use crate::scenes::Scene;
use crate::support::openapi::{
    DOCUMENT, Operation, assert_described, assert_event_described, operations, parameters, resolve, template,
};
use crate::support::{Server, answer};

#[tokio::test]
async fn it_is_public_cached_and_of_this_version() {
    let server = Server::start();
    let url = format!("{}/openapi.json", server.url);
    let response = Client::new().get(&url).header("origin", "https://editor.example").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("cache-control"), "no-cache");
    assert_eq!(header("access-control-allow-origin"), "*");
    let etag = header("etag");
    let version = header("api-version");
    let document: Value = response.json().await.unwrap();
    assert_eq!(document["openapi"], "3.1.1");
    let again = Client::new().get(&url).header("if-none-match", &etag).send().await.unwrap();
    assert_eq!((again.status().as_u16(), again.text().await.unwrap().as_str()), (304, ""));

    let (_, versions) = answer(Client::new().get(format!("{}/version", server.url))).await;
    assert_eq!(document["info"]["version"], versions["version"]);
    assert_eq!((&document["info"]["x-api-version"], version), (&versions["api"], versions["api"].to_string()));
}

/// The key of the issuer `chat`.
const SECRET: &str = "a secret that only two applications know";

/// The token of a link to the call.
const LINK: &str = "a link";

/// A scene in which every waiting request has news for alice, who is an admin, and her share.
async fn with_news() -> (Scene, String) {
    let scene = Scene::active().await;
    scene.server.execute("INSERT INTO set_role (username, role) VALUES ('alice', 'admin')");
    scene.server.private_channel(&["alice"]);
    scene.server.execute("INSERT INTO set_setting (name, value) VALUES ('web_push', 1)");
    scene
        .server
        .execute(&format!("INSERT INTO add_issuer (name, algorithm, key) VALUES ('chat', 'HS256', '{SECRET}')"));
    scene.server.run(&["webhook", "add", "chat", "https://127.0.0.1:1/", "--kind", "call.busy"], "");
    let link = "INSERT INTO add_link (token_hash, channel, username) VALUES (?1, 'dm:alice:bob', 'alice')";
    scene.server.sql().execute(link, [token_hash(LINK)]).unwrap();
    scene.carol.call("dm:alice:carol").await;
    let channel = json!({ "channel": "dm:alice:bob" });
    let share = scene.alice.post_json("/screenshare/start", channel).await.1["share_id"].as_str().unwrap().to_owned();
    let signal = json!({ "to": "alice", "type": "offer", "payload": 1 });
    for path in [scene.path("signal"), format!("/screenshare/{share}/signal")] {
        assert_eq!(scene.bob.post_json(&path, signal.clone()).await.0, 200);
    }
    (scene, share)
}

/// The path of a route for alice, with names that exist.
fn path_of(operation: Operation, scene: &Scene, share: &str) -> String {
    let variables = [
        ("{call_id}", scene.call.as_str()),
        ("{share_id}", share),
        ("{channel}", "private:1"),
        ("{username}", "bob"),
        ("{setting}", "gone_after"),
        ("{session}", "none"),
        ("{service}", "none"),
        ("{issuer}", "chat"),
        ("{webhook}", "chat"),
        ("{link}", "none"),
        ("{subscription}", "none"),
    ];
    variables.iter().fold(operation.path.to_owned(), |path, (variable, value)| path.replace(variable, value))
}

/// A query with what a route needs.
fn query_of(operation: Operation) -> Vec<(String, String)> {
    let required = parameters(operation).into_iter().filter(|parameter| parameter["required"] == true);
    let in_query = required.filter(|parameter| parameter["in"] == "query");
    let mut query: Vec<(String, String)> = in_query
        .map(|parameter| match parameter["name"].as_str().unwrap() {
            "sender" => ("sender".to_owned(), "alice".to_owned()),
            "channel" => ("channel".to_owned(), "dm:alice:bob".to_owned()),
            other => panic!("no value for {other}"),
        })
        .collect();
    if operation.path.ends_with("/media") && operation.method == "POST" {
        query.push(("init".to_owned(), "1".to_owned()));
    }
    query
}

#[tokio::test]
async fn bounds_of_a_query_are_those_of_the_server() {
    let (scene, share) = with_news().await;
    let mut numbers = 0;
    for operation in operations() {
        let path = path_of(operation, &scene, &share);
        let send = |name: &str, value: String| {
            let mut query = query_of(operation);
            query.push((name.to_owned(), value));
            let request = scene.alice.request(operation.method.parse().unwrap(), &path).query(&query);
            answer(if operation.method == "POST" { request.body("x") } else { request })
        };
        for parameter in parameters(operation).into_iter().filter(|parameter| parameter["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            let schema = resolve(&parameter["schema"]);
            if let (Some(lowest), Some(highest)) = (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
                for (value, status) in [(lowest - 1, 400), (lowest, 200), (highest, 200), (highest + 1, 400)] {
                    assert_eq!(send(name, value.to_string()).await.0, status, "{name}={value} of {path}");
                }
                numbers += 1;
            }
            if name == "mime" {
                let highest = usize::try_from(schema["maxLength"].as_u64().unwrap()).unwrap();
                for (length, status) in [(0, 400), (1, 200), (highest, 200), (highest + 1, 400)] {
                    assert_eq!(send(name, "m".repeat(length)).await.0, status, "{length} of {path}");
                }
            }
        }
    }
    assert!(numbers >= 10, "{numbers}");
}

/// A body that a route takes.
fn body_of(operation: Operation, schema: &Value) -> Map<String, Value> {
    static ADDED: AtomicUsize = AtomicUsize::new(0);
    let new = format!("new{}", ADDED.fetch_add(1, Relaxed));
    let username = if operation.path == "/admin/people" { new.as_str() } else { "bob" };
    let values = json!({
        "channel": "dm:alice:bob", "username": username, "to": "bob", "type": "offer", "payload": 1, "on": true,
        "old": "a password", "new": "a password", "password": "a password", "display_name": "Bob", "role": "member",
        "title": "a title", "members": ["alice"], "value": 12, "up_to": 1.0, "seconds": 60, "uses": 1, "admit": true,
        "link": LINK, "name": new, "algorithm": "HS256", "key": SECRET, "audience": "calls", "clock_skew": 1,
        "url": "https://example.org/", "kinds": ["call.ended"], "allow_private": false,
        "secret": format!("whsec_{}", "a".repeat(32)), "endpoint": "https://push.example.org/1",
        "keys": { "p256dh": format!("BP{}", "a".repeat(85)), "auth": "a".repeat(22) },
    });
    let names = schema["properties"].as_object().unwrap().keys();
    names
        .map(|name| (name.clone(), values.get(name).unwrap_or_else(|| panic!("no value for {name}")).clone()))
        .collect()
}

/// Lengths, numbers and lists of words in a body: the first value beyond is refused, and the last one within is not, or for
/// another reason. A member that is required cannot be missing.
#[tokio::test]
async fn bounds_of_a_body_are_those_of_the_server() {
    let mut bounds = 0;
    for operation in operations() {
        let body = resolve(&operation.value["requestBody"]);
        let schema = resolve(&body["content"]["application/json"]["schema"]);
        if schema.is_null() {
            continue;
        }
        let (scene, share) = with_news().await;
        let path = path_of(operation, &scene, &share);
        let send = |body: &Map<String, Value>| answer(scene.alice.posting_json(&path, Value::Object(body.clone())));
        for name in schema["required"].as_array().into_iter().flatten() {
            let mut lacking = body_of(operation, schema);
            lacking.remove(name.as_str().unwrap());
            let (status, refused) = send(&lacking).await;
            assert_eq!((status, refused["code"].as_str()), (400, Some("bad_body")), "{path} without {name}");
        }
        for (name, member) in schema["properties"].as_object().unwrap() {
            let member = member["oneOf"].as_array().map_or(member, |either| &either[0]);
            let member = resolve(member);
            let length = |bound: &str| member[bound].as_u64().map(|length| usize::try_from(length).unwrap());
            let with = |value: Value| {
                let mut body = body_of(operation, schema);
                body.insert(name.clone(), value);
                body
            };
            let mut pairs: Vec<(Value, Value)> = Vec::new();
            if let Some(highest) = length("maxLength") {
                pairs.push(("x".repeat(highest + 1).into(), "x".repeat(highest).into()));
            }
            if let Some(lowest) = length("minLength") {
                pairs.push(("x".repeat(lowest - 1).into(), "x".repeat(lowest).into()));
            }
            if let Some(highest) = member["maximum"].as_i64() {
                pairs.push(((highest + 1).into(), highest.into()));
            }
            if let Some(lowest) = member["minimum"].as_i64() {
                pairs.push(((lowest - 1).into(), lowest.into()));
            }
            if let Some(words) = member["enum"].as_array() {
                pairs.push(("nothing".into(), words[0].clone()));
            }
            for (beyond, within) in pairs {
                let (status, refused) = send(&with(beyond)).await;
                assert_eq!(status, 400, "{name} of {path}: {refused}");
                let (_, answered) = send(&with(within)).await;
                assert_ne!(answered["code"], refused["code"], "{name} of {path}");
                bounds += 1;
            }
        }
    }
    assert!(bounds >= 30, "{bounds}");
}

#[test]
fn the_types_of_events_are_those_that_webhooks_get() {
    let server = Server::start();
    let sql = server.sql();
    let mut types = sql.prepare("SELECT type FROM webhook_types").unwrap();
    let types: Result<Vec<String>, _> = types.query_map([], |row| row.get(0)).unwrap().collect();
    assert_eq!(DOCUMENT["components"]["schemas"]["EventType"]["enum"], json!(types.unwrap()));
}

#[tokio::test]
async fn a_session_is_needed_where_the_description_says_so() {
    let (scene, share) = with_news().await;
    for operation in operations() {
        let path = path_of(operation, &scene, &share).replace("{page}", "api").replace("{file}", "main.js");
        let method: Method = operation.method.parse().unwrap();
        let request: RequestBuilder = Client::new().request(method, format!("{}{path}", scene.server.url));
        let status = request.send().await.unwrap().status();
        let is_needed = operation.value.get("security").is_none();
        assert_eq!(status == 401, is_needed, "{} {path}: {status}", operation.method);
        let is_described = operation.codes().contains(&(401, "unauthorized"));
        assert_eq!(is_described, is_needed, "{} {path}", operation.method);
    }
}

#[test]
fn variables_of_a_path_are_its_parameters() {
    for operation in operations() {
        let segments = operation.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
        let in_path = parameters(operation).into_iter().filter(|parameter| parameter["in"] == "path");
        let described: Vec<&str> = in_path.map(|parameter| parameter["name"].as_str().unwrap()).collect();
        assert_eq!(described, segments.collect::<Vec<_>>(), "{}", operation.path);
    }
}

/// The comparison itself.
#[test]
fn an_answer_that_the_description_lacks_fails() {
    let health = |status: u16, body: Value| {
        catch_unwind(|| assert_described("GET", "/healthz", status, Some("application/json"), Some(&body))).is_ok()
    };
    let refusal = |code: &str| json!({ "error": "A sentence.", "code": code });
    assert!(health(200, json!({ "status": "ok" })));
    assert!(health(503, refusal("writer_hangs")));
    for (status, body) in [
        (200, json!({ "status": "fine" })),
        (200, json!({})),
        (200, json!({ "status": "ok", "more": 1 })),
        (201, json!({ "status": "ok" })),
        (503, refusal("writer_sleeps")),
        (503, json!({ "code": "writer_hangs" })),
        (404, refusal("not_found")),
    ] {
        assert!(!health(status, body.clone()), "{status} {body}");
    }
    assert_eq!(template("/calls/missed/seen"), Some("/calls/missed/seen"));
    assert_eq!(template("/calls/missed/accept"), Some("/calls/{call_id}/accept"));
    assert_eq!(template("/web/views/call.js"), Some("/web/{file}"));
    assert_eq!(template("/calls/x"), None);
    let share = json!({
        "share_id": "s", "channel": "private:1", "sharer": "a", "sharer_display_name": "A", "state": "active",
        "started_ts": 1.5, "ended_ts": null,
    });
    assert_event_described("share", &share);
    assert!(catch_unwind(|| assert_event_described("incoming", &share)).is_err());
    assert!(catch_unwind(|| assert_event_described("other", &share)).is_err());
    assert!(DOCUMENT["components"]["schemas"]["Share"]["additionalProperties"] == false);
}

/// A client that openapi-typescript generates compiles with strict types, and completes a call.
#[test]
fn a_generated_client_completes_a_call() {
    let server = Server::start();
    for name in ["alice", "bob"] {
        server.run(&["user", "add", name], "correct horse");
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client/run");
    // It may have to install its packages.
    let output = Command::new("timeout").args(["300", script, &server.url, "correct horse"]).output().unwrap();
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{error}");
    assert!(out.contains("a generated client completed a call"), "{out}");
    server.assert_integrity();
}
