//! Web Push: what push services get of calls that ring, by a service on loopback that decrypts it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::push_service::PushService;
use crate::support::Server;

const SOON: Duration = Duration::from_secs(20);

const NOTHING_WAITS: &str = "SELECT count(*) = 0 FROM push_deliveries";

fn header<'a>(request: &'a Value, name: &str) -> &'a str {
    request["headers"][name].as_str().unwrap_or_else(|| panic!("{name} of {request}"))
}

#[tokio::test]
async fn a_ring_and_its_end_are_pushed_encrypted_and_signed() {
    let service = PushService::start();
    let server = service.server();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    server.execute("INSERT INTO set_display_name (username, display_name) VALUES ('alice', 'Alice Liddell')");
    service.subscribe(&bob, "201", "bob").await;
    let call = alice.call("dm:alice:bob").await;
    service.expect("bob", &["ring"]).await;
    assert_eq!(alice.post(&format!("/calls/{call}/end")).await.0, 200);
    let requests = service.expect("bob", &["ring", "missed"]).await;

    let message = |kind: &str| json!({ "kind": kind, "call_id": call, "caller": "Alice Liddell", "title": null });
    assert_eq!(requests[0]["message"], message("ring"));
    assert_eq!(requests[1]["message"], message("missed"));
    // The service sees the same of both, besides when they come and how long they are of use.
    assert_eq!(requests[0]["length"], requests[1]["length"]);
    let key = &bob.read("/push").await["public_key"];
    let now: f64 = server.value("SELECT ts FROM now");
    for (request, times) in requests.iter().zip([1..=30, 86_000..=86_400]) {
        assert!(times.contains(&header(request, "ttl").parse::<i32>().unwrap()), "{request}");
        assert_eq!(header(request, "urgency"), "high");
        assert_eq!(header(request, "content-encoding"), "aes128gcm");
        assert_eq!(
            header(request, "topic"),
            header(&requests[0], "topic"),
            "the later one takes the place of the first"
        );
        assert_eq!(header(request, "topic").len(), 32);
        assert_eq!(&request["key"], key);
        assert_eq!(request["claims"]["sub"], "mailto:admin@example.org");
        let lifetime = request["claims"]["exp"].as_f64().unwrap() - now;
        assert!((1.0..86_400.0).contains(&lifetime), "{request}");
    }
    server.eventually(NOTHING_WAITS, SOON).await;
    server.assert_integrity();
}

#[tokio::test]
async fn a_ring_in_a_channel_names_it_and_its_end_elsewhere_takes_it_away() {
    let service = PushService::start();
    let server = service.server();
    let (alice, bob, carol) = (server.person("alice"), server.person("bob"), server.person("carol"));
    let (phone, tablet) = (server.person("bob"), server.person("bob"));
    service.subscribe(&phone, "201", "phone").await;
    service.subscribe(&tablet, "201", "tablet").await;
    service.subscribe(&carol, "201", "carol").await;
    let channel = server.private_channel(&["alice", "bob", "carol"]);
    let title: String = server.value("SELECT name FROM private_channels");
    let call = alice.call(&channel).await;
    for browser in ["phone", "tablet", "carol"] {
        let requests = service.expect(browser, &["ring"]).await;
        assert_eq!(requests[0]["message"]["title"], json!(title));
    }
    // Answered in a browser without a subscription, and declined in one with.
    assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
    service.expect("phone", &["ring", "answered"]).await;
    service.expect("tablet", &["ring", "answered"]).await;
    assert_eq!(carol.post(&format!("/calls/{call}/reject")).await.0, 200);

    // The next call shows that nothing more came of this one: for carol, not even that she has declined.
    assert_eq!(alice.post(&format!("/calls/{call}/end")).await.0, 200);
    let next = alice.call(&channel).await;
    service.expect("carol", &["ring", "ring"]).await;
    service.expect("phone", &["ring", "answered", "ring"]).await;
    assert_eq!(phone.post(&format!("/calls/{next}/reject")).await.0, 200);
    service.expect("tablet", &["ring", "answered", "ring", "declined"]).await;
    assert_eq!(alice.post(&format!("/calls/{next}/end")).await.0, 200);
    service.expect("carol", &["ring", "ring", "missed"]).await;
    assert_eq!(service.received("phone").len(), 3);
    server.eventually(NOTHING_WAITS, SOON).await;
    server.assert_integrity();
}

