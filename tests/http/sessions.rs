//! Authentication: tokens, cookies, `POST /logout`, and the end of sessions.

use reqwest::Client;
use serde_json::json;

use crate::support::{Server, answer, assert_refused};

/// Every route that needs a session.
pub const ROUTES: &[(&str, &str)] = &[
    ("POST", "/calls/initiate"),
    ("GET", "/calls/incoming"),
    ("GET", "/calls/ice"),
    ("POST", "/calls/ID/accept"),
    ("POST", "/calls/ID/reject"),
    ("POST", "/calls/ID/end"),
    ("POST", "/calls/ID/leave"),
    ("POST", "/calls/ID/invite"),
    ("POST", "/calls/ID/signal"),
    ("GET", "/calls/ID/signals"),
    ("POST", "/calls/ID/screenshare"),
    ("GET", "/calls/ID/state"),
    ("GET", "/calls/active?channel=dm:alice:bob"),
    ("POST", "/calls/ID/media"),
    ("GET", "/calls/ID/media?sender=alice"),
    ("POST", "/screenshare/start"),
    ("POST", "/screenshare/ID/stop"),
    ("GET", "/screenshare/active?channel=dm:alice:bob"),
    ("POST", "/screenshare/ID/signal"),
    ("GET", "/screenshare/ID/signals"),
    ("POST", "/screenshare/ID/media"),
    ("GET", "/screenshare/ID/media"),
    ("GET", "/sessions"),
    ("DELETE", "/sessions/ID"),
    ("POST", "/password"),
    ("POST", "/quiet"),
    ("GET", "/push"),
    ("POST", "/push/subscriptions"),
    ("DELETE", "/push/subscriptions/ID"),
    ("GET", "/admin/people"),
    ("POST", "/admin/people"),
    ("DELETE", "/admin/people/alice"),
    ("POST", "/admin/people/alice/password"),
    ("POST", "/admin/people/alice/display_name"),
    ("POST", "/admin/people/alice/role"),
    ("GET", "/admin/sessions"),
    ("DELETE", "/admin/sessions/ID"),
    ("GET", "/admin/channels"),
    ("POST", "/admin/channels"),
    ("DELETE", "/admin/channels/private:1"),
    ("POST", "/admin/channels/private:1/title"),
    ("POST", "/admin/channels/private:1/join"),
    ("POST", "/admin/channels/private:1/leave"),
    ("GET", "/admin/calls"),
    ("GET", "/admin/calls/ID"),
    ("POST", "/admin/calls/ID/end"),
    ("GET", "/admin/history"),
    ("GET", "/admin/settings"),
    ("POST", "/admin/settings/gone_after"),
    ("POST", "/admin/settings/gone_after/reset"),
    ("GET", "/admin/tokens"),
    ("DELETE", "/admin/tokens/monitor"),
    ("GET", "/admin/webhooks"),
    ("POST", "/admin/webhooks"),
    ("DELETE", "/admin/webhooks/chat"),
    ("GET", "/admin/webhooks/chat/failures"),
    ("POST", "/admin/webhooks/chat/retry"),
    ("GET", "/admin/violations"),
    ("POST", "/logout"),
];

