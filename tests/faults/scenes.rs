//! The scene of the tests: two people on a call, and numbered writes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::TIMEOUT;
use crate::measure::Durations;
use crate::support::{Person, Server, connect};

/// A server, and alice and bob on a call.
pub struct Talk {
    pub server: Server,
    pub alice: Person,
    pub bob: Person,
    pub call: String,
}

/// The parts of a response that matter to a client that may retry.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub code: String,
    pub retry_after: Option<u64>,
}

impl Talk {
    /// On `server`, with limits that hold everything that a test sends.
    pub async fn on(server: Server) -> Self {
        server.execute(
            "UPDATE settings SET value = 100000 WHERE name = 'signals_per_call_max'; \
             UPDATE settings SET value = 3600 WHERE name IN ('media_buffer_seconds', 'presence_timeout')",
        );
        let client = client_of(&server);
        let person = |name| {
            let Person { name, token, .. } = server.person(name);
            Person::with_client(name, token, server.url.clone(), client.clone())
        };
        let (alice, bob) = (person("alice"), person("bob"));
        let call = alice.call("dm:alice:bob").await;
        assert_eq!(bob.post(&format!("/calls/{call}/accept")).await.0, 200);
        Self { server, alice, bob, call }
    }

    /// A path of this call.
    pub fn path(&self, what: &str) -> String {
        format!("/calls/{}/{what}", self.call)
    }

    /// A sender of alice's numbers.
    pub fn sender(&self) -> Sender {
        Sender { alice: self.alice.clone(), path: self.path("signal") }
    }

    /// The numbers stored in the file, in order, with duplicates.
    pub fn stored(&self) -> Vec<u64> {
        stored(&self.server.db())
    }

    /// Fails unless reading works: the state of the call, what has been stored, and a new stream.
    pub async fn assert_reads(&self) {
        assert_eq!(self.alice.read(&self.path("state")).await["state"], "active");
        assert_eq!(self.bob.read("/calls/incoming").await, json!([]));
        assert!(self.bob.read(&self.path("signals?after=0")).await.is_array());
        assert!(self.alice.read("/me").await["calls"].is_array());
        Stream::open(&self.bob).await;
    }
}

/// A client that trusts the server's own authority, if it has one.
fn client_of(server: &Server) -> Client {
    let authority = std::fs::read(server.folder.path().join("presence.db-authority.pem"));
    let builder = Client::builder();
    match authority {
        Ok(pem) => builder.add_root_certificate(Certificate::from_pem(&pem).unwrap()),
        Err(_) => builder,
    }
    .build()
    .unwrap()
}

/// The numbers stored in a file, in order, with duplicates.
pub fn stored(file: &Path) -> Vec<u64> {
    let sql = connect(file);
    let mut statement =
        sql.prepare("SELECT json_extract(payload, '$.number') AS number FROM call_signals ORDER BY number").unwrap();
    let numbers = statement.query_map([], |row| row.get::<_, u32>(0).map(u64::from)).unwrap();
    numbers.collect::<Result<_, _>>().unwrap()
}

/// The set of `numbers`. Panics if one is there twice.
pub fn each_once(numbers: Vec<u64>) -> BTreeSet<u64> {
    let count = numbers.len();
    let once: BTreeSet<u64> = numbers.into_iter().collect();
    assert_eq!(once.len(), count, "a write was done twice");
    once
}

/// Sends numbers from alice to bob, each in a signal.
#[derive(Clone)]
pub struct Sender {
    alice: Person,
    path: String,
}

impl Sender {
    /// Sends a number once; an error if there was no response.
    pub async fn send(&self, number: u64) -> reqwest::Result<Answered> {
        let payload = json!({ "number": number, "candidate": "x".repeat(400) });
        answered(
            self.alice.posting_json(&self.path, json!({ "to": "bob", "type": "ice_candidate", "payload": payload })),
        )
        .await
    }
}

/// Sends a request whose response is JSON.
pub async fn answered(request: RequestBuilder) -> reqwest::Result<Answered> {
    let response = request.timeout(TIMEOUT).send().await?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
    let body: Value = response.json().await?;
    Ok(Answered { status, code: body["code"].as_str().unwrap_or_default().to_owned(), retry_after })
}

/// A counter that is shared by clones.
#[derive(Clone, Default)]
pub struct Numbers(Arc<AtomicU64>);

impl Numbers {
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// A stream of server-sent events.
pub struct Stream {
    response: Response,
    received: String,
}

impl Stream {
    /// Opens a stream and reads its snapshot.
    pub async fn open(person: &Person) -> Self {
        let response = person.getting("/events").send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut stream = Self { response, received: String::new() };
        stream.reads_until("event:snapshot").await;
        stream
    }

    /// Reads until the stream contains `what`.
    pub async fn reads_until(&mut self, what: &str) {
        let reading = async {
            while !self.received.contains(what) {
                let chunk = self.response.chunk().await.unwrap().expect("the stream ended");
                self.received.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        tokio::time::timeout(TIMEOUT, reading).await.unwrap_or_else(|_| panic!("the stream has no {what}"));
    }
}

/// Reads every ten milliseconds for `duration` and measures. Every read must succeed.
pub async fn measure_reads(person: &Person, path: &str, duration: Duration) -> Durations {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let mut measured = Durations::new();
    while begun.elapsed() < duration {
        ticks.tick().await;
        let sent = Instant::now();
        person.read(path).await;
        measured.add(sent.elapsed());
    }
    measured
}
