//! Where the tests begin: two people on a call, and writes that can be told from each other.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::measure::Durations;
use crate::support::{Person, Server, connect};

/// A server, and alice and bob on a call.
pub struct Talk {
    pub server: Server,
    pub alice: Person,
    pub bob: Person,
    pub call: String,
}

/// What came back, as far as it matters to whoever may have to try again.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub code: String,
    pub retry_after: Option<u64>,
}

impl Talk {
    /// On a server of its own, with room for everything that a test sends.
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

    /// Who sends alice's numbers.
    pub fn sender(&self) -> Sender {
        Sender { alice: self.alice.clone(), path: self.path("signal") }
    }

    /// The numbers that the file has, in order; the same one twice if it is there twice.
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

/// The numbers that a file has.
pub fn stored(file: &Path) -> Vec<u64> {
    let sql = connect(file);
    let mut statement =
        sql.prepare("SELECT json_extract(payload, '$.number') AS number FROM call_signals ORDER BY number").unwrap();
    let numbers = statement.query_map([], |row| row.get::<_, u32>(0).map(u64::from)).unwrap();
    numbers.collect::<Result<_, _>>().unwrap()
}

/// The same numbers, each of which must be there once.
pub fn each_once(numbers: Vec<u64>) -> BTreeSet<u64> {
    let count = numbers.len();
    let once: BTreeSet<u64> = numbers.into_iter().collect();
    assert_eq!(once.len(), count, "something was done twice");
    once
}

/// Sends bob signals with a number from alice.
#[derive(Clone)]
pub struct Sender {
    alice: Person,
    path: String,
}

impl Sender {
    /// Sends a number, once; an error if there was no answer.
    pub async fn send(&self, number: u64) -> reqwest::Result<Answered> {
        let payload = json!({ "number": number, "candidate": "x".repeat(400) });
        answered(
            self.alice.posting_json(&self.path, json!({ "to": "bob", "type": "ice_candidate", "payload": payload })),
        )
        .await
    }
}

/// Sends a request whose answer is JSON.
pub async fn answered(request: RequestBuilder) -> reqwest::Result<Answered> {
    let response = request.timeout(PATIENCE).send().await?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
    let body: Value = response.json().await?;
    Ok(Answered { status, code: body["code"].as_str().unwrap_or_default().to_owned(), retry_after })
}

/// Numbers that are each given once.
#[derive(Clone, Default)]
pub struct Numbers(Arc<AtomicU64>);

impl Numbers {
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Somebody's stream of server-sent events.
pub struct Stream {
    response: Response,
    heard: String,
}

impl Stream {
    /// Opens a stream and reads the picture that it begins with.
    pub async fn open(person: &Person) -> Self {
        let response = person.getting("/events").send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut stream = Self { response, heard: String::new() };
        stream.hears("event:snapshot").await;
        stream
    }

    /// Reads until it hears of something.
    pub async fn hears(&mut self, what: &str) {
        let reading = async {
            while !self.heard.contains(what) {
                let chunk = self.response.chunk().await.unwrap().expect("the stream goes on");
                self.heard.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("nothing was heard of {what}"));
    }
}

/// Reads for so long, a request every ten milliseconds, and measures them. Every one has to succeed.
pub async fn measure_reads(person: &Person, path: &str, how_long: Duration) -> Durations {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let mut measured = Durations::new();
    while begun.elapsed() < how_long {
        ticks.tick().await;
        let sent = Instant::now();
        person.read(path).await;
        measured.add(sent.elapsed());
    }
    measured
}
