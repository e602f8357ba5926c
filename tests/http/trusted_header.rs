//! A proxy that logs people in, and names them in a header.

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tempfile::TempDir;

use crate::signer::{SECRET, Signer, claims};
use crate::support::{Server, answer, assert_refused};

fn behind_proxy() -> Server {
    let server = Server::start_in(TempDir::new().unwrap(), &["--behind-proxy"]);
    server.run(&["setting", "set", "trusted_header", "Remote-User"], "");
    server
}

/// A request as the proxy passes it on, for this person.
fn proxied(server: &Server, method: Method, path: &str, name: &str) -> RequestBuilder {
    reqwest::Client::new().request(method, format!("{}{path}", server.url)).header("remote-user", name)
}

#[tokio::test]
async fn the_proxy_names_the_person() {
    let server = behind_proxy();
    let alice = server.person("alice");
    let (status, me) = answer(proxied(&server, Method::GET, "/me", "ALICE")).await;
    assert_eq!((status, &me["username"]), (200, &json!("alice")), "{me}");
    let (_, me) = answer(proxied(&server, Method::GET, "/me", "Zoe")).await;
    assert_eq!((&me["username"], &me["role"]), (&json!("Zoe"), &json!("member")));
    assert_eq!(server.value::<String>("SELECT password_hash FROM users WHERE username = 'Zoe'"), "");

    // Later requests write nothing.
    let sql = server.sql();
    let version = || sql.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap();
    let before = version();
    for _ in 0..50 {
        assert_eq!(answer(proxied(&server, Method::GET, "/me", "Zoe")).await.0, 200);
    }
    assert_eq!(version(), before);

    // A session that is old is renewed, and stays the same.
    server.execute("UPDATE sessions SET expires_ts = (SELECT ts FROM now) + 60 WHERE username = 'Zoe'");
    answer(proxied(&server, Method::GET, "/me", "zoe")).await;
    assert_eq!(server.value::<i64>("SELECT count(*) FROM sessions WHERE username = 'Zoe'"), 1);
    assert!(server.value::<bool>("SELECT expires_ts > created_ts + 60 FROM sessions WHERE username = 'Zoe'"));

    // They call and are present.
    let body = json!({ "channel": "dm:alice:Zoe" });
    let initiate =
        proxied(&server, Method::POST, "/calls/initiate", "Zoe").header("sec-fetch-site", "same-origin").json(&body);
    let (status, call) = answer(initiate).await;
    assert_eq!(status, 200, "{call}");
    let id = call["call_id"].as_str().unwrap();
    assert_eq!(alice.post(&format!("/calls/{id}/accept")).await.0, 200);
    let seen_by = "SELECT seen_by = (SELECT token_hash FROM sessions WHERE username = 'Zoe') FROM call_participants WHERE username = 'Zoe'";
    assert!(server.value::<bool>(seen_by));
    server.assert_integrity();
}

#[tokio::test]
async fn bad_names_are_refused() {
    let server = behind_proxy();
    server.add_issuer("chat", "HS256", SECRET);
    let token = Signer::start().sign(&claims("yves", &json!({})));
    server.bearer(token.clone()).read("/me").await;
    for name in ["", "two words", "..", "a:b", &"x".repeat(65), "zoe,alice"] {
        server.assert_refuses(proxied(&server, Method::GET, "/me", name), 401, "trusted_name_malformed").await;
    }
    // One value is the proxy's, and the other may be the client's.
    let twice = proxied(&server, Method::GET, "/me", "zoe").header("remote-user", "alice");
    server.assert_refuses(twice, 401, "trusted_name_malformed").await;
    server.assert_refuses(proxied(&server, Method::GET, "/me", "yves"), 401, "trusted_name_taken").await;

    // A bearer token wins, also a bad one.
    let zoe = server.person("zoe");
    let both = zoe.getting("/me").header("remote-user", "alice");
    assert_eq!(answer(both).await.1["username"], "zoe");
    let both = proxied(&server, Method::GET, "/me", "alice").bearer_auth("wrong");
    server.assert_refuses(both, 401, "unauthorized").await;
    // A token cannot be the hash's text: a header has no line breaks.
    let both = proxied(&server, Method::GET, "/me", "alice").bearer_auth("trusted header alice");
    server.assert_refuses(both, 401, "unauthorized").await;
}

/// The proxy's cookie comes with requests of other sites, too.
#[tokio::test]
async fn other_sites_cannot_use_the_proxys_login() {
    let server = behind_proxy();
    let post = || proxied(&server, Method::POST, "/calls/missed/seen", "zoe");
    server.assert_refuses(post().header("sec-fetch-site", "cross-site"), 403, "cross_site").await;
    server.assert_refuses(post().header("origin", "https://evil.example"), 403, "cross_site").await;
    server.assert_refuses(post().header("content-type", "text/plain"), 403, "content_type_needed").await;
    assert_eq!(answer(post().header("sec-fetch-site", "same-origin").json(&json!({}))).await.0, 200);
    // Also once there is a session.
    server.assert_refuses(post().header("sec-fetch-site", "cross-site"), 403, "cross_site").await;
}

#[tokio::test]
async fn without_a_proxy_the_header_is_nothing() {
    let server = Server::start();
    server.run(&["setting", "set", "trusted_header", "Remote-User"], "");
    server.person("alice");
    server.assert_refuses(proxied(&server, Method::GET, "/me", "alice"), 401, "unauthorized").await;
    // Nor behind one, if the setting is empty.
    let server = Server::start_in(TempDir::new().unwrap(), &["--behind-proxy"]);
    server.person("alice");
    let refused = answer(proxied(&server, Method::GET, "/me", "alice")).await;
    assert_refused(&refused, 401, "unauthorized");
}
