//! Clients that send a byte a second, in headers, bodies and handshakes, or nothing at all.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::alone;
use crate::measure::{Durations, processor_time};
use crate::scenes::{Numbers, Talk, answered};
use crate::support::{Person, Server};

/// What of a connection a client never finishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlowIn {
    /// It says nothing at all.
    Everything,
    Headers,
    Body,
    Handshake,
}

impl SlowIn {
    /// What it sends at once; then a byte a second follows, but for the silent.
    fn begins(self, person: &Person, path: &str) -> Vec<u8> {
        match self {
            Self::Everything => Vec::new(),
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

/// What became of one.
struct Cut {
    after: Duration,
    received: Vec<u8>,
}

async fn dawdle(address: String, dawdles: SlowIn, first: Vec<u8>) -> Cut {
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
                    Ok(0) => return Cut { after: begun.elapsed(), received },
                    Ok(count) => received.extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return Cut { after: begun.elapsed(), received },
                }
            }
            _ = ticks.tick() => if dawdles != SlowIn::Everything {
                // It may be cut off by now, which reading tells.
                let _ = stream.try_write(b"x");
            },
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{dawdles:?}: never cut off");
    }
}

/// How soon others are answered.
struct Others {
    reads: Durations,
    writes: Durations,
}

impl Others {
    /// A hundred requests a second of four people, for so long.
    async fn measure(talk: &Talk, how_long: Duration) -> Self {
        let begun = Instant::now();
        let numbers = Numbers::default();
        let mut people = JoinSet::new();
        for _ in 0..4 {
            let (bob, sender, numbers) = (talk.bob.clone(), talk.sender(), numbers.clone());
            people.spawn(async move {
                let (mut reads, mut writes) = (Vec::new(), Vec::new());
                let mut ticks = tokio::time::interval(Duration::from_millis(80));
                while begun.elapsed() < how_long {
                    ticks.tick().await;
                    let sent = Instant::now();
                    assert_eq!(answered(bob.getting("/calls/incoming")).await.unwrap().status, 200);
                    reads.push(sent.elapsed());
                    let sent = Instant::now();
                    assert_eq!(sender.send(numbers.next()).await.unwrap().status, 200);
                    writes.push(sent.elapsed());
                }
                (reads, writes)
            });
        }
        let (reads, writes): (Vec<_>, Vec<_>) = people.join_all().await.into_iter().unzip();
        Self { reads: reads.into_iter().flatten().collect(), writes: writes.into_iter().flatten().collect() }
    }

    fn print(&self, when: &str) {
        println!("others' reads {when}: {}", self.reads.summary());
        println!("others' writes {when}: {}", self.writes.summary());
    }
}

/// How late this test itself is woken up: what the machine adds to every measurement, at either end of a connection.
async fn measure_machine(how_long: Duration) -> Durations {
    let begun = Instant::now();
    let mut measured = Durations::new();
    while begun.elapsed() < how_long {
        let due = Instant::now() + Duration::from_millis(5);
        tokio::time::sleep_until(due.into()).await;
        measured.add(due.elapsed());
    }
    measured
}

/// So many clients of each kind at once.
async fn dawdling(server: Server, kinds: &[SlowIn], count: usize) {
    // Both ends of a connection are open files, this one and the server's, which raises its own limit.
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    assert!(limit > (count * kinds.len()) as u64 + 200, "{limit} open files are too few");
    let address = server.url.rsplit('/').next().unwrap().to_owned();
    let talk = Talk::on(server).await;
    let before = Others::measure(&talk, Duration::from_secs(2)).await;

    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..count {
        for kind in kinds.iter().copied() {
            let (address, first) = (address.clone(), kind.begins(&talk.alice, &talk.path("signal")));
            // They come within two seconds, so that they do not all send at the same instant later on.
            let comes = begun + Duration::from_secs(2).mul_f64(number as f64 / count as f64);
            clients.spawn(async move {
                tokio::time::sleep_until(comes.into()).await;
                (kind, dawdle(address, kind, first).await)
            });
        }
    }
    // The first is cut off after ten seconds.
    let used = processor_time(talk.server.process());
    let ten = Duration::from_secs(10);
    let (meanwhile, machine) = futures_util::future::join(Others::measure(&talk, ten), measure_machine(ten)).await;
    let used = processor_time(talk.server.process()) - used;
    let cuts = clients.join_all().await;
    let afterwards = begun.elapsed();

    before.print("before");
    meanwhile.print(&format!("among {} slow clients", cuts.len()));
    println!(
        "this test was woken up late by {}; the server used {used:.1?} of a processor in those ten seconds",
        machine.summary()
    );
    for kind in kinds.iter().copied() {
        let of_kind: Vec<&Cut> = cuts.iter().filter(|(cut, _)| *cut == kind).map(|(_, cut)| cut).collect();
        let told = of_kind.iter().filter(|cut| cut.received.starts_with(b"HTTP/1.1 408")).count();
        let (first, last) = (of_kind.iter().map(|cut| cut.after).min(), of_kind.iter().map(|cut| cut.after).max());
        let (first, last) = (first.unwrap(), last.unwrap());
        println!("{kind:?}: {} cut off after {first:.1?} to {last:.1?}, {told} of them with 408", of_kind.len());
        assert_eq!(of_kind.len(), count);
        assert!(first > Duration::from_secs(8), "nobody is cut off before their time");
        match kind {
            // The answer waits for a client that goes on sending, for five seconds.
            SlowIn::Body => {
                assert!(last < Duration::from_secs(30));
                assert_eq!(told, count);
            }
            _ => assert!(last < Duration::from_secs(25)),
        }
    }
    println!("all were gone after {afterwards:.1?}");
    // What the machine has to do besides is no matter of the server's: a request needs several wakings-up, and a write
    // a disk.
    let allowed = f64::max(100.0, 5.0 * machine.percentile(100.0));
    assert!(meanwhile.reads.percentile(99.0) < allowed);
    assert!(meanwhile.writes.percentile(99.0) < allowed + before.writes.percentile(99.0));
    assert_eq!(talk.sender().send(1_000_000).await.unwrap().status, 200);
    talk.server.assert_integrity();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_clients_are_cut_off_and_others_are_served() {
    let _alone = alone().await;
    dawdling(Server::start(), &[SlowIn::Everything, SlowIn::Headers, SlowIn::Body], 170).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn slow_handshakes_are_cut_off_and_others_are_served() {
    let _alone = alone().await;
    let server = Server::start_in(tempfile::TempDir::new().unwrap(), &["--tls-self-signed"]);
    dawdling(server, &[SlowIn::Everything, SlowIn::Handshake], 250).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "4,000 connections for half a minute, and figures that want a machine with nothing else to do"]
async fn four_thousand_slow_clients_are_cut_off_and_others_are_served() {
    let _alone = alone().await;
    dawdling(Server::start(), &[SlowIn::Everything, SlowIn::Headers, SlowIn::Body], 1334).await;
    let server = Server::start_in(tempfile::TempDir::new().unwrap(), &["--tls-self-signed"]);
    dawdling(server, &[SlowIn::Everything, SlowIn::Handshake], 2000).await;
}
