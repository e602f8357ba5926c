//! The latency of push, and the cost of idle streams: `cargo bench --bench push`. `-- idle` measures the idle streams
//! alone, `-- idle --tls` and `-- idle --http2` fewer of them in other protocols.
//!
//! The server is a separate process on a new file. This process has its clients, over loopback, so both share the
//! machine's processors. Latency is the time from when a request is sent, or was due, until its event has been read. It
//! includes the request, the commit with its fsync, and the delivery.

#[path = "measure.rs"]
mod measure;
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use reqwest::{Certificate, Client, ClientBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use measure::{Durations, median, processor_time, resident_kib};
use support::{Person, Server, certificates};

const IDLE_STREAMS: usize = 10_000;

/// Idle streams over TLS, and those of one connection of HTTP/2: as many as the server allows.
const TLS_STREAMS: usize = 2_000;
const SHARED_CONNECTION: usize = 40;

const MEMBERS: usize = 1_000;

/// The timeout of an event.
const EVENT_TIMEOUT: Duration = Duration::from_secs(60);

/// An event that arrived on a stream.
struct Arrival {
    name: String,
    event: String,
    data: String,
    at: Instant,
}

#[tokio::main]
async fn main() {
    // Ten thousand connections are as many open files.
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let is_given = |name: &str| std::env::args().any(|argument| argument == name);
    if is_given("--tls") {
        return idle_streams_with("TLS", 1, ClientBuilder::http1_only).await;
    }
    if is_given("--http2") {
        idle_streams_with("HTTP/2", 1, |client| client).await;
        return idle_streams_with("HTTP/2", SHARED_CONNECTION, |client| client).await;
    }
    if !is_given("idle") {
        one_at_a_time().await;
        a_thousand_signals_a_second().await;
        a_large_channel().await;
    }
    idle_streams().await;
}

/// Signals and rings on an otherwise idle server.
async fn one_at_a_time() {
    let server = Server::start();
    server.lift_limits();
    let (alice, bob) = (server.person("alice"), server.person("bob"));
    let (sender, mut arrivals) = unbounded_channel();
    listen(&bob, sender).await;

    let mut commits = Durations::new();
    let sql = server.sql();
    sql.execute_batch("CREATE TABLE commits (number INTEGER)").unwrap();
    for number in 0..300 {
        let begun = Instant::now();
        sql.execute("INSERT INTO commits VALUES (?1)", [number]).unwrap();
        commits.add(begun.elapsed());
    }
    sql.execute_batch("DROP TABLE commits").unwrap();
    println!("one fsync'd commit of another program on this disk: {}", commits.summary());

    let (mut rings, mut rings_after_answer) = (Durations::new(), Durations::new());
    for _ in 0..500 {
        let begun = Instant::now();
        let call = alice.call("dm:alice:bob").await;
        let answered = Instant::now();
        let ring = next(&mut arrivals, "incoming").await;
        rings.add(ring.at - begun);
        rings_after_answer.add(ring.at.saturating_duration_since(answered));
        alice.post(&format!("/calls/{call}/end")).await;
    }
    println!(
        "ring, POST to arrival: {}; after the caller's own answer: {}",
        rings.summary(),
        rings_after_answer.summary()
    );

    let call = active_call(&alice, &bob).await;
    let (mut signals, mut signals_after_answer) = (Durations::new(), Durations::new());
    for number in 0..2_000 {
        let begun = Instant::now();
        assert_eq!(alice.post_json(&format!("/calls/{call}/signal"), candidate("bob", number)).await.0, 200);
        let answered = Instant::now();
        let signal = next(&mut arrivals, "signal").await;
        signals.add(signal.at - begun);
        signals_after_answer.add(signal.at.saturating_duration_since(answered));
    }
    println!(
        "signal, POST to arrival: {}; after the sender's own answer: {}",
        signals.summary(),
        signals_after_answer.summary()
    );
}

/// Fifty calls that together send a thousand ICE candidates a second for ten seconds.
async fn a_thousand_signals_a_second() {
    const PAIRS: usize = 50;
    const SECONDS: usize = 10;
    let server = Server::start();
    let (sender, mut arrivals) = unbounded_channel();
    let mut pairs = Vec::new();
    for pair in 0..PAIRS {
        let caller = server.person(&format!("caller{pair}"));
        let callee = server.person(&format!("callee{pair}"));
        listen(&callee, sender.clone()).await;
        let call = active_call(&caller, &callee).await;
        pairs.push((caller, callee.name.clone(), format!("/calls/{call}/signal")));
    }
    let mut ticks = interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    ticks.tick().await;
    let mut due = HashMap::new();
    let mut sending = JoinSet::new();
    let before = processor_time(server.process());
    let begun = Instant::now();
    for number in 0..1_000 * SECONDS {
        due.insert(number, ticks.tick().await.into_std());
        let (caller, callee, path) = &pairs[number % PAIRS];
        let request = caller.posting_json(path, candidate(callee, number));
        sending.spawn(async move { request.send().await.unwrap().status() });
    }
    let took = begun.elapsed();
    while let Some(status) = sending.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    let used = processor_time(server.process()) - before;
    let mut latencies = Durations::new();
    for _ in 0..due.len() {
        let arrival = next(&mut arrivals, "signal").await;
        let data: Value = serde_json::from_str(&arrival.data).unwrap();
        let number = usize::try_from(data["payload"]["number"].as_u64().unwrap()).unwrap();
        latencies.add(arrival.at - due.remove(&number).expect("each signal arrives once"));
    }
    println!(
        "{:.0} signals a second, POST to arrival: {}; the server used {:.0} % of a core",
        (1_000 * SECONDS) as f64 / took.as_secs_f64(),
        latencies.summary(),
        100.0 * used.as_secs_f64() / took.as_secs_f64()
    );
}

/// A share, a ring and an answer in a channel with a thousand members, each with a stream.
async fn a_large_channel() {
    let server = Server::start();
    server.lift_limits();
    let people = server.people(MEMBERS);
    let names: Vec<&str> = people.iter().map(|person| person.name.as_str()).collect();
    let channel = server.private_channel(&names);
    let (sender, mut arrivals) = unbounded_channel();
    for person in &people {
        listen(person, sender.clone()).await;
    }
    let mut rounds: [Vec<f64>; 3] = Default::default();
    for _ in 0..9 {
        let begun = Instant::now();
        let (status, share) = people[0].post_json("/screenshare/start", json!({ "channel": channel })).await;
        assert_eq!(status, 200, "{share}");
        rounds[0].push(last_arrival(&mut arrivals, "share", begun, MEMBERS, |_| true).await);
        people[0].post(&format!("/screenshare/{}/stop", share["share_id"].as_str().unwrap())).await;
        last_arrival(&mut arrivals, "share", begun, MEMBERS, |_| true).await;

        let begun = Instant::now();
        let call = people[0].call(&channel).await;
        rounds[1].push(last_arrival(&mut arrivals, "incoming", begun, MEMBERS - 1, |_| true).await);
        let begun = Instant::now();
        people[1].post(&format!("/calls/{call}/accept")).await;
        let active = |arrival: &Arrival| arrival.data.contains("\"state\":\"active\"");
        rounds[2].push(last_arrival(&mut arrivals, "call", begun, MEMBERS, active).await);
        let begun = Instant::now();
        people[0].post(&format!("/calls/{call}/end")).await;
        let ended = |arrival: &Arrival| arrival.data.contains("\"state\":\"ended\"");
        last_arrival(&mut arrivals, "call", begun, MEMBERS, ended).await;
    }
    for (what, rounds) in ["a share that starts", "a call that rings", "a call that is answered"].iter().zip(rounds) {
        let longest = rounds.iter().copied().fold(0.0, f64::max);
        println!(
            "{MEMBERS} streams, POST to the last arrival, {what}: median {:.0} ms, longest {longest:.0} ms",
            median(rounds)
        );
    }
}

/// Ten thousand idle streams, and an event to all of them.
async fn idle_streams() {
    let server = Server::start();
    server.lift_limits();
    let people = server.people(IDLE_STREAMS);
    let names: Vec<&str> = people.iter().map(|person| person.name.as_str()).collect();
    let channel = server.private_channel(&names);
    let before = resident_kib(server.process());
    let arrived = Arc::<Arrived>::default();
    for person in &people {
        count_shares(&server, person, &arrived).await;
    }
    let after = resident_kib(server.process());
    let (used_before, begun) = (processor_time(server.process()), Instant::now());
    tokio::time::sleep(Duration::from_secs(30)).await;
    let used = processor_time(server.process()) - used_before;
    println!(
        "{IDLE_STREAMS} idle streams: {:.1} KiB each ({} MiB in all), {:.1} % of a core over {:.0} s",
        (after - before) as f64 / IDLE_STREAMS as f64,
        after / 1024,
        100.0 * used.as_secs_f64() / begun.elapsed().as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );

    let (sender, mut arrivals) = unbounded_channel();
    let (alice, bob) = (&people[0], &people[1]);
    listen(bob, sender).await;
    let mut rings = Durations::new();
    for _ in 0..200 {
        let begun = Instant::now();
        let call = alice.call(&format!("dm:{}:{}", alice.name, bob.name)).await;
        rings.add(next(&mut arrivals, "incoming").await.at - begun);
        alice.post(&format!("/calls/{call}/end")).await;
    }
    println!("ring among them, POST to arrival: {}", rings.summary());

    let mut rounds = Vec::new();
    let used_before = processor_time(server.process());
    for _ in 0..9 {
        let begun = Instant::now();
        let (response, ()) = tokio::join!(
            alice.post_json("/screenshare/start", json!({ "channel": channel })),
            arrived.wait_for(IDLE_STREAMS)
        );
        rounds.push(begun.elapsed().as_secs_f64() * 1000.0);
        let (status, share) = response;
        assert_eq!(status, 200, "{share}");
        let path = format!("/screenshare/{}/stop", share["share_id"].as_str().unwrap());
        tokio::join!(alice.post(&path), arrived.wait_for(IDLE_STREAMS));
    }
    let used = processor_time(server.process()) - used_before;
    println!(
        "{IDLE_STREAMS} streams, POST to the last arrival, a share that starts: median {:.0} ms, longest {:.0} ms; the \
         server used {:.0} ms an event",
        median(rounds.clone()),
        rounds.iter().copied().fold(0.0, f64::max),
        used.as_secs_f64() * 1000.0 / 18.0
    );
}

/// The streams that have received an event.
#[derive(Default)]
struct Arrived {
    streams: AtomicUsize,
    changed: Notify,
}

impl Arrived {
    /// Waits until so many streams have received one, and counts from 0 again.
    async fn wait_for(&self, streams: usize) {
        let counted = async {
            while self.streams.load(Relaxed) < streams {
                self.changed.notified().await;
            }
        };
        timeout(EVENT_TIMEOUT, counted).await.expect("an event on each stream in time");
        self.streams.store(0, Relaxed);
    }
}

/// Opens a stream, waits for its snapshot, and counts its events of shares. A client library would take more time than
/// the server.
async fn count_shares(server: &Server, person: &Person, arrived: &Arc<Arrived>) {
    let stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).await.unwrap();
    let request = format!("GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", person.token);
    stream.writable().await.unwrap();
    assert_eq!(stream.try_write(request.as_bytes()).unwrap(), request.len());
    let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let mut received = Vec::new();
    while !has(&received, "\n\n\r\n") {
        stream.readable().await.unwrap();
        let mut part = [0; 1024];
        if let Ok(count) = stream.try_read(&mut part) {
            received.extend_from_slice(&part[..count]);
        }
    }
    let arrived = Arc::clone(arrived);
    tokio::spawn(async move {
        while stream.readable().await.is_ok() {
            let mut received = [0; 1024];
            match stream.try_read(&mut received) {
                Ok(0) => return,
                Ok(count) => {
                    if has(&received[..count], "event:share")
                        && arrived.streams.fetch_add(1, Relaxed) + 1 == IDLE_STREAMS
                    {
                        arrived.changed.notify_one();
                    }
                }
                Err(_) => {}
            }
        }
    });
}

