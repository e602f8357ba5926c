//! Slow clients: they send a byte a second in headers, bodies and handshakes, or nothing.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::active_call::{ActiveCall, Numbers, outcome};
use crate::lock_machine;
use crate::measure::{Durations, processor_time};
use crate::support::{Person, Server};

/// The part of a connection that a slow client never completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Incomplete {
    /// The client sends nothing.
    Connection,
    Headers,
    Body,
    Handshake,
}

impl Incomplete {
    /// The bytes that the client sends at once.
    fn first_bytes(self, person: &Person, path: &str) -> Vec<u8> {
        match self {
            Self::Connection => Vec::new(),
            Self::Headers => b"GET /calls/incoming HTTP/1.1\r\nHost: test\r\nX-Slow: ".to_vec(),
            Self::Body => {
                let token = &person.token;
                format!(
                    "POST {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\nContent-Length: 1000\r\n\r\n{{"
                )
                .into_bytes()
            }
            // A record of type 22 of 512 bytes, with a ClientHello in it (RFC 8446, section 5.1).
            Self::Handshake => vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3],
        }
    }
}

/// A connection that the server has closed.
struct Closed {
    after: Duration,
    received: Vec<u8>,
}

/// Connects, sends `first`, and then a byte a second unless the client is silent. Returns when the server closes.
async fn be_slow(address: String, kind: Incomplete, first: Vec<u8>) -> Closed {
    let stream = TcpStream::connect(address).await.unwrap();
    let begun = Instant::now();
    let mut received = Vec::new();
    stream.writable().await.unwrap();
    assert_eq!(stream.try_write(&first).unwrap(), first.len());
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.tick().await;
    loop {
        tokio::select! {
            ready = stream.readable() => {
                ready.unwrap();
                let mut buffer = [0; 1024];
                match stream.try_read(&mut buffer) {
                    Ok(0) => return Closed { after: begun.elapsed(), received },
                    Ok(count) => received.extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return Closed { after: begun.elapsed(), received },
                }
            }
            _ = ticks.tick() => if kind != Incomplete::Connection {
                // An error shows when the client reads.
                let _ = stream.try_write(b"x");
            },
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{kind:?}: never closed");
    }
}

/// The response times of other clients.
struct OtherClients {
    reads: Durations,
    writes: Durations,
}

impl OtherClients {
    /// Sends a hundred requests a second from four clients.
    async fn measure(call: &ActiveCall, duration: Duration) -> Self {
        let begun = Instant::now();
        let numbers = Numbers::default();
        let mut clients = JoinSet::new();
        for _ in 0..4 {
            let (bob, sender, numbers) = (call.bob.clone(), call.sender(), numbers.clone());
            clients.spawn(async move {
                let (mut reads, mut writes) = (Vec::new(), Vec::new());
                let mut ticks = tokio::time::interval(Duration::from_millis(80));
                while begun.elapsed() < duration {
                    ticks.tick().await;
                    let sent = Instant::now();
                    assert_eq!(outcome(bob.getting("/calls/incoming")).await.unwrap().status, 200);
                    reads.push(sent.elapsed());
                    let sent = Instant::now();
                    assert_eq!(sender.send(numbers.next()).await.unwrap().status, 200);
                    writes.push(sent.elapsed());
                }
                (reads, writes)
            });
        }
        let (reads, writes): (Vec<_>, Vec<_>) = clients.join_all().await.into_iter().unzip();
        Self { reads: reads.into_iter().flatten().collect(), writes: writes.into_iter().flatten().collect() }
    }

    fn print(&self, when: &str) {
        println!("reads of other clients {when}: {}", self.reads.summary());
        println!("writes of other clients {when}: {}", self.writes.summary());
    }
}

/// How late the machine wakes this test: a delay in every measurement, at either end of a connection.
async fn measure_wakeups(duration: Duration) -> Durations {
    let begun = Instant::now();
    let mut measured = Durations::new();
    while begun.elapsed() < duration {
        let due = Instant::now() + Duration::from_millis(5);
        tokio::time::sleep_until(due.into()).await;
        measured.add(due.elapsed());
    }
    measured
}

/// Fails unless the server closes `count` connections of each kind, and serves others as fast as before.
async fn assert_closes_slow_connections(server: Server, kinds: &[Incomplete], count: usize) {
    // Each connection is an open file of this process, and one of the server, which raises its own limit.
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    assert!(limit > (count * kinds.len()) as u64 + 200, "{limit} open files are too few");
    server.lift_limits();
    let address = server.url.rsplit('/').next().unwrap().to_owned();
    let call = ActiveCall::start(server).await;
    let before = OtherClients::measure(&call, Duration::from_secs(2)).await;

    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..count {
        for kind in kinds.iter().copied() {
            let (address, first) = (address.clone(), kind.first_bytes(&call.alice, &call.path("signal")));
            // The clients start within two seconds, so that they do not all send at the same instant.
            let start = begun + Duration::from_secs(2).mul_f64(number as f64 / count as f64);
            clients.spawn(async move {
                tokio::time::sleep_until(start.into()).await;
                (kind, be_slow(address, kind, first).await)
            });
        }
    }
    // The first connection is closed after ten seconds.
    let used = processor_time(call.server.process());
    let ten = Duration::from_secs(10);
    let (during, wakeups) = futures_util::future::join(OtherClients::measure(&call, ten), measure_wakeups(ten)).await;
    let used = processor_time(call.server.process()) - used;
    let closed = clients.join_all().await;
    let all_closed_after = begun.elapsed();

    before.print("before");
    during.print(&format!("among {} slow clients", closed.len()));
    println!("delay of wake-ups: {}; processor time of the server in ten seconds: {used:.1?}", wakeups.summary());
    for kind in kinds.iter().copied() {
        let of_kind: Vec<&Closed> = closed.iter().filter(|(of, _)| *of == kind).map(|(_, closed)| closed).collect();
        let with_408 = of_kind.iter().filter(|closed| closed.received.starts_with(b"HTTP/1.1 408")).count();
        let (first, last) = (of_kind.iter().map(|one| one.after).min(), of_kind.iter().map(|one| one.after).max());
        let (first, last) = (first.unwrap(), last.unwrap());
        println!("{kind:?}: {} closed after {first:.1?} to {last:.1?}, {with_408} of them with 408", of_kind.len());
        assert_eq!(of_kind.len(), count);
        assert!(first > Duration::from_secs(8), "a connection is closed too early");
        match kind {
            // The server drains the body for up to five seconds before it closes.
            Incomplete::Body => {
                assert!(last < Duration::from_secs(30));
                assert_eq!(with_408, count);
            }
            _ => assert!(last < Duration::from_secs(25)),
        }
    }
    println!("all were closed after {all_closed_after:.1?}");
    // A request needs several wake-ups, and a write the disk. Their delay is not the server's.
    let allowed = f64::max(300.0, 5.0 * wakeups.percentile(100.0));
    assert!(during.reads.percentile(99.0) < allowed);
    assert!(during.writes.percentile(99.0) < allowed + before.writes.percentile(99.0));
    assert_eq!(call.sender().send(1_000_000).await.unwrap().status, 200);
    call.server.assert_integrity();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_clients_are_disconnected_and_others_are_served() {
    let _machine = lock_machine().await;
    assert_closes_slow_connections(
        Server::start(),
        &[Incomplete::Connection, Incomplete::Headers, Incomplete::Body],
        170,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_handshakes_are_disconnected_and_others_are_served() {
    let _machine = lock_machine().await;
    let server = Server::start_in(tempfile::TempDir::new().unwrap(), &["--tls-self-signed"]);
    assert_closes_slow_connections(server, &[Incomplete::Connection, Incomplete::Handshake], 250).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes half a minute, and measures: the machine must be idle"]
async fn four_thousand_slow_clients_are_disconnected_and_others_are_served() {
    let _machine = lock_machine().await;
    assert_closes_slow_connections(
        Server::start(),
        &[Incomplete::Connection, Incomplete::Headers, Incomplete::Body],
        1334,
    )
    .await;
    let server = Server::start_in(tempfile::TempDir::new().unwrap(), &["--tls-self-signed"]);
    assert_closes_slow_connections(server, &[Incomplete::Connection, Incomplete::Handshake], 2000).await;
}
