//! `POST /login`: passwords, cookies, and the limits on attempts.

use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::scenes::keys;
use crate::support::{Server, answer, assert_refused};

fn login(server: &Server, name: &str, password: &str) -> RequestBuilder {
    Client::new().post(format!("{}/login", server.url)).json(&json!({ "username": name, "password": password }))
}

/// A server where alice has a password.
fn start() -> Server {
    let server = Server::start();
    server.run(&["user", "add", "alice"], "correct horse");
    server
}

async fn retry_after(request: RequestBuilder, code: &str) -> u64 {
    let response: Response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let seconds = response.headers().get("retry-after").map(|seconds| seconds.to_str().unwrap().parse().unwrap());
    assert_refused(&(status, response.json::<Value>().await.unwrap()), 429, code);
    seconds.expect("Retry-After")
}

#[tokio::test]
async fn the_right_password_gives_a_token_and_a_cookie() {
    let server = start();
    let response = login(&server, "alice", "correct horse").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(keys(&body), ["expires_ts", "token", "username"]);
    assert_eq!(body["username"], "alice");
    let token = body["token"].as_str().unwrap();
    let attributes: Vec<&str> = cookie.split("; ").collect();
    assert_eq!(attributes[0], format!("session={token}"));
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=2592000"] {
        assert!(attributes.contains(&attribute), "{cookie}");
    }
    assert!(!attributes.contains(&"Secure"), "without TLS in front, no browser would send it back");
    let expires: f64 = server.value("SELECT expires_ts FROM sessions");
    assert_eq!(body["expires_ts"], expires);
    let ttl = expires - server.value::<f64>("SELECT ts FROM now");
    assert!((ttl - 2_592_000.0).abs() < 60.0, "{ttl}");

    let by_token = Client::new().get(format!("{}/calls/incoming", server.url)).bearer_auth(token);
    assert_eq!(answer(by_token).await, (200, json!([])));
    let by_cookie = Client::new().get(format!("{}/calls/incoming", server.url)).header("cookie", attributes[0]);
    assert_eq!(answer(by_cookie).await, (200, json!([])));
}

#[tokio::test]
async fn behind_a_proxy_cookies_are_secure_and_addresses_are_forwarded() {
    let server = Server::start_in(tempfile::TempDir::new().unwrap(), &["--behind-proxy"]);
    server.run(&["user", "add", "alice"], "correct horse");
    let response = login(&server, "alice", "correct horse").send().await.unwrap();
    assert!(response.headers()["set-cookie"].to_str().unwrap().contains("; Secure"));
    // The proxy appends the address. The client can forge those before it.
    let wrong = login(&server, "alice", "wrong").header("x-forwarded-for", "10.9.9.9, 192.0.2.7");
    assert_refused(&answer(wrong).await, 401, "wrong_credentials");
    assert_eq!(server.value::<String>("SELECT address FROM login_attempts"), "192.0.2.7");
}

#[tokio::test]
async fn without_a_proxy_x_forwarded_for_is_ignored() {
    let server = start();
    let wrong = login(&server, "alice", "wrong").header("x-forwarded-for", "192.0.2.7");
    assert_refused(&answer(wrong).await, 401, "wrong_credentials");
    assert_eq!(server.value::<String>("SELECT address FROM login_attempts"), "127.0.0.1");
}

#[tokio::test]
async fn wrong_passwords_and_unknown_names_get_the_same_response() {
    let server = start();
    let mut sentences = Vec::new();
    for (name, password) in [
        ("alice", "wrong"),
        ("alice", ""),
        ("alice", "correct horse "),
        ("Alice", "correct horse"),
        ("nobody", "correct horse"),
        ("", "correct horse"),
        ("no such name at all", "x"),
        ("alice\0", "correct horse"),
        ("ünïcode", "x"),
    ] {
        sentences.push(server.assert_refuses(login(&server, name, password), 401, "wrong_credentials").await);
    }
    sentences.dedup();
    assert_eq!(sentences.len(), 1, "{sentences:?}");
}

