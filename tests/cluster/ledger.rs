//! A ledger of what clients were answered, while members fail, and its comparison with the members' files.
//!
//! Each client sends one write after the other, and turns to the next member when it gets no success. What was acknowledged
//! has to be in every file, once; what was refused with `no_leader` in none; the rest may be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::TIMEOUT;
use crate::cluster::{Cluster, Login, wait_for};
use crate::support::{Person, Server};

/// Clients at a time.
pub const CLIENTS: usize = 6;

/// How long a client waits for a member.
const PATIENCE: Duration = Duration::from_secs(8);

/// A client's call to a third person after so many signals.
const SIGNALS_PER_CALL: u64 = 10;

/// Nothing that the clients do comes to a limit, or is deleted while a test runs.
pub fn prepare(server: &Server) -> Vec<[Login; 4]> {
    server.lift_limits();
    server.execute(
        "UPDATE settings SET value = 3600 WHERE name IN ('ringing_timeout', 'presence_timeout', 'media_buffer_seconds');
         UPDATE settings SET value = highest WHERE name GLOB 'signals_per_call_max*' OR name = 'events_max_count'",
    );
    let person = |role: &str, client: usize| Login::prepare(server, &format!("{role}{client}"));
    (0..CLIENTS).map(|client| ["sender", "reader", "caller", "callee"].map(|role| person(role, client))).collect()
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Done(Value),
    /// A rule refused it, with this code.
    Refused(String),
    /// 503: it is not done.
    NotDone,
    /// 504, or no response: it may be done.
    Unknown,
}

/// Sends a request. Fails if the response is one that no cluster may give.
pub async fn send(request: RequestBuilder) -> Outcome {
    let Ok(response) = request.timeout(PATIENCE).send().await else { return Outcome::Unknown };
    let status = response.status().as_u16();
    let Ok(body) = response.json::<Value>().await else { return Outcome::Unknown };
    let code = body["code"].as_str().unwrap_or_default();
    match (status, code) {
        (200, _) => Outcome::Done(body),
        (503, "no_leader" | "stopping") => Outcome::NotDone,
        (504, "outcome_unknown") => Outcome::Unknown,
        (404 | 409, _) => Outcome::Refused(code.to_owned()),
        _ => panic!("a cluster answered {status} {body}"),
    }
}

/// What a client was answered. A signal is the call, and its number there.
#[derive(Debug, Default)]
pub struct Ledger {
    acknowledged: BTreeSet<(String, u64)>,
    refused: BTreeSet<(String, u64)>,
    unknown: BTreeSet<(String, u64)>,
    started: BTreeSet<String>,
    ended: BTreeSet<String>,
}

impl Ledger {
    fn merge(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.refused.extend(other.refused);
        self.unknown.extend(other.unknown);
        self.started.extend(other.started);
        self.ended.extend(other.ended);
    }

    /// The acknowledged writes.
    pub fn len(&self) -> usize {
        self.acknowledged.len() + self.started.len() + self.ended.len()
    }

    /// How many were not done, and how many perhaps.
    pub fn failed(&self) -> (usize, usize) {
        (self.refused.len(), self.unknown.len())
    }

    /// Fails unless every running member's file has what it should, and all are equal.
    pub fn check(&self, cluster: &Cluster) {
        cluster.assert_equal();
        for node in cluster.nodes() {
            let sql = cluster.connect(node);
            let mut signals =
                sql.prepare("SELECT call_id, payload ->> '$.number' FROM call_signals WHERE call_id IN (SELECT call_id FROM calls)").unwrap();
            let signals =
                signals.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))).unwrap();
            let signals: Vec<(String, u64)> = signals.collect::<Result<_, _>>().unwrap();
            let stored: BTreeSet<_> = signals.iter().cloned().collect();
            assert_eq!(stored.len(), signals.len(), "member {node} has a signal twice");
            let lost: Vec<_> = self.acknowledged.difference(&stored).collect();
            assert!(lost.is_empty(), "member {node} has lost {} acknowledged signals: {lost:?}", lost.len());
            let done: Vec<_> = self.refused.intersection(&stored).collect();
            assert!(done.is_empty(), "member {node} has signals that were refused: {done:?}");
            let unexpected: Vec<_> = stored
                .iter()
                .filter(|signal| !self.acknowledged.contains(signal) && !self.unknown.contains(signal))
                .collect();
            assert!(unexpected.is_empty(), "member {node} has signals that nobody sent: {unexpected:?}");

            let mut calls = sql.prepare("SELECT call_id, state FROM calls").unwrap();
            let calls = calls.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            let calls: BTreeMap<String, String> = calls.collect::<Result<_, _>>().unwrap();
            let lost: Vec<_> = self.started.iter().filter(|call| !calls.contains_key(*call)).collect();
            assert!(lost.is_empty(), "member {node} has lost calls: {lost:?}");
            let live: Vec<_> = self.ended.iter().filter(|call| calls[*call] != "ended").collect();
            assert!(live.is_empty(), "member {node} has lost the ends of calls: {live:?}");
        }
    }
}

/// What the clients of a test share.
#[derive(Default)]
struct Progress {
    stop: AtomicBool,
    /// When each acknowledged write began and when it was acknowledged.
    done: Mutex<Vec<(Instant, Instant)>>,
}

/// Clients that write until they are stopped.
pub struct Clients {
    progress: Arc<Progress>,
    tasks: Vec<JoinHandle<Ledger>>,
}

