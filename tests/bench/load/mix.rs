//! What a team does, instead of one request as fast as possible: people who poll, as the original's page does, or who have
//! an event stream each, as the page of this server does. Calls begin at a steady rate, are answered, exchange an offer, an
//! answer and ten candidates each way, and end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::Options;
use crate::client::{Connection, Event, Events, get, post};
use crate::measure::{Durations, processor_time, resident_kib};
use crate::support::{Person, Server};

/// Calls that begin in a second, for a thousand people.
const CALLS_PER_SECOND: f64 = 20.0;

/// How long a phone rings before it is answered.
const RINGING: Duration = Duration::from_millis(500);

/// How long a call lasts after its answer.
const TALK: Duration = Duration::from_secs(12);

const CANDIDATES: usize = 10;

/// The intervals of the original's page.
const INCOMING_INTERVAL: Duration = Duration::from_secs(1);
const SIGNALS_INTERVAL: Duration = Duration::from_millis(600);
const STATE_INTERVAL: Duration = Duration::from_secs(3);

/// How often the page of this server reads the state and the signals of its call, besides its stream.
const REFRESH_INTERVAL: Duration = Duration::from_secs(10);

/// Until so many calls are live as at any later time.
const WARM_UP: Duration = Duration::from_secs(14);

#[derive(Default)]
struct Measured {
    is_on: AtomicBool,
    requests: Mutex<Vec<Duration>>,
    rings: Mutex<Vec<Duration>>,
}

impl Measured {
    fn add(&self, to: &Mutex<Vec<Duration>>, duration: Duration) {
        if self.is_on.load(Ordering::Relaxed) {
            to.lock().unwrap().push(duration);
        }
    }
}

/// Prints a row for each page.
pub async fn measure(options: &Options) {
    println!(
        "\n| people | their page | requests/s | p50 ms | p99 ms | rings, p50 ms | p99 ms | memory | CPU | people a core |"
    );
    println!("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (page, polls) in [("polls, as the original's", true), ("has a stream, as ours", false)] {
        scene(options, page, polls).await;
    }
}

async fn scene(options: &Options, page: &str, polls: bool) {
    let server = Server::start();
    server.lift_limits();
    let address = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    let people = server.people(options.people);
    let pairs = options.people / 2;
    // Each pair calls again and again; together they make the calls of a second.
    let between_calls = pairs as f64 / (CALLS_PER_SECOND * options.people as f64 / 1000.0);
    let measured = Arc::new(Measured::default());
    let start = Instant::now() + Duration::from_secs(1);
    let mut tasks = JoinSet::new();
    for (number, pair) in people.chunks_exact(2).enumerate() {
        let rung = Arc::new(Mutex::new(start));
        let first_call = start + Duration::from_secs_f64(between_calls * number as f64 / pairs as f64);
        for (mine, other, next_call) in [(0, 1, Some(first_call)), (1, 0, None)] {
            let user = User {
                me: pair[mine].clone(),
                other: pair[other].name.clone(),
                server: address,
                requests: Connection::open(address).await,
                measured: Arc::clone(&measured),
                rung: Arc::clone(&rung),
                next_call,
                between_calls: Duration::from_secs_f64(between_calls),
            };
            // Pages were not loaded at the same moment.
            let phase = INCOMING_INTERVAL.mul_f64(fastrand::f64());
            if polls {
                tasks.spawn(PollingPage { user, call: None, answer_at: None }.run(start + phase));
            } else {
                tasks.spawn(StreamPage::open(user).await.run());
            }
        }
    }
    sleep_until((start + WARM_UP).into()).await;
    measured.is_on.store(true, Ordering::Relaxed);
    let (used_before, begun) = (processor_time(server.process()), Instant::now());
    sleep(options.round() * 4).await;
    let took = begun.elapsed().as_secs_f64();
    let share = (processor_time(server.process()) - used_before).as_secs_f64() / took;
    measured.is_on.store(false, Ordering::Relaxed);
    let resident = resident_kib(server.process()) / 1024;
    let of = |durations: &Mutex<Vec<Duration>>| durations.lock().unwrap().iter().copied().collect::<Durations>();
    let (requests, rings) = (of(&measured.requests), of(&measured.rings));
    println!(
        "| {} | {page} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {resident} MB | {:.0} % | {:.0} |",
        options.people,
        requests.count() as f64 / took,
        requests.percentile(50.0),
        requests.percentile(99.0),
        rings.percentile(50.0),
        rings.percentile(99.0),
        100.0 * share,
        options.people as f64 / share,
    );
    tasks.abort_all();
    while let Some(task) = tasks.join_next().await {
        assert!(task.is_err_and(|error| error.is_cancelled()), "a page failed");
    }
}

/// What both pages have.
struct User {
    me: Person,
    other: String,
    server: SocketAddr,
    requests: Connection,
    measured: Arc<Measured>,
    /// When the caller of the pair has called.
    rung: Arc<Mutex<Instant>>,
    /// When this user calls. `None` for the callee.
    next_call: Option<Instant>,
    between_calls: Duration,
}