/// Idle streams over TLS, so many of them a connection.
async fn idle_streams_with(protocol: &str, shared: usize, choose: impl Fn(ClientBuilder) -> ClientBuilder) {
    let server = Server::start_in(TempDir::new().unwrap(), &["--tls-self-signed"]);
    server.lift_limits();
    let people = server.people(TLS_STREAMS);
    let ca = Certificate::from_pem(certificates::ca_file(&server).as_bytes()).unwrap();
    let before = resident_kib(server.process());
    let (sender, _arrivals) = unbounded_channel();
    for people in people.chunks(shared) {
        let client = choose(Client::builder().add_root_certificate(ca.clone())).build().unwrap();
        for person in people {
            listen(&person.using(&client), sender.clone()).await;
        }
    }
    println!(
        "{TLS_STREAMS} idle streams over {protocol}, {shared} a connection: {:.1} KiB each",
        (resident_kib(server.process()) - before) as f64 / TLS_STREAMS as f64
    );
}

async fn active_call(caller: &Person, callee: &Person) -> String {
    let call = caller.call(&format!("dm:{}:{}", caller.name, callee.name)).await;
    assert_eq!(callee.post(&format!("/calls/{call}/accept")).await.0, 200);
    call
}

fn candidate(to: &str, number: usize) -> Value {
    let candidate = "candidate:842163049 1 udp 1677729535 192.0.2.17 53421 typ srflx raddr 0.0.0.0 rport 0";
    json!({ "to": to, "type": "ice_candidate", "payload": { "candidate": candidate, "number": number } })
}

