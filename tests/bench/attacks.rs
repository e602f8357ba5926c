//! What one attacker does to others: `cargo bench --bench attacks`, or `-- NAME` for one attack. `-- --program FILE`
//! measures another build of the program.
//!
//! The attacker and the other clients come from different addresses of the loopback network, and share the machine's
//! processors with the server. The others send a read and a write 25 times a second, each on a new connection. A request
//! without an answer within ten seconds counts as ten.

#[path = "measure.rs"]
mod measure;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use measure::{Durations, peak_kib, resident_kib};
use support::{PROGRAM, Person, Server};

/// How long the others are measured.
const ROUND: Duration = Duration::from_secs(6);

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The open files that the server may have: 1072 connections and a reserve.
const OPEN_FILES: usize = 1200;

const MIB: usize = 1 << 20;

type Attack = fn(Scene) -> futures_util::future::BoxFuture<'static, String>;

const ATTACKS: &[(&str, Attack)] = &[
    ("nothing", |scene| {
        Box::pin(async move {
            scene.begun.notify_one();
            String::new()
        })
    }),
    ("unread media", |scene| Box::pin(unread_media(scene))),
    ("unread signals", |scene| Box::pin(unread_signals(scene))),
    ("unread events", |scene| Box::pin(unread_events(scene))),
    ("streams", |scene| Box::pin(streams(scene))),
    ("half-sent heads", |scene| Box::pin(half_sent_heads(scene))),
    ("uploads", |scene| Box::pin(uploads(scene))),
    ("wrong logins", |scene| Box::pin(wrong_logins(scene))),
    ("rings", |scene| Box::pin(rings(scene))),
    ("shares", |scene| Box::pin(shares(scene))),
];

/// A call of mallory with alice. Mallory attacks.
#[derive(Clone)]
struct Scene {
    address: SocketAddr,
    mallory: Person,
    alice: Person,
    call: String,
    /// The attack begins.
    begun: Arc<Notify>,
}

#[tokio::main]
async fn main() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (mut program, mut wanted) = (PathBuf::from(PROGRAM), None);
    while let Some(argument) = arguments.next() {
        if argument == "--program" {
            program = arguments.next().expect("a file").into();
        } else {
            wanted = Some(argument);
        }
    }
    println!("| attack | others, p50 | p99 | longest | failed | memory before | peak | after | |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (name, attack) in ATTACKS {
        if wanted.as_ref().is_none_or(|wanted| wanted == name) {
            measure(&program, name, *attack).await;
        }
    }
}

async fn measure(program: &Path, name: &str, attack: Attack) {
    let mut limited = Command::new("prlimit");
    limited.arg(format!("--nofile={OPEN_FILES}")).arg(program);
    let server = Server::start_as(limited, "127.0.0.1:0", TempDir::new().unwrap(), &[]);
    let (mallory, alice) = (server.person("mallory"), server.person("alice"));
    let call = mallory.call("dm:alice:mallory").await;
    assert_eq!(alice.post(&format!("/calls/{call}/accept")).await.0, 200);
    for number in 0..13 {
        server.person(&format!("person{number}"));
    }
    let address = server.url.rsplit('/').next().unwrap().parse().unwrap();
    let begun = Arc::new(Notify::new());
    let scene = Scene { address, mallory, alice, call, begun: Arc::clone(&begun) };
    let others = Others::start(&server).await;

    // Enough to make the process as large as it is at work.
    others.measure(Duration::from_secs(1)).await;
    let before = resident_kib(server.process());
    let attack = tokio::spawn(attack(scene));
    begun.notified().await;
    let (latencies, failed) = others.measure(ROUND).await;
    let after = resident_kib(server.process());
    let note = match timeout(Duration::from_secs(60), attack).await {
        Ok(note) => note.unwrap(),
        Err(_) => "the attack did not end".to_owned(),
    };
    println!(
        "| {name} | {:.1} ms | {:.1} ms | {:.1} ms | {failed} | {} MB | {} MB | {} MB | {note} |",
        latencies.percentile(50.0),
        latencies.percentile(99.0),
        latencies.percentile(100.0),
        before / 1024,
        peak_kib(server.process()) / 1024,
        after / 1024,
    );
}