impl Clients {
    /// Starts the clients of [`prepare`], each at another member.
    pub async fn start(cluster: &Cluster, people: &[[Login; 4]]) -> Self {
        let progress = Arc::<Progress>::default();
        let mut tasks = Vec::new();
        for (number, logins) in people.iter().enumerate() {
            let mut members = cluster.nodes();
            let count = members.len();
            members.rotate_left(number % count);
            let at = |login| members.iter().map(|node| cluster.at(*node, login)).collect::<Vec<_>>();
            let [senders, readers, callers, callees] = logins.each_ref().map(at);
            let channel = format!("dm:{}:{}", logins[0].name, logins[1].name);
            let call = senders[0].call(&channel).await;
            assert_eq!(readers[0].post(&format!("/calls/{call}/accept")).await.0, 200);
            let client = Client {
                senders,
                callers,
                reader: logins[1].name.clone(),
                call,
                channel: format!("dm:{}:{}", callees[0].name, logins[2].name),
                member: 0,
                progress: Arc::clone(&progress),
                ledger: Ledger::default(),
            };
            tasks.push(tokio::spawn(client.run()));
        }
        Self { progress, tasks }
    }

    /// Waits until a write that began after `since` is acknowledged, and returns how long after.
    pub fn wait_for_acknowledgement(&self, since: Instant) -> Duration {
        wait_for(TIMEOUT, "acknowledged write", || {
            let done = self.progress.done.lock().unwrap();
            let first = done.iter().filter(|(begun, _)| *begun >= since).map(|(_, acknowledged)| *acknowledged).min();
            first.map(|first| first - since)
        })
    }

    /// Waits until `count` more writes are acknowledged.
    pub fn wait_for_more(&self, count: usize) {
        let before = self.progress.done.lock().unwrap().len();
        wait_for(TIMEOUT, "number of acknowledged writes", || {
            assert!(self.tasks.iter().all(|task| !task.is_finished()), "a client failed");
            (self.progress.done.lock().unwrap().len() >= before + count).then_some(())
        });
    }

    /// Stops the clients, and returns what they were answered.
    pub async fn stop(self) -> Ledger {
        self.progress.stop.store(true, Relaxed);
        let mut ledger = Ledger::default();
        for task in self.tasks {
            ledger.merge(task.await.unwrap());
        }
        ledger
    }
}

struct Client {
    /// The sender at each member, and the caller.
    senders: Vec<Person>,
    callers: Vec<Person>,
    reader: String,
    /// The call in which the sender signals.
    call: String,
    /// The channel in which the caller calls.
    channel: String,
    /// The position of the member that the client uses.
    member: usize,
    progress: Arc<Progress>,
    ledger: Ledger,
}

impl Client {
    async fn run(mut self) -> Ledger {
        let mut number = 0;
        while !self.progress.stop.load(Relaxed) {
            if number % SIGNALS_PER_CALL == 0 {
                self.short_call().await;
            }
            self.signal(number).await;
            number += 1;
        }
        self.ledger
    }

    async fn signal(&mut self, number: u64) {
        let body = json!({ "to": self.reader, "type": "offer", "payload": { "number": number } });
        let path = format!("/calls/{}/signal", self.call);
        let outcome = self.write(|client| client.senders[client.member].posting_json(&path, body)).await;
        let signal = (self.call.clone(), number);
        match outcome {
            Outcome::Done(_) => self.ledger.acknowledged.insert(signal),
            Outcome::NotDone => self.ledger.refused.insert(signal),
            Outcome::Unknown => self.ledger.unknown.insert(signal),
            Outcome::Refused(code) => panic!("a signal was refused: {code}"),
        };
    }

    /// A call that nobody answers. If a start may have been done, the next one finds the call and ends it.
    async fn short_call(&mut self) {
        let body = json!({ "channel": self.channel });
        let outcome = self.write(|client| client.callers[client.member].posting_json("/calls/initiate", body)).await;
        let call = match outcome {
            Outcome::Done(body) => {
                let call = body["call_id"].as_str().unwrap().to_owned();
                assert!(self.ledger.started.insert(call.clone()), "a call was started twice");
                call
            }
            // One that was started without an answer lives.
            Outcome::Refused(_) => match send(self.active_call()).await {
                Outcome::Done(active) => match active["call"]["call_id"].as_str() {
                    Some(call) => call.to_owned(),
                    None => return,
                },
                _ => return,
            },
            Outcome::NotDone | Outcome::Unknown => return,
        };
        let path = format!("/calls/{call}/end");
        let mut may_be_ended = false;
        for _ in 0..4 {
            let is_ended = match self.write(|client| client.callers[client.member].posting(&path)).await {
                Outcome::Done(_) => true,
                Outcome::Refused(code) => {
                    assert!(may_be_ended, "the end of a live call was refused: {code}");
                    true
                }
                Outcome::NotDone => false,
                Outcome::Unknown => {
                    may_be_ended = true;
                    false
                }
            };
            if is_ended {
                self.ledger.ended.insert(call);
                return;
            }
            if self.progress.stop.load(Relaxed) {
                return;
            }
        }
        // No member was there. The next start finds the call and ends it.
    }

    fn active_call(&self) -> RequestBuilder {
        self.callers[self.member].getting(&format!("/calls/active?channel={}", self.channel))
    }

    /// Sends a write, notes when it was acknowledged, and turns to the next member if it was not done.
    async fn write(&mut self, request: impl FnOnce(&Self) -> RequestBuilder) -> Outcome {
        let begun = Instant::now();
        let outcome = send(request(self)).await;
        match outcome {
            Outcome::Done(_) => self.progress.done.lock().unwrap().push((begun, Instant::now())),
            Outcome::Refused(_) => {}
            Outcome::NotDone | Outcome::Unknown => self.member = (self.member + 1) % self.senders.len(),
        }
        outcome
    }
}