impl User {
    async fn send(&mut self, request: Vec<u8>) -> Value {
        let begun = Instant::now();
        let response = self.requests.json(&request).await;
        self.measured.add(&self.measured.requests, begun.elapsed());
        response
    }

    async fn get(&mut self, path: &str) -> Value {
        self.send(get(path, &self.me.token)).await
    }

    async fn post(&mut self, path: &str, body: &Value) -> Value {
        self.send(post(path, &self.me.token, &body.to_string())).await
    }

    /// Calls the other, and returns the id of the call.
    async fn call(&mut self) -> String {
        let now = Instant::now();
        self.next_call = self.next_call.map(|at| at + self.between_calls);
        *self.rung.lock().unwrap() = now;
        let channel = json!({ "channel": format!("dm:{}:{}", self.me.name, self.other) });
        id_of(&self.post("/calls/initiate", &channel).await)
    }

    fn rings(&self) {
        let rung = *self.rung.lock().unwrap();
        self.measured.add(&self.measured.rings, rung.elapsed());
    }

    /// Sends a description and its candidates, one after the other.
    async fn describe(&mut self, call: &str, kind: &str) {
        let path = format!("/calls/{call}/signal");
        let sdp = "a=rtpmap:111 opus/48000/2\r\n".repeat(70);
        let payload = json!({ "type": kind, "sdp": sdp });
        self.post(&path, &json!({ "to": self.other, "type": kind, "payload": payload })).await;
        let candidate = "candidate:842163049 1 udp 1677729535 192.0.2.17 53421 typ srflx raddr 0.0.0.0 rport 0";
        let payload = json!({ "candidate": candidate, "sdpMid": "0", "sdpMLineIndex": 0 });
        let body = json!({ "to": self.other, "type": "ice_candidate", "payload": payload });
        for _ in 0..CANDIDATES {
            self.post(&path, &body).await;
        }
    }
}

fn id_of(value: &Value) -> String {
    value["call_id"].as_str().unwrap().to_owned()
}

/// The original's page: it polls.
struct PollingPage {
    user: User,
    call: Option<PolledCall>,
    /// When this page answers which call.
    answer_at: Option<(Instant, String)>,
}

struct PolledCall {
    id: String,
    cursor: i64,
    signals_at: Instant,
    state_at: Instant,
    /// When this page ends it.
    end_at: Option<Instant>,
}

impl PolledCall {
    fn new(id: String, cursor: i64) -> Self {
        let now = Instant::now();
        Self { id, cursor, signals_at: now + SIGNALS_INTERVAL, state_at: now + STATE_INTERVAL, end_at: None }
    }
}

impl PollingPage {
    async fn run(mut self, mut incoming_at: Instant) {
        loop {
            let answer_at = self.answer_at.as_ref().map(|(at, _)| *at);
            let of_call = self.call.as_ref().map(|call| [Some(call.signals_at), Some(call.state_at), call.end_at]);
            let times = of_call.into_iter().flatten().flatten().chain(answer_at).chain(self.user.next_call);
            sleep_until(times.chain([incoming_at]).min().unwrap().into()).await;
            let now = Instant::now();
            if now >= incoming_at {
                incoming_at += INCOMING_INTERVAL;
                self.poll_incoming().await;
            }
            if answer_at.is_some_and(|at| now >= at) {
                self.answer().await;
            }
            if self.user.next_call.is_some_and(|at| now >= at) {
                let id = self.user.call().await;
                self.call = Some(PolledCall::new(id, 0));
            }
            self.poll_call(now).await;
        }
    }

    async fn poll_incoming(&mut self) {
        let incoming = self.user.get("/calls/incoming").await;
        if let (Some(call), None, None) = (incoming.get(0), &self.call, &self.answer_at) {
            self.user.rings();
            self.answer_at = Some((Instant::now() + RINGING, id_of(call)));
        }
    }

    async fn answer(&mut self) {
        let Some((_, id)) = self.answer_at.take() else { return };
        let accepted = self.user.post(&format!("/calls/{id}/accept"), &json!({})).await;
        self.user.describe(&id, "offer").await;
        self.call = Some(PolledCall::new(id, accepted["last_signal_id"].as_i64().unwrap()));
    }

    async fn poll_call(&mut self, now: Instant) {
        let Some(call) = &mut self.call else { return };
        let id = call.id.clone();
        if now >= call.signals_at {
            call.signals_at += SIGNALS_INTERVAL;
            let path = format!("/calls/{id}/signals?after={}", call.cursor);
            let signals = self.user.get(&path).await;
            let signals = signals.as_array().unwrap();
            if let Some(last) = signals.last() {
                call.cursor = last["id"].as_i64().unwrap();
            }
            if signals.iter().any(|signal| signal["type"] == "offer") {
                call.end_at = Some(Instant::now() + TALK);
                self.user.describe(&id, "answer").await;
            }
        }
        if now >= call.state_at {
            call.state_at += STATE_INTERVAL;
            let state = self.user.get(&format!("/calls/{id}/state")).await;
            if !["ringing", "active"].contains(&state["state"].as_str().unwrap()) {
                self.call = None;
                return;
            }
        }
        if call.end_at.is_some_and(|at| now >= at) {
            self.user.post(&format!("/calls/{id}/end"), &json!({})).await;
            self.call = None;
        }
    }
}