#[tokio::test]
async fn a_subscription_that_is_gone_is_removed() {
    let service = PushService::start();
    let server = service.server();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    for status in ["404", "410"] {
        service.subscribe(&bob, status, status).await;
    }
    service.subscribe(&bob, "201", "stays").await;
    let call = alice.call("dm:alice:bob").await;
    for browser in ["404", "410", "stays"] {
        service.expect(browser, &["ring"]).await;
    }
    server.eventually("SELECT count(*) = 1 FROM push_subscriptions", SOON).await;
    assert_eq!(alice.post(&format!("/calls/{call}/end")).await.0, 200);
    service.expect("stays", &["ring", "missed"]).await;
    for browser in ["404", "410"] {
        assert_eq!(service.received(browser).len(), 1, "{browser}");
    }
    server.assert_integrity();
}

#[tokio::test]
async fn a_ring_is_retried_while_it_rings() {
    let service = PushService::start();
    let server = service.server();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    service.subscribe(&bob, "503-429-201", "busy").await;
    service.subscribe(&bob, "500", "broken").await;
    service.subscribe(&bob, "400", "refuses").await;
    let call = alice.call("dm:alice:bob").await;
    service.expect("busy", &["ring", "ring", "ring"]).await;
    server.eventually("SELECT max(attempts) >= 2 FROM push_deliveries WHERE kind = 'ring'", SOON).await;
    // Answered in this session: nothing more is sent, neither that it rings nor that it was answered.
    assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
    assert_eq!(server.value::<i64>("SELECT count(*) FROM push_deliveries"), 0);
    let attempts = service.received("broken").len();
    assert_eq!(alice.post(&format!("/calls/{call}/end")).await.0, 200);
    let next = alice.call("dm:alice:bob").await;
    // An attempt that was under way may have been noted after the answer.
    service.expect("refuses", &["ring", "ring"]).await;
    let broken = service.received("broken");
    let of_first = broken.iter().filter(|request| request["message"]["call_id"] == json!(call)).count();
    assert!(of_first <= attempts + 1, "{of_first} attempts, {attempts} before the answer");
    assert_eq!(alice.post(&format!("/calls/{next}/end")).await.0, 200);
    server.assert_integrity();
}

#[tokio::test]
async fn private_addresses_need_a_setting() {
    let service = PushService::start();
    let server = service.server();
    server.execute("INSERT INTO set_setting (name, value) VALUES ('web_push_allow_private', 0)");
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    service.subscribe(&bob, "201", "bob").await;
    alice.call("dm:alice:bob").await;
    server.eventually("SELECT count(*) = 0 FROM push_subscriptions", SOON).await;
    assert_eq!(service.received("bob"), Vec::<Value>::new());
}

/// The log names neither the address of a browser, which anybody could send to, nor the private key.
#[tokio::test]
async fn the_log_has_no_secrets() {
    let service = PushService::start();
    let folder = tempfile::TempDir::new().unwrap();
    let log = folder.path().join("log");
    let server = Server::start_logging(tempfile::TempDir::new().unwrap(), &log);
    server.execute("INSERT INTO set_setting (name, value) VALUES ('web_push', 1), ('web_push_allow_private', 1)");
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let id = service.subscribe(&bob, "201", "a-secret-address").await;
    alice.call("dm:alice:bob").await;
    // The server does not trust the certificate.
    server.eventually("SELECT max(attempts) >= 1 FROM push_deliveries", SOON).await;
    let logged = std::fs::read_to_string(&log).unwrap();
    assert!(logged.contains(&id), "{logged}");
    let key: String = server.value("SELECT value FROM settings WHERE name = 'web_push_key'");
    assert!(key.len() > 100);
    assert!(!logged.contains("a-secret-address") && !logged.contains(&key), "{logged}");
}
