//! Authentication: tokens, cookies, `POST /logout`, and the end of sessions.

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, RequestBuilder};
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

/// Sends requests with a cookie and without a token, as browsers do.
struct Browser {
    server: Server,
    token: String,
}

impl Browser {
    fn start() -> Self {
        let server = Server::start();
        let token = server.person("alice").token;
        server.person("bob");
        Self { server, token }
    }

    fn request(&self, method: Method, path: &str, headers: &[(&'static str, &str)]) -> RequestBuilder {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_str(value).unwrap());
        }
        Client::new()
            .request(method, format!("{}{path}", self.server.url))
            .header("cookie", format!("theme=dark; session={}; other=1", self.token))
            .headers(map)
    }

    fn initiate(&self, headers: &[(&'static str, &str)]) -> RequestBuilder {
        self.request(Method::POST, "/calls/initiate", headers).body(r#"{"channel":"dm:alice:bob"}"#)
    }
}

#[tokio::test]
async fn a_cookie_authenticates_requests_of_the_own_site() {
    let browser = Browser::start();
    let here = browser.server.url.clone();
    for headers in [
        &[("content-type", "application/json")][..],
        &[("content-type", "Application/JSON; charset=utf-8")],
        &[("content-type", "application/octet-stream")],
        &[("content-type", "application/json"), ("origin", &here)],
        &[("content-type", "application/json"), ("sec-fetch-site", "same-origin"), ("origin", &here)],
        &[("content-type", "application/json"), ("sec-fetch-site", "none")],
    ] {
        let (status, body) = answer(browser.initiate(headers)).await;
        assert_eq!(status, 200, "{headers:?}: {body}");
        let end = format!("/calls/{}/end", body["call_id"].as_str().unwrap());
        assert_eq!(answer(browser.request(Method::POST, &end, headers)).await.0, 200);
    }
    let incoming = browser.request(Method::GET, "/calls/incoming", &[("sec-fetch-site", "cross-site")]);
    assert_eq!(answer(incoming).await, (200, json!([])), "a GET changes nothing");
}

#[tokio::test]
async fn a_cookie_does_not_authenticate_requests_of_other_sites() {
    let browser = Browser::start();
    let server = &browser.server;
    // The content types that a form sends without a CORS preflight, and none.
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "",
    ] {
        let request = browser.initiate(&[("content-type", content_type)]);
        server.assert_refuses(request, 403, "content_type_needed").await;
    }
    server.assert_refuses(browser.initiate(&[]), 403, "content_type_needed").await;

    let json = ("content-type", "application/json");
    let elsewhere = server.url.replace("127.0.0.1", "localhost");
    let other_port = format!("{}1", server.url);
    for header in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", &elsewhere),
        ("origin", &other_port),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        server.assert_refuses(browser.initiate(&[json, header]), 403, "cross_site").await;
        let logout = browser.request(Method::POST, "/logout", &[json, header]);
        server.assert_refuses(logout, 403, "cross_site").await;
        // Browsers add cookies to a request, and never a bearer token.
        let with_token = browser.initiate(&[header]).bearer_auth(&browser.token);
        let (status, body) = answer(with_token).await;
        assert_eq!(status, 200, "{header:?}: {body}");
        let end = format!("/calls/{}/end", body["call_id"].as_str().unwrap());
        assert_eq!(answer(browser.request(Method::POST, &end, &[json])).await.0, 200);
    }
    for path in ["/calls/x/accept", "/calls/x/media", "/screenshare/start", "/logout"] {
        let request = browser.request(Method::POST, path, &[("content-type", "text/plain")]);
        server.assert_refuses(request, 403, "content_type_needed").await;
    }
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
