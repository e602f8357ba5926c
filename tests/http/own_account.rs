//! What people do with their account: `/sessions` and `POST /password`.

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::scenes::keys;
use crate::support::{Person, Server, answer, assert_refused};

/// Logs in.
pub async fn login(server: &Server, name: &str, password: &str) -> (u16, Value) {
    let body = json!({ "username": name, "password": password });
    answer(Client::new().post(format!("{}/login", server.url)).json(&body)).await
}

#[tokio::test]
async fn a_person_lists_and_ends_sessions() {
    let server = Server::start();
    let (alice, phone, bob) = (server.person("alice"), server.person("alice"), server.person("bob"));
    let list = alice.read("/sessions").await;
    assert_eq!(keys(&list[0]), ["created_ts", "current", "expires_ts", "id"]);
    let find = |current: bool| {
        let list = list.as_array().unwrap();
        assert_eq!(list.len(), 2);
        list.iter().find(|session| session["current"] == current).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let (own, other) = (find(true), find(false));
    assert!(minimost_calls::tokens::token_hash(&alice.token).starts_with(&own));
    assert!(own.len() < 32, "an id that is a whole hash");

    let revoke = |person: &Person, id: &str| person.request(Method::DELETE, &format!("/sessions/{id}"));
    // Of another person, of nobody, and what is no id.
    server.assert_refuses(revoke(&bob, &own), 404, "session_not_found").await;
    server.assert_refuses(revoke(&alice, "0123456789abcdef"), 404, "session_not_found").await;
    server.assert_refuses(revoke(&alice, &own[..8]), 404, "session_not_found").await;

    assert_eq!(answer(revoke(&alice, &other)).await, (200, json!({ "status": "revoked" })));
    assert_refused(&phone.get("/me").await, 401, "unauthorized");
    assert_eq!(alice.read("/sessions").await.as_array().unwrap().len(), 1);
    assert_eq!(answer(revoke(&alice, &own)).await.0, 200);
    assert_refused(&alice.get("/sessions").await, 401, "unauthorized");
}

/// The page of a member uses the others with a token, because the cookie does not count there.
#[tokio::test]
async fn the_token_of_a_page_is_its_session_without_the_cookie() {
    let server = Server::start();
    server.run(&["user", "add", "alice"], "rabbit hole");
    server.person("bob");
    server.execute("UPDATE users SET role = 'admin' WHERE username = 'alice'");
    let session = login(&server, "alice", "rabbit hole").await.1["token"].as_str().unwrap().to_owned();
    let me = async |cookie: &str| {
        let request = Client::new().get(format!("{}/me", server.url)).header("cookie", format!("session={cookie}"));
        answer(request).await.1
    };
    assert_eq!(me(&session).await["page_token"], json!(null), "there is no other address");
    server.execute(
        "INSERT INTO set_setting (name, value) VALUES ('client_addresses', '[\"https://calls-2.example.org\"]')",
    );
    let token = me(&session).await["page_token"].as_str().unwrap().to_owned();
    assert_eq!(me(&session).await["page_token"], token, "all pages of a session have the same one");
    assert_ne!(token, session);

    let page = server.bearer(token.clone());
    let read = page.read("/me").await;
    assert_eq!((&read["username"], &read["page_token"]), (&json!("alice"), &json!(null)));
    let current: Vec<_> = page.read("/sessions").await.as_array().unwrap().clone();
    assert_eq!((current.len(), &current[0]["current"]), (1, &json!(true)), "it is no session of its own");
    page.call("dm:alice:bob").await;
    // Scripts can read it, so it opens no administration; the cookie does.
    assert_refused(&page.get("/admin/people").await, 401, "unauthorized");
    assert_eq!(server.bearer(session.clone()).get("/admin/people").await.0, 200);
    // No other name for a session: as a cookie it is none, and so is a made-up one.
    assert_eq!(me(&token).await["code"], "unauthorized");
    assert_refused(&server.bearer("page:".to_owned()).get("/me").await, 401, "unauthorized");
    // Another login has another one, and a session without a login none.
    let other = login(&server, "alice", "rabbit hole").await.1["token"].as_str().unwrap().to_owned();
    assert_ne!(me(&other).await["page_token"], token);
    assert_eq!(me(&server.person("alice").token).await["page_token"], json!(null));

    assert_eq!(server.bearer(session.clone()).post("/logout").await.0, 200);
    assert_refused(&page.get("/me").await, 401, "unauthorized");
}

#[tokio::test]
async fn a_person_changes_the_password() {
    let server = Server::start();
    server.run(&["user", "add", "alice"], "rabbit hole");
    let (alice, phone) = (server.person("alice"), server.person("alice"));
    let request = alice.posting_json("/password", json!({ "old": "rabbit hole", "new": "looking glass" }));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(keys(&body), ["expires_ts", "token", "username"]);
    assert!(cookie.starts_with(&format!("session={};", body["token"].as_str().unwrap())), "{cookie}");

    // All sessions have ended, and the new one is valid.
    for old in [&alice, &phone] {
        assert_refused(&old.get("/me").await, 401, "unauthorized");
    }
    let mut renewed = alice.clone();
    renewed.token = body["token"].as_str().unwrap().to_owned();
    assert_eq!(renewed.read("/sessions").await.as_array().unwrap().len(), 1);
    assert_eq!(login(&server, "alice", "rabbit hole").await.0, 401);
    assert_eq!(login(&server, "alice", "looking glass").await.0, 200);
}

#[tokio::test]
async fn guesses_of_the_old_password_are_limited_as_logins_are() {
    let server = Server::start();
    server.run(&["user", "add", "alice"], "rabbit hole");
    let alice = server.person("alice");
    server.execute("INSERT INTO set_setting (name, value) VALUES ('login_attempts_per_name', 3), ('login_pause', 60);");
    let change = |old: &str, new: &str| alice.posting_json("/password", json!({ "old": old, "new": new }));
    // Neither counts as a guess.
    server.assert_refuses(change("rabbit hole", "7 chars"), 400, "password_length").await;
    server.assert_refuses(alice.posting_json("/password", json!({ "old": "rabbit hole" })), 400, "bad_body").await;
    for _ in 0..3 {
        server.assert_refuses(change("a guess", "looking glass"), 403, "wrong_password").await;
    }
    let response = change("rabbit hole", "looking glass").send().await.unwrap();
    assert!(response.headers().contains_key("retry-after"));
    assert_refused(&(response.status().as_u16(), response.json().await.unwrap()), 429, "too_many_logins_for_name");
    assert_eq!(login(&server, "alice", "rabbit hole").await.0, 429, "guesses of both kinds count together");
}
