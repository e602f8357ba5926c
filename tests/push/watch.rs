//! Streams that reconnect through `kill -9` of the server and under writes, compared with the log: each event that a
//! person may see comes once, in order, and none is missing. Jepsen checks the watches of etcd in this manner.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{EventStream, Person, Server};

/// Streams of each person.
const STREAMS: usize = 2;

/// What the writers and streams share.
#[derive(Default)]
struct Progress {
    is_stopped: AtomicBool,
    /// The event up to which a stream reads after the writers have stopped, by person.
    last: BTreeMap<String, AtomicI64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_miss_nothing_through_kills() {
    rounds(3, Duration::from_millis(1_500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn streams_miss_nothing_through_fifty_kills() {
    rounds(50, Duration::from_secs(3)).await;
}

async fn rounds(kills: usize, between: Duration) {
    let mut server = Server::start();
    server.lift_limits();
    let people: Vec<Person> = ["alice", "bob", "carol"].iter().map(|name| server.person(name)).collect();
    let progress = Arc::new(Progress {
        last: people.iter().map(|person| (person.name.clone(), AtomicI64::default())).collect(),
        ..Progress::default()
    });
    let mut streams = Vec::new();
    for person in people.iter().flat_map(|person| std::iter::repeat_n(person, STREAMS)) {
        let (stream, snapshot) = EventStream::open_with_snapshot(person).await;
        let watching = watch(person.clone(), stream, snapshot.id, Arc::clone(&progress));
        streams.push((person.name.clone(), snapshot.id, tokio::spawn(watching)));
    }
    let writers: Vec<_> = [(0, 1), (1, 2), (2, 0)]
        .map(|(caller, callee)| {
            let (caller, callee) = (people[caller].clone(), people[callee].clone());
            tokio::spawn(write(caller, callee, Arc::clone(&progress)))
        })
        .into_iter()
        .collect();

    let address = server.url.trim_start_matches("http://").to_owned();
    for _ in 0..kills {
        tokio::time::sleep(between).await;
        let (folder, _) = tokio::task::block_in_place(|| server.stop(Signal::SIGKILL));
        server = tokio::task::block_in_place(|| Server::start_on(&address, folder, &[]));
    }
    tokio::time::sleep(between).await;
    progress.last.values().for_each(|last| last.store(i64::MAX, Ordering::SeqCst));
    progress.is_stopped.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
    for (name, last) in &progress.last {
        let always = format!(
            "SELECT max(id) FROM event_recipients WHERE username = '{name}' \
             AND kind NOT IN ('ringing', 'signal', 'directory')"
        );
        last.store(server.value(&always), Ordering::SeqCst);
    }
    let (mut events, mut reconnects) = (0, 0);
    for (name, start, stream) in streams {
        let (seen, connections) = stream.await.unwrap();
        assert!(seen.is_sorted_by(|one, next| one.0 < next.0), "{name} saw events out of order, or twice");
        compare(&server, &name, start, &seen);
        events += seen.len();
        reconnects += connections;
    }
    server.assert_integrity();
    println!("{kills} kills, {reconnects} reconnects: {events} events came once and in order, and none was missing");
    assert!(events > 100 && reconnects > kills, "{events} events, {reconnects} reconnects");
}

/// Compares what a stream saw with what the log has. An event `incoming` or `signal` that nothing is left of is skipped. A
/// signal leaves the log with its call. A client reads the directory when it connects.
fn compare(server: &Server, name: &str, start: i64, seen: &[(i64, String)]) {
    let sql = server.sql();
    let mut statement = sql
        .prepare(
            "SELECT DISTINCT id, kind FROM event_recipients WHERE username = ?1 AND id > ?2 AND kind <> 'directory' ORDER BY id",
        )
        .unwrap();
    let logged: BTreeMap<i64, String> = statement
        .query_map(rusqlite::params![name, start], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let last = seen.last().map_or(start, |(id, _)| *id);
    let ids: BTreeMap<i64, &str> = seen.iter().map(|(id, event)| (*id, event.as_str())).collect();
    for (id, event) in &ids {
        let Some(kind) = logged.get(id) else {
            assert_eq!(*event, "signal", "{name} saw event {id}, which the log has not for them");
            continue;
        };
        let expected = match kind.as_str() {
            "ringing" => "incoming",
            "signal" => "signal",
            "share_started" | "share_stopped" => "share",
            _ => "call",
        };
        assert_eq!(*event, expected, "event {id} of {name} is {kind}");
    }
    let missing: Vec<_> = logged
        .iter()
        .filter(|(id, kind)| **id <= last && !ids.contains_key(id) && *kind != "ringing" && *kind != "signal")
        .collect();
    assert!(missing.is_empty(), "{name} did not see {missing:?}");
}

/// Reads events until the last one, and reconnects after a few, and whenever the connection breaks. Returns the ids and
/// names of the events, and the number of connections.
async fn watch(
    person: Person,
    stream: EventStream,
    start: i64,
    progress: Arc<Progress>,
) -> (Vec<(i64, String)>, usize) {
    let mut stream = Some(stream);
    let mut seen: Vec<(i64, String)> = Vec::new();
    let (mut connections, mut last) = (1, start);
    let mut deadline = None;
    loop {
        if last >= progress.last[&person.name].load(Ordering::SeqCst) && progress.is_stopped.load(Ordering::SeqCst) {
            return (seen, connections);
        }
        if progress.is_stopped.load(Ordering::SeqCst) {
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + Duration::from_secs(30));
            assert!(Instant::now() < deadline, "{} waits for events after {last}", person.name);
        }
        let Some(open) = &mut stream else {
            stream = EventStream::try_open(&person, last).await;
            match stream {
                Some(_) => connections += 1,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
            continue;
        };
        let mut is_broken = false;
        if let Ok(event) = tokio::time::timeout(Duration::from_millis(500), open.next()).await {
            match event {
                Some(event) => {
                    assert_ne!(event.name, "snapshot", "nothing is lost after {last}: {event:?}");
                    last = event.id;
                    seen.push((event.id, event.name));
                    is_broken = fastrand::u8(..40) == 0;
                }
                None => is_broken = true,
            }
        }
        if is_broken {
            stream = None;
        }
    }
}

/// Calls, answers, signals, shares and hangs up until the end, however often the server is gone.
async fn write(caller: Person, callee: Person, progress: Arc<Progress>) {
    let names = if caller.name < callee.name { [&caller.name, &callee.name] } else { [&callee.name, &caller.name] };
    let channel = json!({ "channel": format!("dm:{}:{}", names[0], names[1]) });
    while !progress.is_stopped.load(Ordering::SeqCst) {
        let started = post(&caller, "/calls/initiate", &channel).await;
        let Some(call) = started.as_ref().and_then(|body| body["call_id"].as_str()) else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let path = |what: &str| format!("/calls/{call}/{what}");
        post(&callee, &path("accept"), &json!({})).await;
        for _ in 0..fastrand::usize(..4) {
            let signal = json!({ "to": callee.name, "type": "offer", "payload": { "sdp": "v=0" } });
            post(&caller, &path("signal"), &signal).await;
        }
        if fastrand::bool() {
            post(&callee, &path("screenshare"), &json!({ "on": true })).await;
        } else if let Some(share) = post(&caller, "/screenshare/start", &channel).await {
            post(&caller, &format!("/screenshare/{}/stop", share["share_id"].as_str().unwrap_or("-")), &json!({}))
                .await;
        }
        post(&caller, &path("end"), &json!({})).await;
    }
}

/// The answer to a request, if there is one.
async fn post(person: &Person, path: &str, body: &Value) -> Option<Value> {
    person.request(Method::POST, path).json(body).send().await.ok()?.json().await.ok()
}
