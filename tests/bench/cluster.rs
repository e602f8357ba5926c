//! A cluster of three members on this machine beside a single server, in turns: signals, whole calls, push at a follower, and
//! memory.
//!
//!     cargo bench --bench cluster
//!
//! All processes share the processors. Everything is durable on both: the setting `sync_all` is 1.

mod client;
mod measure;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use client::{Connection, Events, get, post};
use measure::{Durations, median, resident_kib};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::{PROGRAM, Server};
use tempfile::TempDir;

#[derive(Parser)]
struct Options {
    /// Rounds of each figure
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Duration of a round in seconds
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Pairs of people who call each other at the same time
    #[arg(long, default_value_t = 64)]
    pairs: usize,
    /// Passed by cargo to each benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// A process that serves, and ends with this.
struct Serving {
    child: Child,
    address: SocketAddr,
}

impl Serving {
    fn start(db: &Path, arguments: &[&str]) -> Child {
        let mut command = Command::new(PROGRAM);
        command.arg("--db").arg(db).args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Waits until it serves.
    fn wait(mut child: Child) -> Self {
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().rsplit("http://").next().unwrap().parse().unwrap();
        Self { child, address }
    }

    fn process(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        kill(self.process(), Signal::SIGTERM).unwrap();
        self.child.wait().unwrap();
    }
}

/// Two people with a channel of their own.
struct Pair {
    channel: String,
    names: [String; 2],
    tokens: [String; 2],
}

/// Starts a call of `pair`, which is answered. Returns its id.
async fn call(server: SocketAddr, pair: &Pair) -> String {
    let mut connection = Connection::open(server).await;
    let body = json!({ "channel": pair.channel }).to_string();
    let call = connection.json(&post("/calls/initiate", &pair.tokens[0], &body)).await;
    let id = call["call_id"].as_str().unwrap().to_owned();
    connection.request(&post(&format!("/calls/{id}/accept"), &pair.tokens[1], "{}")).await;
    id
}

fn signal(id: &str, pair: &Pair, from: usize, payload: &Value) -> Vec<u8> {
    let body = json!({ "to": pair.names[1 - from], "type": "offer", "payload": payload }).to_string();
    post(&format!("/calls/{id}/signal"), &pair.tokens[from], &body)
}

/// Signals a second of all pairs at once, each to one of `servers`.
async fn signals(servers: &[SocketAddr], pairs: &'static [Pair], time: Duration) -> f64 {
    let payload = json!({ "sdp": "x".repeat(2000) });
    let mut ids = Vec::new();
    for pair in pairs {
        ids.push(call(servers[0], pair).await);
    }
    let begun = Instant::now();
    let tasks = ids.iter().cloned().zip(pairs).enumerate().map(|(at, (id, pair))| {
        let server = servers[at % servers.len()];
        let request = signal(&id, pair, 0, &payload);
        tokio::spawn(async move {
            let mut connection = Connection::open(server).await;
            let mut count = 0u64;
            while begun.elapsed() < time {
                connection.request(&request).await;
                count += 1;
            }
            count
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut sent = 0;
    for task in tasks {
        sent += task.await.unwrap();
    }
    let took = begun.elapsed().as_secs_f64();
    let mut connection = Connection::open(servers[0]).await;
    for (id, pair) in ids.iter().zip(pairs) {
        connection.request(&post(&format!("/calls/{id}/end"), &pair.tokens[0], "{}")).await;
    }
    sent as f64 / took
}

/// Whole calls a second of all pairs at once: thirteen requests each.
async fn whole_calls(servers: &[SocketAddr], pairs: &'static [Pair], time: Duration) -> f64 {
    let begun = Instant::now();
    let tasks = pairs.iter().enumerate().map(|(at, pair)| {
        let server = servers[at % servers.len()];
        tokio::spawn(async move {
            let payload = json!({ "sdp": "x".repeat(2000) });
            let candidate = json!({ "candidate": "x".repeat(120) });
            let mut connection = Connection::open(server).await;
            let mut count = 0u64;
            while begun.elapsed() < time {
                let body = json!({ "channel": pair.channel }).to_string();
                let call = connection.json(&post("/calls/initiate", &pair.tokens[0], &body)).await;
                let id = call["call_id"].as_str().unwrap().to_owned();
                connection.request(&post(&format!("/calls/{id}/accept"), &pair.tokens[1], "{}")).await;
                for from in [0, 1] {
                    connection.request(&signal(&id, pair, from, &payload)).await;
                    for _ in 0..4 {
                        connection.request(&signal(&id, pair, from, &candidate)).await;
                    }
                }
                connection.request(&post(&format!("/calls/{id}/end"), &pair.tokens[0], "{}")).await;
                count += 1;
            }
            count
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut made = 0;
    for task in tasks {
        made += task.await.unwrap();
    }
    made as f64 / begun.elapsed().as_secs_f64()
}

/// How much later than the answer at `writer` an event arrives at `reader`.
async fn push(writer: SocketAddr, reader: SocketAddr, pair: &Pair) -> Durations {
    let id = call(writer, pair).await;
    let (mut events, _) = Events::open(reader, "/events", &pair.tokens[1]).await;
    let mut connection = Connection::open(writer).await;
    let mut late = Durations::new();
    for number in 0..500 {
        let marker = format!("marker{number}x");
        let request = signal(&id, pair, 0, &json!({ "sdp": marker }));
        let arrival = tokio::spawn(async move {
            events.expect("signal", &marker).await;
            (events, Instant::now())
        });
        connection.request(&request).await;
        let answered = Instant::now();
        let (returned, arrived) = arrival.await.unwrap();
        events = returned;
        late.add(arrived.saturating_duration_since(answered));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    connection.request(&post(&format!("/calls/{id}/end"), &pair.tokens[0], "{}")).await;
    late
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let folder = TempDir::new().unwrap();
    // Both begin with the same file.
    let filled = Server::start();
    filled.lift_limits();
    filled.execute("UPDATE settings SET value = 1 WHERE name = 'sync_all'");
    let people = filled.people(options.pairs * 2);
    let (filled, _) = filled.stop(Signal::SIGTERM);
    let pairs: Vec<Pair> = people
        .chunks(2)
        .map(|two| Pair {
            channel: format!("dm:{}:{}", two[0].name, two[1].name),
            names: [two[0].name.clone(), two[1].name.clone()],
            tokens: [two[0].token.clone(), two[1].token.clone()],
        })
        .collect();
    let pairs: &'static [Pair] = pairs.leak();
    for name in ["alone", "n1", "n2", "n3"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    for name in ["alone", "n1"] {
        fs::copy(filled.path().join("presence.db"), folder.path().join(name).join("presence.db")).unwrap();
    }
    let alone = Serving::wait(Serving::start(&folder.path().join("alone/presence.db"), &[]));
    let file = folder.path().join("team.pem");
    let mut init = Command::new(PROGRAM);
    init.args(["cluster", "init", "--into"]).arg(&file);
    for node in 1..=3 {
        init.arg("--node").arg(format!("{node}=127.0.0.1:{}", free_port()));
    }
    assert!(init.status().unwrap().success());
    let file = file.to_str().unwrap();
    let start = |node: u8| {
        let db = folder.path().join(format!("n{node}/presence.db"));
        Serving::start(&db, &["--cluster", file, "--node", &node.to_string()])
    };
    let members: Vec<Child> = (1..=3).map(start).collect();
    let members: Vec<Serving> = members.into_iter().map(Serving::wait).collect();
    let leader = members[0].address;
    let all: Vec<SocketAddr> = members.iter().map(|member| member.address).collect();
    // A warm-up, after which all have the file.
    Connection::open(all[2]).await.request(&get("/calls/incoming", &pairs[0].tokens[0])).await;

    let time = Duration::from_secs(options.seconds);
    let servers =
        [("a single server", vec![alone.address]), ("the leader", vec![leader]), ("three members", all.clone())];
    let mut figures = vec![[const { Vec::new() }; 2]; servers.len()];
    for _ in 0..options.rounds {
        for (at, (_, servers)) in servers.iter().enumerate() {
            figures[at][0].push(signals(servers, pairs, time).await);
            figures[at][1].push(whole_calls(servers, pairs, time).await);
        }
    }
    let medians: Vec<[f64; 2]> = figures.into_iter().map(|two| two.map(median)).collect();
    println!("{} connections, medians of {} rounds", options.pairs, options.rounds);
    for ((name, _), [signals, calls]) in servers.iter().zip(&medians) {
        let [of_signals, of_calls] = [signals / medians[0][0], calls / medians[0][1]];
        println!("{name}: {signals:.0} signals/s ({of_signals:.2}), {calls:.0} whole calls/s ({of_calls:.2})");
    }
    println!("push at a follower, after the answer of the leader: {}", push(leader, all[1], &pairs[0]).await.summary());
    println!("push at the leader, after the answer of a follower: {}", push(all[1], leader, &pairs[0]).await.summary());
    println!("push at a single server: {}", push(alone.address, alone.address, &pairs[0]).await.summary());
    println!("memory of a single server: {} MiB", resident_kib(alone.process()) / 1024);
    for (node, member) in (1..).zip(&members) {
        println!("memory of member {node}: {} MiB", resident_kib(member.process()) / 1024);
    }
}