/// Two people on a call of their own, at another address.
struct Others {
    bob: Person,
    carol: Person,
    signals: String,
}

impl Others {
    async fn start(server: &Server) -> Self {
        let client = Client::builder()
            .local_address(Some([127, 0, 0, 2].into()))
            .pool_max_idle_per_host(0)
            .timeout(REQUEST_TIMEOUT)
            .build()
            .unwrap();
        let person = |name| {
            let person = server.person(name);
            Person::with_client(person.name, person.token, server.url.clone(), client.clone())
        };
        let (bob, carol) = (person("bob"), person("carol"));
        let call = bob.call("dm:bob:carol").await;
        assert_eq!(carol.post(&format!("/calls/{call}/accept")).await.0, 200);
        Self { bob, carol, signals: format!("/calls/{call}/signal") }
    }

    /// The times from a request to its answer, and the number of requests that failed.
    async fn measure(&self, duration: Duration) -> (Durations, usize) {
        let begun = Instant::now();
        let mut requests = JoinSet::new();
        let mut ticks = interval(Duration::from_millis(20));
        let mut is_read = false;
        while begun.elapsed() < duration {
            ticks.tick().await;
            is_read = !is_read;
            let signal = json!({ "to": "carol", "type": "ice_candidate", "payload": { "candidate": "x" } });
            let request = if is_read {
                self.carol.getting("/calls/incoming")
            } else {
                self.bob.posting_json(&self.signals, signal)
            };
            requests.spawn(async move {
                let sent = Instant::now();
                match request.send().await {
                    Ok(response) if response.status() == 200 => (sent.elapsed(), 0),
                    _ => (REQUEST_TIMEOUT, 1),
                }
            });
        }
        let (durations, failed): (Vec<_>, Vec<usize>) = requests.join_all().await.into_iter().unzip();
        (durations.into_iter().collect(), failed.into_iter().sum())
    }
}

impl Scene {
    /// A connection whose receive buffer takes little.
    async fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        timeout(Duration::from_secs(5), socket.connect(self.address)).await?
    }

    /// The head of a request by mallory, without the empty line at its end.
    fn head(&self, request_line: &str) -> String {
        format!("{request_line} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {}\r\n", self.mallory.token)
    }

    /// Sends a GET on `count` connections, reads the status of each answer, and leaves the rest. Returns how many were 200
    /// and 429, and how many had no answer in time.
    async fn request_and_do_not_read(&self, count: usize, path: &str) -> String {
        self.begun.notify_one();
        let mut open = JoinSet::new();
        for _ in 0..count {
            let (scene, head) = (self.clone(), self.head(&format!("GET {path}")));
            open.spawn(async move {
                let mut stream = scene.connect().await.ok()?;
                stream.write_all(format!("{head}\r\n").as_bytes()).await.ok()?;
                let mut line = [0; 12];
                timeout(ROUND, stream.read_exact(&mut line)).await.ok()?.ok()?;
                sleep(ROUND).await;
                Some(line[9..] == *b"200")
            });
        }
        let answers = open.join_all().await;
        let count = |wanted: Option<bool>| answers.iter().filter(|answer| **answer == wanted).count();
        format!("{} got 200, {} another status, {} nothing", count(Some(true)), count(Some(false)), count(None))
    }
}

/// Sixty requests for a full buffer of relayed media.
async fn unread_media(scene: Scene) -> String {
    let path = format!("/calls/{}/media", scene.call);
    for _ in 0..4 {
        assert_eq!(scene.alice.post_bytes(&path, vec![7; 4 * MIB - 1]).await.0, 200);
    }
    scene.request_and_do_not_read(60, &format!("{path}?sender=alice")).await
}

/// Stores 500 signals of 60 KB for mallory.
async fn send_signals(scene: &Scene) {
    for _ in 0..500 {
        let signal = json!({ "to": "mallory", "type": "offer", "payload": "x".repeat(60_000) });
        scene.alice.post_json(&format!("/calls/{}/signal", scene.call), signal).await;
    }
}

async fn unread_signals(scene: Scene) -> String {
    send_signals(&scene).await;
    scene.request_and_do_not_read(60, &format!("/calls/{}/signals?after=0", scene.call)).await
}

