//! `/push`: the key of the server, and the subscriptions of browsers. `push_deliveries` covers what is sent.

use reqwest::Method;
use serde_json::{Value, json};

use crate::scenes::{Scene, keys as members};
use crate::support::{Server, answer};

/// The keys of a browser, for endpoints that nothing is sent to.
pub fn keys() -> Value {
    json!({ "p256dh": format!("BP{}", "a".repeat(85)), "auth": "a".repeat(22) })
}

fn subscription(name: &str) -> Value {
    json!({ "endpoint": format!("https://push.example.org/{name}"), "keys": keys() })
}

/// The sessions and endpoints of all subscriptions.
fn subscriptions(server: &Server) -> String {
    server.value(
        "SELECT coalesce(group_concat(username || ' ' || endpoint), '') \
         FROM (SELECT * FROM push_subscriptions ORDER BY endpoint)",
    )
}

fn server_with_push() -> Server {
    let server = Server::start();
    server.execute("INSERT INTO set_setting (name, value) VALUES ('web_push', 1)");
    server
}

#[tokio::test]
async fn the_key_is_made_once_and_stays_secret() {
    let server = Server::start();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    server.execute("INSERT INTO set_role (username, role) VALUES ('alice', 'admin')");
    let key = || server.value::<String>("SELECT value FROM settings WHERE name = 'web_push_key'");
    assert_eq!(alice.read("/push").await, json!({ "public_key": null }));
    let refused = || alice.posting_json("/push/subscriptions", subscription("1"));
    server.assert_refuses(refused(), 409, "web_push_is_off").await;
    assert_eq!(key(), "", "nothing is made for what is off");

    server.run(&["setting", "set", "web_push", "1"], "");
    let (one, other) = tokio::join!(alice.read("/push"), bob.read("/push"));
    assert_eq!(one, other);
    assert_eq!(alice.read("/push").await, one);
    let public = one["public_key"].as_str().unwrap();
    assert!(public.len() == 87 && public.starts_with('B'), "a point of P-256: {public}");
    let shown = alice.read("/admin/settings?after=web_push_contact&limit=1").await;
    assert_eq!((&shown[0]["name"], &shown[0]["value"]), (&json!("web_push_key"), &json!("(hidden)")));
    for command in [&["setting", "list"][..], &["setting", "get", "web_push_key"], &["setting", "list", "--json"]] {
        assert!(!server.run(command, "").contains(&key()), "{command:?}");
    }

    // Another key is for other subscriptions.
    assert_eq!(alice.post_json("/push/subscriptions", subscription("1")).await.0, 200);
    server.run(&["setting", "reset", "web_push_key"], "");
    assert_eq!(subscriptions(&server), "");
    assert_ne!(alice.read("/push").await, one);
    server.execute("INSERT INTO set_setting (name, value) VALUES ('web_push_key', 'no key')");
    let (status, body) = alice.get("/push").await;
    assert_eq!((status, &body["code"]), (500, &json!("internal")));
}

#[tokio::test]
async fn a_subscription_belongs_to_a_session() {
    let server = server_with_push();
    let (alice, bob, phone) = (server.person("alice"), server.person("bob"), server.person("bob"));
    let (status, added) = bob.post_json("/push/subscriptions", subscription("1")).await;
    assert_eq!((status, members(&added), &added["status"]), (200, vec!["id", "status"], &json!("added")));
    let rows = server.rows();
    assert_eq!(bob.post_json("/push/subscriptions", subscription("1")).await, (200, added.clone()));
    assert_eq!(server.rows(), rows, "again it changes nothing");
    assert_eq!(phone.post_json("/push/subscriptions", subscription("2")).await.0, 200);
    assert_eq!(subscriptions(&server), "bob https://push.example.org/1,bob https://push.example.org/2");

    // It ends with the session, and is another person's when they sign in there.
    assert_eq!(phone.post("/logout").await.0, 200);
    assert_eq!(subscriptions(&server), "bob https://push.example.org/1");
    assert_eq!(alice.post_json("/push/subscriptions", subscription("1")).await, (200, added.clone()));
    assert_eq!(subscriptions(&server), "alice https://push.example.org/1");

    let path = format!("/push/subscriptions/{}", added["id"].as_str().unwrap());
    let removing = |path: &str| alice.request(Method::DELETE, path);
    server.assert_refuses(bob.request(Method::DELETE, &path), 404, "push_subscription_not_found").await;
    server.assert_refuses(removing("/push/subscriptions/none"), 404, "push_subscription_not_found").await;
    assert_eq!(answer(removing(&path)).await, (200, json!({ "status": "removed" })));
    server.assert_refuses(removing(&path), 404, "push_subscription_not_found").await;

    // And with the person, and when an admin turns all off.
    for (end, name) in [("remove_user (username) VALUES ('bob')", "3"), ("set_setting VALUES ('web_push', 0)", "4")] {
        let person = if name == "3" { &bob } else { &alice };
        assert_eq!(person.post_json("/push/subscriptions", subscription(name)).await.0, 200);
        server.execute(&format!("INSERT INTO {end}"));
        assert_eq!(subscriptions(&server), "");
    }
    server.assert_integrity();
}

#[tokio::test]
async fn the_oldest_browsers_of_a_person_make_way() {
    let server = server_with_push();
    server.execute("INSERT INTO set_setting (name, value) VALUES ('push_subscriptions_per_person', 2)");
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    for (person, name) in [(&alice, "0"), (&bob, "1"), (&bob, "2"), (&bob, "3")] {
        assert_eq!(person.post_json("/push/subscriptions", subscription(name)).await.0, 200);
    }
    let kept = ["alice https://push.example.org/0", "bob https://push.example.org/2", "bob https://push.example.org/3"];
    assert_eq!(subscriptions(&server), kept.join(","));
}

#[tokio::test]
async fn bad_subscriptions_and_guests_are_refused() {
    let scene = Scene::active().await;
    let Scene { server, alice, bob, .. } = &scene;
    server.execute("INSERT INTO set_setting (name, value) VALUES ('web_push', 1)");
    for (endpoint, code) in [
        ("http://push.example.org/1", "push_subscriptions_endpoint_format"),
        ("https://me@push.example.org/1", "push_subscriptions_endpoint_format"),
        ("https://push.example.org/\u{e4}", "push_subscriptions_endpoint_format"),
        ("file:///etc/passwd", "push_subscriptions_endpoint_format"),
        ("", "push_subscriptions_endpoint_format"),
    ] {
        let body = json!({ "endpoint": endpoint, "keys": keys() });
        server.assert_refuses(alice.posting_json("/push/subscriptions", body), 400, code).await;
    }
    for body in
        [json!({}), json!({ "endpoint": "https://push.example.org/1" }), json!({ "endpoint": 1, "keys": keys() })]
    {
        server.assert_refuses(alice.posting_json("/push/subscriptions", body), 400, "bad_body").await;
    }
    let guest = server.guest(&scene.link("dm:alice:bob").await, "Gwen").await;
    let request = guest.posting_json("/push/subscriptions", subscription("1"));
    server.assert_refuses(request, 403, "guest_may_not").await;
    assert_eq!(subscriptions(server), "");
    assert_eq!(bob.post_json("/push/subscriptions", subscription("1")).await.0, 200);
}
