//! HTTP/2 over TLS.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::{Certificate, Client, Version};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{EventStream, Person, Server};

/// A server with HTTPS, and a client with one connection to it.
fn start() -> (Server, Client) {
    let server = Server::start_in(TempDir::new().unwrap(), &["--tls-self-signed"]);
    // All that the tests do fits into one connection.
    server.execute("UPDATE settings SET value = 1 WHERE name = 'connections_per_address'");
    let client = client_of(&server);
    (server, client)
}

fn client_of(server: &Server) -> Client {
    let ca = std::fs::read(server.folder.path().join("presence.db-authority.pem")).unwrap();
    Client::builder().add_root_certificate(Certificate::from_pem(&ca).unwrap()).build().unwrap()
}

fn person(server: &Server, client: &Client, name: &str) -> Person {
    let person = server.person(name);
    Person::with_client(person.name, person.token, server.url.clone(), client.clone())
}

#[tokio::test]
async fn twenty_windows_share_one_connection() {
    let (server, client) = start();
    let (alice, bob) = (person(&server, &client, "alice"), person(&server, &client, "bob"));
    let response = alice.getting("/me").send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_2));
    let mut windows = Vec::new();
    for _ in 0..20 {
        windows.push(EventStream::open_with_snapshot(&bob).await.0);
    }
    alice.call("dm:alice:bob").await;
    for window in &mut windows {
        window.expect_data("dm:alice:bob").await;
    }
    // Another connection of the address is refused, so all this was one.
    assert!(client_of(&server).get(format!("{}/healthz", server.url)).send().await.is_err());
}

#[tokio::test]
async fn clients_of_http_1_1_are_served() {
    let (server, _) = start();
    let ca = std::fs::read(server.folder.path().join("presence.db-authority.pem")).unwrap();
    let client =
        Client::builder().add_root_certificate(Certificate::from_pem(&ca).unwrap()).http1_only().build().unwrap();
    let response = client.get(format!("{}/healthz", server.url)).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, Version::HTTP_11));
}

#[tokio::test]
async fn the_authority_is_the_host() {
    let (server, client) = start();
    let alice = person(&server, &client, "alice");
    server.person("bob");
    let call = |origin: &str| {
        client
            .post(format!("{}/calls/initiate", server.url))
            .header("cookie", format!("session={}", alice.token))
            .header("origin", origin)
            .json(&json!({ "channel": "dm:alice:bob" }))
            .send()
    };
    let refused = call("https://evil.example").await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.version()), (403, Version::HTTP_2));
    assert_eq!(call(&server.url).await.unwrap().status(), 200);
}

#[tokio::test]
async fn media_goes_both_ways() {
    let (server, client) = start();
    let (alice, bob) = (person(&server, &client, "alice"), person(&server, &client, "bob"));
    let call = alice.call("dm:alice:bob").await;
    assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
    let path = format!("/calls/{call}/media");
    assert_eq!(alice.post_bytes(&path, vec![7; 4 << 20]).await.0, 200);
    let (status, refused) = alice.post_bytes(&path, vec![7; (4 << 20) + 1]).await;
    assert_eq!((status, refused["code"].as_str()), (413, Some("media_chunk_too_large")));
    let media = bob.read(&format!("{path}?sender=alice")).await;
    assert_eq!(media["chunks"][0]["data"].as_str().unwrap().len(), (4_usize << 20).div_ceil(3) * 4);
}

#[tokio::test]
async fn a_head_has_a_size_limit() {
    let (server, client) = start();
    let alice = person(&server, &client, "alice");
    let large = alice.getting("/me").header("x-large", "x".repeat(40_000)).send().await;
    assert!(large.is_err() || large.is_ok_and(|response| response.status() == 431));
    assert_eq!(alice.get("/me").await.0, 200, "the connection serves other requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_ends_streams() {
    let (server, client) = start();
    let alice = person(&server, &client, "alice");
    let (mut stream, _) = EventStream::open_with_snapshot(&alice).await;
    let begun = Instant::now();
    let stopped = tokio::task::spawn_blocking(move || server.stop(Signal::SIGTERM).1);
    assert!(stream.next().await.is_none());
    assert!(stopped.await.unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(4), "the server waited for the connection");
}