async fn unread_events(scene: Scene) -> String {
    send_signals(&scene).await;
    scene.request_and_do_not_read(60, "/events?after=0").await
}

async fn streams(scene: Scene) -> String {
    scene.request_and_do_not_read(1_072, "/events").await
}

/// Waves of connections with half a head.
async fn half_sent_heads(scene: Scene) -> String {
    scene.begun.notify_one();
    let mut open = JoinSet::new();
    for _ in 0..1_072 {
        let scene = scene.clone();
        open.spawn(async move {
            let begun = Instant::now();
            let mut opened = 0;
            while begun.elapsed() < ROUND {
                let Ok(mut stream) = scene.connect().await else { continue };
                opened += 1;
                if stream.write_all(b"GET /me HTTP/1.1\r\nHost: test\r\nX-Half").await.is_ok() {
                    let _ = timeout(ROUND, stream.read_u8()).await;
                }
                sleep(Duration::from_millis(100)).await;
            }
            opened
        });
    }
    let opened: usize = open.join_all().await.into_iter().sum();
    format!("{opened} connections")
}

/// Sixty uploads, all but their last byte, to a call that does not exist.
async fn uploads(scene: Scene) -> String {
    scene.begun.notify_one();
    let mut open = JoinSet::new();
    for _ in 0..60 {
        let scene = scene.clone();
        open.spawn(async move {
            let head = scene.head("POST /calls/none/media");
            let mut stream = scene.connect().await.ok()?;
            stream.write_all(format!("{head}Content-Length: {}\r\n\r\n", 4 * MIB).as_bytes()).await.ok()?;
            let _ = timeout(ROUND, stream.write_all(&vec![7; 4 * MIB - 1])).await;
            sleep(ROUND).await;
            Some(())
        });
    }
    open.join_all().await;
    String::new()
}

/// Fifty clients that guess a password all the time, each on one connection.
async fn wrong_logins(scene: Scene) -> String {
    scene.begun.notify_one();
    let mut guessing = JoinSet::new();
    for number in 0..50 {
        let client = Client::builder().timeout(ROUND).build().unwrap();
        let url = format!("http://{}/login", scene.address);
        guessing.spawn(async move {
            let begun = Instant::now();
            let mut guesses = 0;
            while begun.elapsed() < ROUND {
                let guess = json!({ "username": format!("person{}", number % 13), "password": "a wrong password" });
                if client.post(&url).json(&guess).send().await.is_ok_and(|response| response.status() == 401) {
                    guesses += 1;
                } else {
                    sleep(Duration::from_millis(20)).await;
                }
            }
            guesses
        });
    }
    let guesses: usize = guessing.join_all().await.into_iter().sum();
    format!("{guesses} guesses were verified")
}

/// 290 calls a second at one person.
async fn rings(scene: Scene) -> String {
    scene.begun.notify_one();
    let begun = Instant::now();
    let mut ticks = interval(Duration::from_micros(3_448));
    let mut rang = 0;
    scene.mallory.post(&format!("/calls/{}/end", scene.call)).await;
    while begun.elapsed() < ROUND {
        ticks.tick().await;
        let (status, call) = scene.mallory.post_json("/calls/initiate", json!({ "channel": "dm:alice:mallory" })).await;
        if status == 200 {
            rang += 1;
            scene.mallory.post(&format!("/calls/{}/end", call["call_id"].as_str().unwrap())).await;
        }
    }
    format!("rang {rang} times")
}

/// A share in each of the 4096 channels that mallory has with alice, bob, carol and others.
async fn shares(scene: Scene) -> String {
    scene.begun.notify_one();
    let begun = Instant::now();
    let mut started = 0;
    for number in 1..=4_096 {
        let names: String = (0..13).filter(|bit| number >> bit & 1 == 1).map(|bit| format!(":person{bit}")).collect();
        let share = json!({ "channel": format!("dm:mallory:alice{names}") });
        started += usize::from(scene.mallory.post_json("/screenshare/start", share).await.0 == 200);
        if begun.elapsed() > ROUND {
            break;
        }
    }
    let me = scene.alice.getting("/me").send().await.unwrap().bytes().await.unwrap();
    format!("{started} shares; /me of a victim has {} bytes", me.len())
}