/// Opens a stream, waits for its snapshot, and sends its other events to `arrivals`.
async fn listen(person: &Person, arrivals: UnboundedSender<Arrival>) {
    let mut response = person.getting("/events").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let name = person.name.clone();
    let mut buffer = String::new();
    let mut snapshots = 0;
    while snapshots == 0 {
        buffer.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
        snapshots += buffer.matches("\n\n").count();
    }
    buffer.clear();
    tokio::spawn(async move {
        while let Ok(Some(chunk)) = response.chunk().await {
            let at = Instant::now();
            buffer.push_str(std::str::from_utf8(&chunk).unwrap());
            while let Some((block, rest)) = buffer.split_once("\n\n") {
                let field = |field: &str| block.lines().find_map(|line| line.strip_prefix(field)).map(str::to_owned);
                if let (Some(event), Some(data)) = (field("event:"), field("data:")) {
                    let event = event.trim().to_owned();
                    if arrivals.send(Arrival { name: name.clone(), event, data, at }).is_err() {
                        return;
                    }
                }
                buffer = rest.to_owned();
            }
        }
    });
}

/// The next arrival of this event.
async fn next(arrivals: &mut UnboundedReceiver<Arrival>, event: &str) -> Arrival {
    loop {
        let arrival = timeout(EVENT_TIMEOUT, arrivals.recv()).await.expect("an event in time").unwrap();
        if arrival.event == event {
            return arrival;
        }
    }
}

/// The milliseconds from `begun` until this many users have received such an event.
async fn last_arrival(
    arrivals: &mut UnboundedReceiver<Arrival>,
    event: &str,
    begun: Instant,
    people: usize,
    is_it: impl Fn(&Arrival) -> bool,
) -> f64 {
    let mut received = HashMap::new();
    while received.len() < people {
        let arrival = next(arrivals, event).await;
        if is_it(&arrival) {
            received.insert(arrival.name, arrival.at);
        }
    }
    received.values().map(|at| at.saturating_duration_since(begun)).max().unwrap_or_default().as_secs_f64() * 1000.0
}
