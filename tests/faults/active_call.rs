//! An active call of two people, and numbered writes to it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::TIMEOUT;
use crate::measure::Durations;
use crate::support::{EventStream, Person, Server, connect};

/// A server, and alice and bob on a call.
pub struct ActiveCall {
    pub server: Server,
    pub alice: Person,
    pub bob: Person,
    id: String,
}

/// The parts of a response that decide whether a client retries.
#[derive(Debug)]
pub struct Outcome {
    pub status: u16,
    pub code: String,
    pub retry_after: Option<u64>,
}

impl ActiveCall {
    /// Starts the call on `server`, with limits above what a test sends.
    pub async fn start(server: Server) -> Self {
        server.execute(
            "UPDATE settings SET value = highest WHERE name GLOB 'signals_per_call_max*'; \
             UPDATE settings SET value = 3600 WHERE name IN ('media_buffer_seconds', 'presence_timeout')",
        );
        let client = client_of(&server);
        let person = |name| {
            let Person { name, token, .. } = server.person(name);
            Person::with_client(name, token, server.url.clone(), client.clone())
        };
        let (alice, bob) = (person("alice"), person("bob"));
        let id = alice.call("dm:alice:bob").await;
        let call = Self { server, alice, bob, id };
        assert_eq!(call.bob.post(&call.path("accept")).await.0, 200);
        call
    }

    /// A path below this call.
    pub fn path(&self, action: &str) -> String {
        format!("/calls/{}/{action}", self.id)
    }

    /// Sends as alice.
    pub fn sender(&self) -> Sender {
        Sender { alice: self.alice.clone(), path: self.path("signal") }
    }

    /// The numbers stored in the file, in order, with duplicates.
    pub fn stored_numbers(&self) -> Vec<u64> {
        stored_numbers(&self.server.db())
    }

    /// Fails unless reads succeed: the call, its signals, lists of calls, and a new event stream.
    pub async fn assert_reads(&self) {
        assert_eq!(self.alice.read(&self.path("state")).await["state"], "active");
        assert_eq!(self.bob.read("/calls/incoming").await, json!([]));
        assert!(self.bob.read(&self.path("signals?after=0")).await.is_array());
        assert!(self.alice.read("/me").await["calls"].is_array());
        EventStream::open_with_snapshot(&self.bob).await;
    }
}

/// A client that trusts the server's certificate authority, if it has one.
fn client_of(server: &Server) -> Client {
    let ca = std::fs::read(server.folder.path().join("presence.db-authority.pem"));
    let builder = Client::builder();
    match ca {
        Ok(pem) => builder.add_root_certificate(Certificate::from_pem(&pem).unwrap()),
        Err(_) => builder,
    }
    .build()
    .unwrap()
}

/// The numbers stored in a file, in order, with duplicates.
pub fn stored_numbers(file: &Path) -> Vec<u64> {
    let sql = connect(file);
    let mut statement =
        sql.prepare("SELECT json_extract(payload, '$.number') AS number FROM call_signals ORDER BY number").unwrap();
    let numbers = statement.query_map([], |row| row.get::<_, u32>(0).map(u64::from)).unwrap();
    numbers.collect::<Result<_, _>>().unwrap()
}

/// The set of `numbers`. Fails if one of them is repeated.
pub fn unique(numbers: Vec<u64>) -> BTreeSet<u64> {
    let count = numbers.len();
    let unique: BTreeSet<u64> = numbers.into_iter().collect();
    assert_eq!(unique.len(), count, "a write was stored twice");
    unique
}

/// Sends numbers from alice to bob, each in a signal.
#[derive(Clone)]
pub struct Sender {
    alice: Person,
    path: String,
}

impl Sender {
    /// Sends a number, without a retry. An error means that there is no response.
    pub async fn send(&self, number: u64) -> reqwest::Result<Outcome> {
        let payload = json!({ "number": number, "candidate": "x".repeat(400) });
        let signal = json!({ "to": "bob", "type": "ice_candidate", "payload": payload });
        outcome(self.alice.posting_json(&self.path, signal)).await
    }
}

/// Sends a request whose response is JSON.
pub async fn outcome(request: RequestBuilder) -> reqwest::Result<Outcome> {
    let response = request.timeout(TIMEOUT).send().await?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
    let body: Value = response.json().await?;
    Ok(Outcome { status, code: body["code"].as_str().unwrap_or_default().to_owned(), retry_after })
}

/// The numbers that clients have sent, by outcome.
#[derive(Default)]
pub struct Sent {
    pub acknowledged: Vec<u64>,
    /// Answered with 503, because the server stops.
    pub refused: BTreeSet<u64>,
    /// Without a response or a connection.
    pub unanswered: BTreeSet<u64>,
}

/// Clients that send numbers until the server ends.
pub struct Clients(JoinSet<Sent>);

impl Clients {
    pub fn start(call: &ActiveCall, count: usize) -> Self {
        let numbers = Numbers::default();
        let mut clients = JoinSet::new();
        for _ in 0..count {
            let (sender, numbers) = (call.sender(), numbers.clone());
            clients.spawn(async move {
                let mut sent = Sent::default();
                loop {
                    let number = numbers.next();
                    match sender.send(number).await {
                        Ok(outcome) if outcome.status == 200 => sent.acknowledged.push(number),
                        Ok(outcome) => {
                            assert_eq!((outcome.status, outcome.code.as_str()), (503, "stopping"));
                            sent.refused.insert(number);
                        }
                        Err(_) => {
                            sent.unanswered.insert(number);
                            return sent;
                        }
                    }
                }
            });
        }
        Self(clients)
    }

    /// Waits for the end of the server.
    pub async fn join(self) -> Sent {
        let mut all = Sent::default();
        for sent in self.0.join_all().await {
            all.acknowledged.extend(sent.acknowledged);
            all.refused.extend(sent.refused);
            all.unanswered.extend(sent.unanswered);
        }
        all
    }
}

/// A counter that is shared by clones.
#[derive(Clone, Default)]
pub struct Numbers(Arc<AtomicU64>);

impl Numbers {
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
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
