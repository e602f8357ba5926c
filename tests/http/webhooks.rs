//! `/admin/webhooks`: the receivers of events, for admins and their scripts.

use reqwest::Method;
use serde_json::json;

use crate::scenes::keys;
use crate::support::{Server, answer};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test]
async fn an_admin_adds_lists_and_removes_webhooks() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    server.execute("INSERT INTO set_role (username, role) VALUES ('alice', 'admin')");
    let add = |body| alice.posting_json("/admin/webhooks", body);

    let (status, added) = answer(add(json!({ "name": " chat ", "url": "https://chat.example.org/" }))).await;
    assert_eq!((status, keys(&added), &added["status"]), (200, vec!["secret", "status"], &json!("added")));
    assert!(added["secret"].as_str().unwrap().starts_with("whsec_"), "{added}");
    let body = json!({
        "name": "ends", "url": "http://127.0.0.1:1/", "kinds": ["call.ended"], "allow_private": true, "secret": SECRET,
    });
    assert_eq!(answer(add(body.clone())).await, (200, json!({ "status": "added", "secret": SECRET })));

    let list = alice.read("/admin/webhooks").await;
    let names =
        ["allow_private", "created_ts", "disabled_ts", "dropped", "given_up", "kinds", "name", "url", "waiting"];
    assert_eq!(keys(&list[0]), names);
    assert_eq!((&list[0]["name"], &list[0]["kinds"]), (&json!("chat"), &json!(null)));
    assert_eq!((&list[1]["kinds"], &list[1]["allow_private"]), (&json!(["call.ended"]), &json!(true)));
    assert_eq!(alice.read("/admin/webhooks?after=chat&limit=1").await[0]["name"], "ends");
    assert!(!list.to_string().contains("whsec"), "{list}");

    server.assert_refuses(add(body), 409, "webhook_exists").await;
    for (body, code) in [
        (json!({ "name": "a b", "url": "https://example.org/" }), "webhooks_name_format"),
        (json!({ "name": "new", "url": "file:///etc/passwd" }), "webhooks_url_format"),
        (json!({ "name": "new", "url": "https://me@example.org/" }), "webhooks_url_format"),
        (json!({ "name": "new", "url": "https://example.org/", "secret": "secret" }), "webhooks_secret_format"),
        (json!({ "name": "new", "url": "https://example.org/", "kinds": ["ended"] }), "webhook_kind_unknown"),
        (json!({ "name": "new" }), "bad_body"),
        (json!({ "name": "new", "url": "https://example.org/", "kinds": "call.ended" }), "bad_body"),
    ] {
        server.assert_refuses(add(body), 400, code).await;
    }
    for (method, path) in [
        (Method::GET, "/admin/webhooks"),
        (Method::POST, "/admin/webhooks"),
        (Method::DELETE, "/admin/webhooks/chat"),
        (Method::GET, "/admin/webhooks/chat/failures"),
        (Method::POST, "/admin/webhooks/chat/retry"),
    ] {
        let body = json!({ "name": "new", "url": "https://example.org/" });
        server.assert_refuses(bob.request(method, path).json(&body), 403, "admin_only").await;
    }

    assert_eq!(
        answer(alice.request(Method::DELETE, "/admin/webhooks/chat")).await,
        (200, json!({ "status": "removed" }))
    );
    let again = alice.request(Method::DELETE, "/admin/webhooks/chat");
    server.assert_refuses(again, 404, "webhook_not_found").await;
    let log = "SELECT group_concat(actor || ' ' || change || ' ' || subject) FROM command_log";
    let log: String = server.value(log);
    assert_eq!(log, "alice added webhook chat,alice added webhook ends,alice removed webhook chat");
}

#[tokio::test]
async fn an_admin_sees_failures_and_retries() {
    let server = Server::start();
    let (alice, _bob) = (server.person("alice"), server.person("bob"));
    server.execute("INSERT INTO set_role (username, role) VALUES ('alice', 'admin')");
    // Refused at once, without a connection.
    let body = json!({ "name": "chat", "url": "http://127.0.0.1:1/", "secret": SECRET });
    assert_eq!(alice.post_json("/admin/webhooks", body).await.0, 200);
    let call = alice.call("dm:alice:bob").await;
    server.eventually("SELECT max(attempts) IS 1 FROM webhook_deliveries", std::time::Duration::from_secs(10)).await;
    assert_eq!(alice.read("/admin/webhooks/chat/failures").await, json!([]));
    assert_eq!(alice.read("/admin/webhooks").await[0]["waiting"], 1);

    server.execute("UPDATE webhook_deliveries SET given_up_ts = (SELECT ts FROM now), next_ts = NULL");
    let failures = alice.read("/admin/webhooks/chat/failures").await;
    let names = ["attempts", "given_up_ts", "id", "last_error", "last_status", "message_id", "subject", "type"];
    assert_eq!(keys(&failures[0]), names);
    assert_eq!((&failures[0]["type"], &failures[0]["subject"]), (&json!("call.started"), &json!(call)));
    assert_eq!(failures[0]["last_error"], "the address is of this machine or of a private network");
    assert_eq!(alice.read("/admin/webhooks").await[0]["given_up"], 1);
    let after = format!("/admin/webhooks/chat/failures?after={}", failures[0]["id"]);
    assert_eq!(alice.read(&after).await, json!([]));
    let unknown = alice.getting("/admin/webhooks/none/failures");
    server.assert_refuses(unknown, 404, "webhook_not_found").await;
    server.assert_refuses(alice.posting("/admin/webhooks/none/retry"), 404, "webhook_not_found").await;

    let retried = alice.post("/admin/webhooks/chat/retry").await;
    assert_eq!(retried, (200, json!({ "status": "retried" })));
    assert_eq!(alice.read("/admin/webhooks/chat/failures").await, json!([]));
    server.assert_integrity();
}