#[tokio::test]
async fn an_unknown_name_takes_as_long_as_a_wrong_password() {
    let server = start();
    let mut shortest = [Duration::MAX; 2];
    for _ in 0..3 {
        for (name, shortest) in ["alice", "nobody"].iter().zip(&mut shortest) {
            let begin = Instant::now();
            assert_refused(&answer(login(&server, name, "wrong")).await, 401, "wrong_credentials");
            *shortest = begin.elapsed().min(*shortest);
        }
    }
    // Skipping the hash would be a hundred times faster.
    assert!(shortest[1] > shortest[0] / 3, "{shortest:?}");
}

#[tokio::test]
async fn attempts_for_one_name_are_limited() {
    let server = start();
    server.run(&["user", "add", "bob"], "battery staple");
    server.execute("UPDATE settings SET value = 2 WHERE name = 'login_attempts_per_name'");
    for password in ["wrong", "correct horse", "wrong again"] {
        // Successful attempts do not count.
        let (status, _) = answer(login(&server, "alice", password)).await;
        assert_eq!(status, if password == "correct horse" { 200 } else { 401 });
    }
    let seconds = retry_after(login(&server, "alice", "correct horse"), "too_many_logins_for_name").await;
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(answer(login(&server, "bob", "battery staple")).await.0, 200);
    // Attempts for an unknown name count, too.
    for _ in 0..2 {
        assert_refused(&answer(login(&server, "nobody", "x")).await, 401, "wrong_credentials");
    }
    retry_after(login(&server, "nobody", "x"), "too_many_logins_for_name").await;

    server.execute("UPDATE login_attempts SET ts = ts - 60");
    assert_eq!(answer(login(&server, "alice", "correct horse")).await.0, 200);
}

#[tokio::test]
async fn attempts_from_one_address_are_limited() {
    let server = start();
    server.execute("UPDATE settings SET value = 2 WHERE name = 'login_attempts_per_address'");
    for name in ["one", "two"] {
        assert_refused(&answer(login(&server, name, "x")).await, 401, "wrong_credentials");
    }
    server.execute("UPDATE login_attempts SET ts = ts - 30");
    let seconds = retry_after(login(&server, "alice", "correct horse"), "too_many_logins_from_address").await;
    assert!((25..=30).contains(&seconds), "{seconds}");
    // Other addresses are not limited.
    server.execute("UPDATE login_attempts SET address = '192.0.2.7'");
    assert_eq!(answer(login(&server, "alice", "correct horse")).await.0, 200);
}

#[tokio::test]
async fn concurrent_attempts_all_count() {
    let server = start();
    server.execute("UPDATE settings SET value = 3 WHERE name = 'login_attempts_per_name'");
    let guesses = (0..8).map(|_| answer(login(&server, "alice", "wrong")));
    let mut statuses: Vec<u16> =
        futures_util::future::join_all(guesses).await.into_iter().map(|(status, _)| status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [401, 401, 401, 429, 429, 429, 429, 429]);
}

#[tokio::test]
async fn a_login_needs_a_name_and_a_password_and_the_own_site() {
    let server = start();
    for body in [json!({}), json!({ "username": "alice" }), json!({ "username": "alice", "password": 1 }), json!([])] {
        let request = Client::new().post(format!("{}/login", server.url)).json(&body);
        server.assert_refuses(request, 400, "bad_body").await;
    }
    let request = Client::new().post(format!("{}/login", server.url)).body("{");
    server.assert_refuses(request, 400, "bad_json").await;
    // Another site must not log a user in under a name of its choice.
    let request = login(&server, "alice", "correct horse").header("origin", "https://evil.example");
    server.assert_refuses(request, 403, "cross_site").await;
    let request = login(&server, "alice", "correct horse").header("sec-fetch-site", "cross-site");
    server.assert_refuses(request, 403, "cross_site").await;
    let long = login(&server, "alice", &"x".repeat(20_000));
    server.assert_refuses(long, 413, "body_too_large").await;
}

#[tokio::test]
async fn a_changed_password_replaces_the_previous() {
    let server = start();
    server.run(&["user", "passwd", "alice"], "battery staple");
    assert_refused(&answer(login(&server, "alice", "correct horse")).await, 401, "wrong_credentials");
    assert_eq!(answer(login(&server, "alice", "battery staple")).await.0, 200);
    server.run(&["user", "remove", "alice"], "");
    assert_refused(&answer(login(&server, "alice", "battery staple")).await, 401, "wrong_credentials");
}
