//! `/admin/people` and `/admin/sessions`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::admin::{column, scene};
use crate::own_account::login;
use crate::scenes::{Scene, keys};
use crate::support::{answer, assert_refused};

#[tokio::test]
async fn people_are_added_changed_and_removed() {
    let Scene { server, alice, carol, .. } = scene().await;
    let dave =
        json!({ "username": " dave@example.org ", "password": "8 chars!", "display_name": "Dave", "role": "admin" });
    assert_eq!(alice.post_json("/admin/people", dave).await, (200, json!({ "status": "added" })));
    let erin = json!({ "username": "erin", "password": "8 chars!" });
    assert_eq!(alice.post_json("/admin/people", erin).await.0, 200);
    assert_eq!(login(&server, "erin", "8 chars!").await.0, 200);

    let list = alice.read("/admin/people").await;
    assert_eq!(column(&list, "username"), ["alice", "bob", "carol", "dave@example.org", "erin"]);
    assert_eq!(keys(&list[0]), ["created_ts", "display_name", "issuer", "role", "sessions", "subject", "username"]);
    assert_eq!(column(&list, "role"), ["admin", "member", "member", "admin", "member"]);
    assert_eq!(column(&list, "display_name"), ["alice", "bob", "carol", "Dave", "erin"]);
    assert_eq!((&list[3]["sessions"], &list[4]["sessions"]), (&json!(0), &json!(1)));
    assert_eq!(column(&alice.read("/admin/people?after=bob&limit=2").await, "username"), ["carol", "dave@example.org"]);

    let path = "/admin/people/dave%40example.org";
    let changed = (200, json!({ "status": "changed" }));
    let display = alice.post_json(&format!("{path}/display_name"), json!({ "display_name": " D " })).await;
    assert_eq!(display, changed);
    assert_eq!(alice.post_json(&format!("{path}/role"), json!({ "role": "member" })).await, changed);
    assert_eq!(alice.post_json(&format!("{path}/password"), json!({ "password": "other chars" })).await, changed);
    assert_eq!(login(&server, "dave@example.org", "8 chars!").await.0, 401);
    assert_eq!(login(&server, "dave@example.org", "other chars").await.0, 200);
    let dave = &alice.read("/admin/people?after=carol&limit=1").await[0];
    assert_eq!((&dave["display_name"], &dave["role"]), (&json!("D"), &json!("member")));

    // A new password ends the sessions.
    assert_eq!(alice.post_json("/admin/people/carol/password", json!({ "password": "8 chars!" })).await, changed);
    assert_refused(&carol.get("/me").await, 401, "unauthorized");
    let removed = answer(alice.request(Method::DELETE, "/admin/people/carol")).await;
    assert_eq!(removed, (200, json!({ "status": "removed" })));
    assert_eq!(login(&server, "carol", "8 chars!").await.0, 401);
    server.assert_integrity();
}

#[tokio::test]
async fn mistakes_about_people_are_refused() {
    let Scene { server, alice, .. } = scene().await;
    let add = |body: Value| alice.posting_json("/admin/people", body);
    let change = |path: &str, body: Value| alice.posting_json(&format!("/admin/people/{path}"), body);
    for (request, status, code) in [
        (add(json!({ "username": "Alice", "password": "8 chars!" })), 409, "user_exists"),
        (add(json!({ "username": "a b", "password": "8 chars!" })), 400, "users_username_format"),
        (add(json!({ "username": "dave", "password": "7 chars" })), 400, "password_length"),
        (add(json!({ "username": "dave", "password": "x".repeat(1025) })), 400, "password_length"),
        (add(json!({ "username": "dave" })), 400, "bad_body"),
        (add(json!({ "username": "dave", "password": "8 chars!", "role": "owner" })), 400, "users_role_known"),
        (
            add(json!({ "username": "dave", "password": "8 chars!", "display_name": "" })),
            400,
            "users_display_name_format",
        ),
        (change("zoe/password", json!({ "password": "8 chars!" })), 404, "user_not_found"),
        (change("bob/password", json!({ "password": "" })), 400, "password_length"),
        (change("zoe/display_name", json!({ "display_name": "Zoe" })), 404, "user_not_found"),
        (change("bob/display_name", json!({ "display_name": null })), 400, "bad_body"),
        (change("zoe/role", json!({ "role": "admin" })), 404, "user_not_found"),
        (change("bob/role", json!({ "role": "owner" })), 400, "users_role_known"),
        // The registered spelling is the name.
        (alice.request(Method::DELETE, "/admin/people/Bob"), 404, "user_not_found"),
        (alice.request(Method::DELETE, "/admin/people/%ff"), 404, "user_not_found"),
        (alice.getting("/admin/people?limit=x"), 400, "bad_limit"),
    ] {
        server.assert_refuses(request, status, code).await;
    }
}

#[tokio::test]
async fn sessions_of_all_people_are_listed_and_revoked() {
    let Scene { server, alice, bob, .. } = scene().await;
    let second = server.person("bob");
    let list = alice.read("/admin/sessions").await;
    assert_eq!(keys(&list[0]), ["created_ts", "expires_ts", "id", "username"]);
    let ids = column(&list, "id");
    assert_eq!(ids.len(), 4);
    let mut pages = column(&alice.read("/admin/sessions?limit=3").await, "id");
    pages.extend(column(&alice.read(&format!("/admin/sessions?after={}", pages[2])).await, "id"));
    assert_eq!(pages, ids);

    let of_bob = alice.read("/admin/sessions?username=bob").await;
    assert_eq!(column(&of_bob, "username"), ["bob", "bob"]);
    for id in column(&of_bob, "id") {
        // The id is no token.
        let mut thief = bob.clone();
        thief.token.clone_from(&id);
        assert_refused(&thief.get("/me").await, 401, "unauthorized");
        let revoke = || alice.request(Method::DELETE, &format!("/admin/sessions/{id}"));
        assert_eq!(answer(revoke()).await, (200, json!({ "status": "revoked" })));
        server.assert_refuses(revoke(), 404, "session_not_found").await;
    }
    for session in [&bob, &second] {
        assert_refused(&session.get("/me").await, 401, "unauthorized");
    }
    let logged: String = server.value("SELECT max(subject) FROM command_log WHERE change = 'revoked session'");
    assert!(logged.ends_with(" of bob"), "{logged}");
    server.assert_refuses(alice.getting("/admin/sessions?username=zoe"), 404, "user_not_found").await;
}