/// The page of this server: an event stream, and the requests that its modules send.
struct StreamPage {
    user: User,
    events: Events,
    /// The id of the last event.
    last_event: i64,
    /// The id of the last signal.
    cursor: i64,
    call: Option<StreamedCall>,
    answer_at: Option<(Instant, String)>,
    /// Whether the page lists the channel: after the first answer in it.
    lists_channel: bool,
}

struct StreamedCall {
    id: String,
    refresh_at: Instant,
    end_at: Option<Instant>,
}

impl StreamPage {
    /// Loads the page.
    async fn open(mut user: User) -> Self {
        user.get("/me").await;
        user.get("/calls/missed").await;
        let (events, snapshot) = Events::open(user.server, "/events", &user.me.token).await;
        user.get("/me").await;
        user.get("/calls/missed").await;
        Self { user, events, last_event: snapshot.id, cursor: 0, call: None, answer_at: None, lists_channel: false }
    }

    async fn run(mut self) {
        loop {
            let answer_at = self.answer_at.as_ref().map(|(at, _)| *at);
            let of_call = self.call.as_ref().map(|call| [Some(call.refresh_at), call.end_at]);
            let times = of_call.into_iter().flatten().flatten().chain(answer_at).chain(self.user.next_call);
            let next = times.min().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                event = self.events.next() => self.on_event(event).await,
                () = sleep_until(next.into()) => self.on_time(Instant::now()).await,
            }
        }
    }

    async fn on_event(&mut self, event: Event) {
        self.last_event = event.id;
        let data: Value = serde_json::from_str(&event.data).unwrap();
        match event.name.as_str() {
            "incoming" => {
                self.user.rings();
                self.answer_at = Some((Instant::now() + RINGING, id_of(&data)));
            }
            "signal" => self.on_signal(&data).await,
            "call" => {
                let is_live = ["ringing", "active"].contains(&data["state"].as_str().unwrap());
                if data["state"] == "active" && !self.lists_channel {
                    self.lists_channel = true;
                    self.user.get("/me").await;
                }
                if !is_live {
                    self.user.get("/calls/missed").await;
                    if self.call.as_ref().is_some_and(|call| data["call_id"] == *call.id) {
                        self.call = None;
                        self.name_call().await;
                    }
                }
            }
            _ => {}
        }
    }

    async fn on_signal(&mut self, signal: &Value) {
        let id = signal["id"].as_i64().unwrap();
        let Some(call) = &mut self.call else { return };
        if id > self.cursor && signal["call_id"] == *call.id {
            self.cursor = id;
            if signal["type"] == "offer" {
                call.end_at = Some(Instant::now() + TALK);
                let call = call.id.clone();
                self.user.describe(&call, "answer").await;
            }
        }
    }

    async fn on_time(&mut self, now: Instant) {
        if self.answer_at.as_ref().is_some_and(|(at, _)| now >= *at) {
            let Some((_, id)) = self.answer_at.take() else { return };
            self.user.get("/calls/ice").await;
            let accepted = self.user.post(&format!("/calls/{id}/accept"), &json!({})).await;
            self.enter(id.clone(), accepted["last_signal_id"].as_i64().unwrap()).await;
            self.user.describe(&id, "offer").await;
        }
        if self.user.next_call.is_some_and(|at| now >= at) {
            self.user.get("/calls/ice").await;
            let id = self.user.call().await;
            self.enter(id, 0).await;
        }
        let Some(call) = &mut self.call else { return };
        if call.end_at.is_some_and(|at| now >= at) {
            let path = format!("/calls/{}/leave", call.id);
            self.call = None;
            self.user.post(&path, &json!({})).await;
            self.name_call().await;
        } else if now >= call.refresh_at {
            self.refresh().await;
        }
    }

    async fn enter(&mut self, id: String, cursor: i64) {
        self.cursor = cursor;
        self.call = Some(StreamedCall { id, refresh_at: Instant::now(), end_at: None });
        self.refresh().await;
        self.name_call().await;
    }

    /// Reads again what the stream should have delivered.
    async fn refresh(&mut self) {
        let Some(call) = &mut self.call else { return };
        call.refresh_at = Instant::now() + REFRESH_INTERVAL;
        let id = call.id.clone();
        self.user.get(&format!("/calls/{id}/state")).await;
        let signals = self.user.get(&format!("/calls/{id}/signals?after={}", self.cursor)).await;
        for mut signal in signals.as_array().unwrap().clone() {
            signal["call_id"] = json!(id);
            self.on_signal(&signal).await;
        }
    }

    /// Replaces the stream by one that names the call, and resumes.
    async fn name_call(&mut self) {
        let name = self.call.as_ref().map(|call| format!("call={}&", call.id)).unwrap_or_default();
        let path = format!("/events?{name}after={}", self.last_event);
        self.events = Events::resume(self.user.server, &path, &self.user.me.token).await;
    }
}