#[tokio::test]
async fn every_route_needs_a_session() {
    let server = Server::start();
    let (alice, _bob) = (server.person("alice"), server.person("bob"));
    let call = alice.call("dm:alice:bob").await;
    let (client, of_nobody) = (Client::new(), "0".repeat(64));
    let strangers: &[(&str, String)] = &[
        ("accept", "*/*".into()),
        ("authorization", format!("Bearer {of_nobody}")),
        ("authorization", "Bearer".into()),
        ("authorization", "Bearer ".into()),
        ("authorization", format!("Basic {}", alice.token)),
        ("authorization", alice.token.clone()),
        ("authorization", format!("Bearer {} ", alice.token.to_uppercase())),
        ("cookie", format!("session={of_nobody}")),
        ("cookie", format!("Session={}; other={}", alice.token, alice.token)),
    ];
    for (method, path) in ROUTES {
        let url = format!("{}{}", server.url, path.replace("ID", &call));
        for (name, value) in strangers {
            let request = client
                .request(method.parse().unwrap(), &url)
                .header(*name, value)
                .header("content-type", "application/json")
                .body("{}");
            server.assert_refuses(request, 401, "unauthorized").await;
        }
    }
    let response = client.get(format!("{}/calls/incoming", server.url)).send().await.unwrap();
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn health_is_public_and_the_bearer_scheme_is_case_insensitive() {
    let server = Server::start();
    let alice = server.person("alice");
    let health = Client::new().get(format!("{}/healthz", server.url));
    assert_eq!(answer(health).await, (200, json!({ "status": "ok" })));
    // RFC 9110, section 11.1.
    let request = Client::new()
        .get(format!("{}/calls/incoming", server.url))
        .header("authorization", format!("bearer {}", alice.token));
    assert_eq!(answer(request).await, (200, json!([])));
}

#[tokio::test]
async fn an_invalid_token_is_refused_despite_a_valid_cookie() {
    let server = Server::start();
    let alice = server.person("alice");
    let request = Client::new()
        .get(format!("{}/calls/incoming", server.url))
        .header("authorization", "Bearer nonsense")
        .header("cookie", format!("session={}", alice.token));
    server.assert_refuses(request, 401, "unauthorized").await;
}

#[tokio::test]
async fn logout_ends_only_the_session_of_the_request() {
    let server = Server::start();
    let (phone, laptop) = (server.person("alice"), server.person("alice"));
    let response = phone.posting("/logout").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("session=;") && cookie.contains("Max-Age=0"), "{cookie}");
    assert_eq!(response.json::<serde_json::Value>().await.unwrap(), json!({ "status": "logged_out" }));
    server.assert_refuses(phone.getting("/calls/incoming"), 401, "unauthorized").await;
    server.assert_refuses(phone.posting("/logout"), 401, "unauthorized").await;
    assert_eq!(laptop.read("/calls/incoming").await, json!([]));

    let by_cookie = Client::new()
        .post(format!("{}/logout", server.url))
        .header("content-type", "application/json")
        .header("cookie", format!("session={}", laptop.token));
    assert_eq!(answer(by_cookie).await.0, 200);
    server.assert_refuses(laptop.getting("/calls/incoming"), 401, "unauthorized").await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM sessions"), 0);
}

#[tokio::test]
async fn a_session_ends_when_it_expires() {
    let server = Server::start();
    let alice = server.person("alice");
    server.execute("UPDATE sessions SET expires_ts = (SELECT ts FROM now) - 0.001");
    let refused = alice.get("/calls/incoming").await;
    assert_refused(&refused, 401, "unauthorized");
    server.eventually("SELECT count(*) = 0 FROM sessions", std::time::Duration::from_secs(3)).await;
}

#[tokio::test]
async fn a_removed_user_and_a_changed_password_end_sessions() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    server.run(&["user", "passwd", "alice"], "a new password");
    server.assert_refuses(alice.getting("/calls/incoming"), 401, "unauthorized").await;
    assert_eq!(bob.read("/calls/incoming").await, json!([]));
    server.run(&["user", "remove", "bob"], "");
    server.assert_refuses(bob.getting("/calls/incoming"), 401, "unauthorized").await;
    // A later user of the same name does not revive the session.
    server.person("bob");
    server.assert_refuses(bob.getting("/calls/incoming"), 401, "unauthorized").await;
}

#[tokio::test]
async fn a_token_of_the_command_line_opens_the_api() {
    let server = Server::start();
    let mut alice = server.person("alice");
    let printed = server.run(&["token", "alice", "--ttl", "1h"], "");
    alice.token = printed.trim_end().to_owned();
    assert_eq!(alice.read("/calls/incoming").await, json!([]));
    let stored: i64 = server.value(&format!("SELECT count(*) FROM sessions WHERE token_hash LIKE '%{}%'", alice.token));
    assert_eq!(stored, 0, "the token itself is nowhere in the file");
}
